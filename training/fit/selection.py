"""The choice of a calibrator: the simplest that is not clearly behind the best cross-validated log-loss."""

import math
from dataclasses import dataclass, replace

import numpy as np

from training import errors
from training.data import division
from training.data.dataset import Dataset
from training.fit import fitting
from training.fit.fitting import CandidateKind
from training.measure import intervals, losses
from training.measure.intervals import FloatArray, IntArray

# From the simplest up; kinds of equal rank compete on log-loss alone.
RANK: dict[CandidateKind, int] = {
    "identity": 0,
    "temperature": 1,
    "platt-logit": 2,
    "platt-raw": 2,
    "beta": 3,
    "isotonic": 4,
}

LEAST_ROWS = 30
LEAST_OF_EITHER = 5
LEAST_FOR_ISOTONIC = 200
ROWS_PER_DISTINCT = 10
MOST_DISTINCT = 1000

CLEARLY_BEHIND = 0.75
"""Standard errors of the paired difference. One standard error of the best mean, the classical rule, keeps the
identity where replays on real scores are better off without it; none at all leaves it where it is best, and so,
with few independent labels, does half a one. See tests/statistics/selection.py."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CandidateScore:
    """One row of the selection's table.

    Attributes:
        kind: the family.
        log_loss: weighted mean over the rows scored out of fold, in nats; NaN where excluded.
        standard_error: of that mean; clustered by group, over rows where there are no groups.
        brier: the same mean of the squared error.
        difference: log_loss minus the best candidate's, at least 0.
        difference_standard_error: of that difference, paired row by row and clustered by group.
        uninformative: the fit on all rows found the score uninformative.
        excluded: why the candidate did not run, "" where it did.
        out_of_fold: (n,) confidence of each row from a fit that never saw it or its group, of the first
            repetition; None where excluded.
    """

    kind: CandidateKind
    log_loss: float = math.nan
    standard_error: float = math.nan
    brier: float = math.nan
    difference: float = math.nan
    difference_standard_error: float = math.nan
    uninformative: bool = False
    excluded: str = ""
    out_of_fold: FloatArray | None = None

    def as_document(self) -> dict[str, object]:
        """The row as plain JSON values; None for what was not measured."""
        measures = ("log_loss", "standard_error", "brier", "difference", "difference_standard_error")
        values = {name: getattr(self, name) for name in measures}
        return {
            "kind": self.kind,
            **{name: value if math.isfinite(value) else None for name, value in values.items()},
            "uninformative": self.uninformative,
            "excluded": self.excluded,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selection:
    """The chosen kind, fitted on all rows, and how it was chosen.

    Attributes:
        kind: the chosen family.
        fitted: its map, from all rows.
        best: the family with the lowest cross-validated log-loss.
        candidates: every family in the order of simplicity.
        reason: one sentence.
        uninformative: no candidate found the score to rise with correctness.
    """

    kind: CandidateKind
    fitted: fitting.Fitted
    best: CandidateKind
    candidates: tuple[CandidateScore, ...]
    reason: str
    uninformative: bool

    @property
    def chosen(self) -> CandidateScore:
        """The row of the chosen kind."""
        return next(candidate for candidate in self.candidates if candidate.kind == self.kind)

    def as_document(self) -> dict[str, object]:
        """The choice and its table as plain JSON values, without the per-row confidences."""
        return {
            "chosen": self.kind,
            "best": self.best,
            "reason": self.reason,
            "uninformative": self.uninformative,
            "candidates": [candidate.as_document() for candidate in self.candidates],
        }


def select(
    dataset: Dataset,
    *,
    seed: int = 0,
    kinds: tuple[CandidateKind, ...] | None = None,
    epsilon: float = losses.EPSILON,
) -> Selection:
    """The calibrator kind to use for the dataset, fitted on all of it.

    Every candidate is fitted K times and scores the rows that it has not seen (`folds.folds`): its loss is
    the weighted mean of -ln P(what happened to the given answer), for scalar and vector candidates alike,
    over all folds together. The simplest candidate wins whose mean is behind the best one by no more than
    three quarters of a standard error of that difference, paired row by row and clustered by group. It is the
    one-standard-error rule (Breiman et al. 1984) on what is compared instead of on one mean, whose own error
    is mostly shared by all candidates.
    Candidates of equal rank are decided by log-loss, then by Brier score.

    Below 30 effective labels, or with fewer than 5 of either outcome, only the identity runs; isotonic runs
    from max(200, 10 x distinct scores) effective labels on, more than 1000 distinct scores counting as 1000.
    A temperature does not run where the score is uninformative.

    Args:
        dataset: the labels.
        seed: decides random folds, nothing else.
        kinds: the candidates; None means all of `RANK`. Kinds without the identity among them were asked for:
            they are fitted however few the labels are, and measured where there are enough.
        epsilon: the clipping of the fits.

    Raises:
        RequestRefused: `kinds` is empty or names a kind that does not compete.
    """
    wanted = tuple(RANK) if kinds is None else tuple(kind for kind in RANK if kind in kinds)
    if not wanted or (kinds is not None and set(kinds) - set(RANK)):
        raise errors.RequestRefused(f"the kinds that can be selected are {', '.join(RANK)}; not {kinds!r}")
    forced = len(wanted) == 1 or "identity" not in wanted
    reasons = {kind: "" if forced else _excluded(kind, dataset) for kind in wanted}
    divisions = division.folds(dataset, seed=seed)
    if not divisions or (forced and too_few(dataset)):
        why = "all rows are one group" if not divisions else too_few(dataset)
        return _unmeasured(dataset, wanted[0] if forced else "identity", wanted, why, epsilon)
    running = [kind for kind, reason in reasons.items() if not reason]
    fits = {kind: fitting.fit(kind, dataset, epsilon=epsilon) for kind in running}
    if not forced and "temperature" in fits and fits["temperature"].uninformative:
        # Others then say the base rate; without an intercept it can only say that it does not know.
        reasons["temperature"] = "the score is uninformative, and a temperature cannot say the base rate"
        running.remove("temperature")
    runs = _out_of_fold(running, dataset, divisions, epsilon)
    row_losses = {
        kind: np.mean([losses.log_losses(run, dataset.correct, epsilon) for run in run_list], axis=0)
        for kind, run_list in runs.items()
    }
    table = {
        kind: _measure(kind, dataset, runs[kind], row_losses[kind])
        if kind in runs
        else CandidateScore(kind=kind, excluded=reasons[kind])
        for kind in wanted
    }
    best = min(runs, key=lambda kind: _order(table[kind]))
    for kind in runs:
        paired = intervals.weighted_mean(row_losses[kind] - row_losses[best], dataset.weights, dataset.groups)
        table[kind] = replace(
            table[kind], difference=paired.mean, difference_standard_error=paired.standard_error
        )
    within = [
        kind
        for kind in runs
        if kind == best or table[kind].difference <= CLEARLY_BEHIND * table[kind].difference_standard_error
    ]
    rank = min(RANK[kind] for kind in within)
    chosen = min((kind for kind in within if RANK[kind] == rank), key=lambda kind: _order(table[kind]))
    for kind, fitted in fits.items():
        table[kind] = replace(table[kind], uninformative=fitted.uninformative)
    shapes = [fitted.uninformative for kind, fitted in fits.items() if kind != "identity"]
    return Selection(
        kind=chosen,
        fitted=fits[chosen],
        best=best,
        candidates=tuple(table.values()),
        reason=_reason(table[chosen], best, forced=forced, few=too_few(dataset)),
        uninformative=bool(shapes) and all(shapes),
    )


def _order(candidate: CandidateScore) -> tuple[float, float]:
    # Rounded, so that losses which differ by rounding alone are a tie for the Brier score to break.
    return round(candidate.log_loss, 12), candidate.brier


def too_few(dataset: Dataset) -> str:
    """Why the labels are too few for any fit but the identity; empty where they are not."""
    wrong, right = dataset.outcomes
    if dataset.n_effective < LEAST_ROWS:
        return f"{dataset.n_effective:.0f} effective labels, {LEAST_ROWS} are needed"
    if min(wrong, right) < LEAST_OF_EITHER:
        return f"{wrong} incorrect and {right} correct labels, {LEAST_OF_EITHER} of each are needed"
    return ""


def _excluded(kind: CandidateKind, dataset: Dataset) -> str:
    if kind == "identity":
        return ""
    if kind == "isotonic" and not too_few(dataset):
        needed = max(LEAST_FOR_ISOTONIC, ROWS_PER_DISTINCT * min(dataset.distinct, MOST_DISTINCT))
        # A hair of room: weights that are equal but for rounding must count as what they are.
        if dataset.n_effective < needed - 1e-6:
            return (
                f"{dataset.n_effective:.0f} effective labels with {dataset.distinct} distinct scores, "
                f"{needed} are needed"
            )
    return too_few(dataset)


def _out_of_fold(
    kinds: list[CandidateKind], dataset: Dataset, divisions: tuple[IntArray, ...], epsilon: float
) -> dict[CandidateKind, list[FloatArray]]:
    """Per kind and repetition (n,): the confidence of each row from a fit that did not see its fold."""
    runs: dict[CandidateKind, list[FloatArray]] = {kind: [] for kind in kinds}
    for fold in divisions:
        for kind in kinds:
            runs[kind].append(np.empty(len(dataset)))
        for number in range(int(fold.max()) + 1):
            held = fold == number
            others, own = dataset.take(~held), dataset.take(held)
            for kind in kinds:
                fitted = fitting.fit(kind, others, epsilon=epsilon)
                runs[kind][-1][held] = fitting.confidence(fitted, own, epsilon=epsilon)
    return runs


def _measure(
    kind: CandidateKind, dataset: Dataset, runs: list[FloatArray], row_losses: FloatArray
) -> CandidateScore:
    loss = intervals.weighted_mean(row_losses, dataset.weights, dataset.groups)
    squared = np.mean([losses.brier_losses(run, dataset.correct) for run in runs], axis=0)
    return CandidateScore(
        kind=kind,
        log_loss=loss.mean,
        standard_error=loss.standard_error,
        brier=float(np.average(squared, weights=dataset.weights)),
        out_of_fold=runs[0],
    )


def _unmeasured(
    dataset: Dataset, kind: CandidateKind, wanted: tuple[CandidateKind, ...], why: str, epsilon: float
) -> Selection:
    fitted = fitting.fit(kind, dataset, epsilon=epsilon)
    return Selection(
        kind=kind,
        fitted=fitted,
        best=kind,
        candidates=tuple(CandidateScore(kind=each, excluded=why) for each in dict.fromkeys((kind, *wanted))),
        reason=f"{kind}: cross-validation is impossible ({why})",
        uninformative=fitted.uninformative,
    )


def _reason(chosen: CandidateScore, best: CandidateKind, *, forced: bool, few: str) -> str:
    if forced:
        return f"{chosen.kind}: asked for"
    if few:
        return f"{chosen.kind}: too few labels for anything else ({few})"
    if chosen.kind == best:
        return f"{chosen.kind}: the lowest cross-validated log-loss, and nothing simpler comes close"
    return (
        f"{chosen.kind}: the simplest that is not clearly behind the best ({best} is better by "
        f"{chosen.difference:.4f} ± {chosen.difference_standard_error:.4f})"
    )
