"""The choice of a calibrator: the simplest within one standard error of the best cross-validated log-loss."""

import math
from dataclasses import dataclass, replace

import numpy as np

from training import errors, fitting, folds, intervals, losses
from training.dataset import Dataset
from training.fitting import CandidateKind
from training.intervals import FloatArray, IntArray

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """One row of the selection's table.

    Attributes:
        kind: the family.
        log_loss: weighted mean over the rows scored out of fold, in nats; NaN where excluded.
        standard_error: of that mean; clustered by group, over rows where there are no groups.
        brier: the same mean of the squared error.
        difference: log_loss minus the best candidate's, at least 0.
        difference_standard_error: of that difference, paired row by row: smaller by far, shown and not used.
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
    candidates: tuple[Candidate, ...]
    reason: str
    uninformative: bool

    @property
    def chosen(self) -> Candidate:
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

    Every candidate is fitted K times and scores the rows that it has not seen (`folds.assign`): its loss is
    the weighted mean of -ln P(what happened to the given answer), for scalar and vector candidates alike,
    over all folds together. The classical one-standard-error rule (Breiman et al. 1984) then takes the
    simplest candidate whose mean is within one standard error of the best mean; the standard error is that of
    the best candidate's mean, weighted and clustered by group, over rows where there are no groups.
    Candidates of equal rank are decided by log-loss, then by Brier score.

    Below 30 effective labels, or with fewer than 5 of either outcome, only the identity runs; isotonic runs
    from max(200, 10 x distinct scores) effective labels on, more than 1000 distinct scores counting as 1000.

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
    divisions = folds.assign(dataset, seed=seed)
    if not divisions or (forced and _too_few(dataset)):
        why = "all rows are one group" if not divisions else _too_few(dataset)
        return _unmeasured(dataset, wanted[0] if forced else "identity", wanted, why, epsilon)
    runs = {
        kind: _out_of_fold(kind, dataset, divisions, epsilon)
        for kind, reason in reasons.items()
        if not reason
    }
    row_losses = {
        kind: np.mean([losses.log_losses(run, dataset.correct, epsilon) for run in run_list], axis=0)
        for kind, run_list in runs.items()
    }
    table = {
        kind: _measure(kind, dataset, runs[kind], row_losses[kind])
        if kind in runs
        else Candidate(kind=kind, excluded=reasons[kind])
        for kind in wanted
    }
    best = min(runs, key=lambda kind: _order(table[kind]))
    for kind in runs:
        paired = intervals.weighted_mean(row_losses[kind] - row_losses[best], dataset.weights, dataset.groups)
        table[kind] = replace(
            table[kind], difference=paired.mean, difference_standard_error=paired.standard_error
        )
    limit = table[best].log_loss + table[best].standard_error
    within = [kind for kind in runs if kind == best or table[kind].log_loss <= limit]
    rank = min(RANK[kind] for kind in within)
    chosen = min((kind for kind in within if RANK[kind] == rank), key=lambda kind: _order(table[kind]))
    fits = {kind: fitting.fit(kind, dataset, epsilon=epsilon) for kind in runs}
    for kind, fitted in fits.items():
        table[kind] = replace(table[kind], uninformative=fitted.uninformative)
    shapes = [fitted.uninformative for kind, fitted in fits.items() if kind != "identity"]
    return Selection(
        kind=chosen,
        fitted=fits[chosen],
        best=best,
        candidates=tuple(table.values()),
        reason=_reason(chosen, table[best], limit, forced=forced, too_few=_too_few(dataset)),
        uninformative=bool(shapes) and all(shapes),
    )


def _order(candidate: Candidate) -> tuple[float, float]:
    # Rounded, so that losses which differ by rounding alone are a tie for the Brier score to break.
    return round(candidate.log_loss, 12), candidate.brier


def _too_few(dataset: Dataset) -> str:
    wrong, right = dataset.outcomes
    if dataset.n_effective < LEAST_ROWS:
        return f"{dataset.n_effective:.0f} effective labels, {LEAST_ROWS} are needed"
    if min(wrong, right) < LEAST_OF_EITHER:
        return f"{wrong} incorrect and {right} correct labels, {LEAST_OF_EITHER} of each are needed"
    return ""


def _excluded(kind: CandidateKind, dataset: Dataset) -> str:
    if kind == "identity":
        return ""
    if kind == "isotonic" and not _too_few(dataset):
        needed = max(LEAST_FOR_ISOTONIC, ROWS_PER_DISTINCT * min(dataset.distinct, MOST_DISTINCT))
        # A hair of room: weights that are equal but for rounding must count as what they are.
        if dataset.n_effective < needed - 1e-6:
            return (
                f"{dataset.n_effective:.0f} effective labels with {dataset.distinct} distinct scores, "
                f"{needed} are needed"
            )
    return _too_few(dataset)


def _out_of_fold(
    kind: CandidateKind, dataset: Dataset, divisions: tuple[IntArray, ...], epsilon: float
) -> list[FloatArray]:
    runs = []
    for fold in divisions:
        confidence = np.empty(len(dataset))
        for number in range(int(fold.max()) + 1):
            held = fold == number
            fitted = fitting.fit(kind, dataset.take(~held), epsilon=epsilon)
            confidence[held] = fitting.confidence(fitted, dataset.take(held), epsilon=epsilon)
        runs.append(confidence)
    return runs


def _measure(
    kind: CandidateKind, dataset: Dataset, runs: list[FloatArray], row_losses: FloatArray
) -> Candidate:
    loss = intervals.weighted_mean(row_losses, dataset.weights, dataset.groups)
    squared = np.mean([losses.brier_losses(run, dataset.correct) for run in runs], axis=0)
    return Candidate(
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
        candidates=tuple(Candidate(kind=each, excluded=why) for each in dict.fromkeys((kind, *wanted))),
        reason=f"{kind}: cross-validation is impossible ({why})",
        uninformative=fitted.uninformative,
    )


def _reason(chosen: CandidateKind, best: Candidate, limit: float, *, forced: bool, too_few: str) -> str:
    if forced:
        return f"{chosen}: asked for"
    if too_few:
        return f"{chosen}: too few labels for anything else ({too_few})"
    if chosen == best.kind:
        return f"{chosen}: the lowest cross-validated log-loss, nothing simpler within one standard error"
    return (
        f"{chosen}: the simplest within one standard error of the best ({best.kind}, {best.log_loss:.4f} + "
        f"{best.standard_error:.4f} = {limit:.4f})"
    )
