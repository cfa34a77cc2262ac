"""What cut-offs are made from: labels that the calibrator never saw, and the confidences of all decisions."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

import numpy as np
import numpy.typing as npt

import calibrators
from sidecar.decision import suspensions
from sidecar.decision.records import Decision
from sidecar.ledger import artifacts, queries
from sidecar.ledger import labelled as ledger_labelled
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.store import Ledger
from sidecar.policy import tables
from sidecar.policy.actions import AnswerSource, Intent
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.model import Model, Policy, listed
from sidecar.policy.tables import ModelTable
from training import errors
from training.cut_offs import exact_tests
from training.cut_offs.exact_tests import ExactSample
from training.data import division
from training.data.dataset import Dataset
from training.fit import fitting, selection
from training.measure.intervals import FloatArray

DEFAULTS = Model(calibrator="file:none", evidence="score")
"""A model of a policy that says nothing but what it must."""

MOST_DECISIONS = 20_000
"""So many of the newest decisions tell the load."""

PAGE = 500
NAME = "model"
WAITING = "that wait for a person whatever the confidence"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """What there is to decide with.

    Attributes:
        sample: the labels that certify.
        confidence: (m,) of all decisions that the bands decide, labelled or not.
        weights: (m,) how many decisions each stands for.
        calibrator: behind the confidences.
        lowest: no cut-off below it can be judged.
        notes: what a reader should know.
        left_out: labels that do not count, by reason.
        elsewhere: share of all decisions that these bands do not decide.
    """

    sample: ExactSample
    confidence: FloatArray
    weights: FloatArray
    calibrator: calibrators.Calibrator
    lowest: Decimal
    notes: tuple[str, ...]
    left_out: Mapping[str, int]
    elsewhere: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BandScope:
    """The answers that the model's own bands decide: a cut-off is certified by those, and by no other.

    Build one with `BandScope.of`.

    Attributes:
        table: the model's section of the policy, compiled.
        own: the categories with bands of their own.
        versions: of the model; empty: the one that there is.
        pool: all versions together.
    """

    table: ModelTable
    own: frozenset[str]
    versions: tuple[str, ...] = ()
    pool: bool = False

    @classmethod
    def of(cls, entry: Model, *, versions: tuple[str, ...] = (), pool: bool = False) -> Self:
        """The scope of a model's section of a policy."""
        return cls(
            table=tables.compile_policy(Policy(version=1, models={NAME: entry}))[NAME],
            own=frozenset(name for name, section in listed(entry).items() if section.bands is not None),
            versions=versions,
            pool=pool,
        )

    def elsewhere(self, decision: Decision) -> str:
        """Why these bands do not decide such an answer; empty: they do."""
        if decision.query.intent is not Intent.LIVE:
            return "of shadow requests"
        if self.versions and decision.query.model_version not in self.versions:
            return "of another model version"
        if reason := self.category_elsewhere(decision.query.category):
            return reason
        # A suspension ends, and then the bands decide again; nothing else that narrows does.
        if any(hit.reason not in suspensions.REASONS for hit in decision.verdict.floors):
            return WAITING
        if decision.query.evidence.truncated:
            return "of truncated generations"
        return ""

    def category_elsewhere(self, category: str) -> str:
        """Why these bands do not decide the answers of a category, in its normal form; empty: they do."""
        if category in self.own:
            return "in a category with bands of its own"
        return "" if self.table.category(category).floor is None else WAITING

    def reasons(self, names: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
        """(n,) `category_elsewhere` of each."""
        distinct, codes = np.unique(names, return_inverse=True)
        return np.array([self.category_elsewhere(str(name)) for name in distinct])[codes]


def from_dataset(
    dataset: Dataset,
    calibrator: calibrators.Calibrator | None,
    *,
    entry: Model | None = None,
    seed: int = 0,
    vouched: bool = False,
) -> Material:
    """The material in a labelled file.

    Where the rows have categories, those of categories that the bands do not decide are left out.

    With a calibrator the rows that it was not fitted to certify: those after its window, by their times. Without one
    the earlier half of the rows fits it (without times: a
    seeded half), whole groups together, and the other half certifies.

    Args:
        dataset: the rows; their weights are inverse probabilities of being labelled.
        calibrator: None: fit one.
        entry: the model's section of the policy; None: one of defaults alone.
        seed: of the division, the fit's folds and the thinning.
        vouched: somebody says that the calibrator was fitted to none of these rows, where no times can show it.

    Raises:
        RequestRefused: the calibrator was fitted to these very rows, or nothing shows that it was not; or bands
            are cut on a lower curve that it does not have.
        NotEnoughLabels: the rows are one moment or one group, so that they cannot be divided; the calibrator was
            fitted to labels as late as all of them; or the bands decide none of them.
    """
    entry = entry or DEFAULTS
    notes = []
    seen: dict[str, int] = {}
    if calibrator is not None:
        dataset, seen = _new_to(calibrator, dataset, vouched=vouched)
    dataset, left_out, elsewhere = _decided(dataset, entry)
    if calibrator is None:
        fit_on, dataset, how = division.halves(dataset, seed=seed)
        chosen = selection.select(fit_on, seed=seed)
        calibrator = fitting.calibrator(chosen.fitted, fit_on, note=f"fitted to certify cut-offs; {how}")
        notes.append(f"no --calibrator: {calibrator.kind} was fitted to {how}, the other rows certify")
    confidence = dataset.confidence(calibrator)
    if entry.band_on == "lower_bound":
        confidence = _bounds(calibrator, confidence)
    sample = ExactSample.of(
        confidence, dataset.correct, propensity=1.0 / dataset.weights, groups=dataset.groups, seed=seed
    )
    return Material(
        sample=sample,
        confidence=confidence,
        weights=dataset.weights,
        calibrator=calibrator,
        lowest=Decimal(0),
        notes=tuple(notes),
        left_out=seen | left_out | _one_a_group(sample),
        elsewhere=elsewhere,
    )


def _new_to(
    calibrator: calibrators.Calibrator, dataset: Dataset, *, vouched: bool
) -> tuple[Dataset, dict[str, int]]:
    """The rows that a calibrator was not fitted to, and how many were left out."""
    fit = calibrator.fit
    if fit is None:
        return dataset, {}  # written by hand: no label had a part in it
    if fit.data_digest == dataset.digest:
        raise errors.RequestRefused(
            "the calibrator was fitted to these very labels, which cannot certify it: take others, or leave "
            "--calibrator out to divide the file"
        )
    until = division.fitted_until(calibrator)
    if until is None or dataset.times is None:
        if vouched:
            return dataset, {}
        what = (
            "the calibrator does not say up to when it was fitted"
            if until is None
            else "the rows carry no times (--time-column)"
        )
        raise errors.RequestRefused(
            f"{what}, so nothing shows that it was not fitted to these rows, which then certify nothing: give times "
            "to both, leave --calibrator out to divide the file, or vouch for it with --unseen"
        )
    new = dataset.times >= until
    if not new.any():
        raise errors.NotEnoughLabels(
            f"no row is later than the last label that the calibrator was fitted to ({fit.window_to}), and only later "
            "ones can certify it: take newer ones, or leave --calibrator out to divide the file"
        )
    seen = int((~new).sum())
    return dataset.take(new), {"no later than the last label of the calibrator's fit": seen} if seen else {}


def _fit_end(calibrator: calibrators.Calibrator) -> float:
    """Decisions from this moment on, in seconds since the epoch, were not fitted to.

    Raises:
        RequestRefused: the calibrator was fitted, and does not say when its labels end.
    """
    if calibrator.fit is None:
        return 0.0  # written by hand: no label had a part in it
    until = division.fitted_until(calibrator)
    if until is None:
        raise errors.RequestRefused(
            f"the calibrator {calibrator.digest} does not say up to when it was fitted, so no label is known to be "
            "new to it: fit it with times (--time-column), or retrain"
        )
    return until


def _decided(dataset: Dataset, entry: Model) -> tuple[Dataset, dict[str, int], float]:
    """The rows that the bands decide, the others by reason, and their share."""
    if dataset.categories is None:
        return dataset, {}, 0.0
    reasons = BandScope.of(entry).reasons(dataset.categories)
    inside = reasons == ""
    if not inside.any():
        raise errors.NotEnoughLabels(
            "the bands decide none of the rows, for their categories have it otherwise"
        )
    share = float(dataset.weights[~inside].sum() / dataset.weights.sum())
    return dataset.take(inside), dict(Counter(reasons[~inside].tolist())), share


def _one_a_group(sample: ExactSample) -> dict[str, int]:
    return {"beyond the one that each group may have": sample.dropped} if sample.dropped else {}


def _bounds(calibrator: calibrators.Calibrator, confidence: FloatArray) -> FloatArray:
    if calibrator.lower is None:
        raise errors.RequestRefused(
            "the policy cuts bands on the lower bound, and the calibrator has no lower curve: name one that does "
            "with --calibrator"
        )
    return np.array([calibrator.bound_of(float(value)) for value in confidence], dtype=np.float64)


def from_ledger(
    ledger: Ledger,
    model: str,
    loaded: LoadedPolicy,
    calibrator: calibrators.Calibrator | None = None,
    *,
    versions: tuple[str, ...] = (),
    pool: bool = False,
    since: float | None = None,
    seed: int = 0,
) -> Material:
    """The labels that the calibrator in force never saw, and the newest decisions.

    A label counts if it is about the primary model's answer, was drawn with a known probability, and its
    decision was made after the last label that the calibrator was fitted to. Confidences of another
    calibrator's time are computed anew from the stored evidence.

    Args:
        ledger: a snapshot.
        model: a key of the policy's models.
        loaded: the policy.
        calibrator: None: the one that the newest decision was made with.
        versions: only these model versions; empty: the one that there is.
        pool: take all model versions together.
        since: only decisions made at or after, in seconds since the epoch; None: all.
        seed: of the thinning.

    Raises:
        NotEnoughLabels: there is no decision, or no label that certifies.
        RequestRefused: there are several model versions, and it was not said which; or the calibrator is
            unknown, or does not say what it was fitted to.
    """
    entry = loaded.policy.models[model]
    scope = BandScope.of(entry, versions=versions, pool=pool)
    recent = list(_newest(ledger, model, since))
    if not recent:
        raise errors.NotEnoughLabels(f"the ledger has no decision of model {model!r}: route some first")
    inside = [decision for decision in recent if not scope.elsewhere(decision)]
    _require_one_version(inside, scope)
    calibrator = calibrator or _in_force(ledger, inside)
    confidence = _confidence(calibrator, entry)
    start = max(_fit_end(calibrator), since or 0.0)
    labelled = ledger.read(
        ledger_labelled.labelled,
        model,
        since=start,
        criterion=entry.criterion,
        label_window_seconds=loaded.policy.label_window,
    )
    usable, left_out = _usable(labelled, scope, confidence)
    if not usable:
        reasons = (
            ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items())) or "there is none"
        )
        raise errors.NotEnoughLabels(
            f"no label can certify a cut-off of the calibrator {calibrator.digest[:19]} ({reasons}): only answers "
            "given after its last label count; label the tasks that `ListTasks` shows"
        )
    sample = ExactSample.of(
        [value for _, value in usable],
        [float(each.correct) for each, _ in usable],
        propensity=[each.propensity or 1.0 for each, _ in usable],
        groups=np.array([each.decision.query.group_key or each.decision.decision_id for each, _ in usable]),
        seed=seed,
    )
    if sample.dropped:
        left_out["beyond the one that each group may have"] = sample.dropped
    known = [(decision, confidence(decision)) for decision in inside]
    measured = np.array([value for _, value in known if value is not None])
    if not measured.size:
        measured = sample.confidence
    lowest, notes = _lowest(known)
    return Material(
        sample=sample,
        confidence=measured,
        weights=np.ones(measured.size),
        calibrator=calibrator,
        lowest=lowest,
        notes=(
            f"the load is that of the newest {len(recent):,} decisions",
            *notes,
        ),
        left_out=dict(left_out),
        elsewhere=1.0 - len(inside) / len(recent),
    )


def _newest(ledger: Ledger, model: str, since: float | None) -> Iterator[Decision]:
    token, count = "", 0
    while count < MOST_DECISIONS:
        page = ledger.read(
            queries.decisions, model=model, decided_from=since, page_size=PAGE, page_token=token
        )
        for stored in page.items:
            yield stored.answers[-1]
        count, token = count + len(page.items), page.next_page_token
        if not token:
            return


def _in_force(ledger: Ledger, newest: list[Decision]) -> calibrators.Calibrator:
    digest = next(
        (each.provenance.calibrator.digest for each in newest if each.provenance.calibrator is not None), None
    )
    calibrator = None
    if digest is not None:
        calibrator = ledger.read(artifacts.calibrator_of, digest)
    if calibrator is None:
        what = (
            "no recent decision was made with a calibrator"
            if digest is None
            else f"{digest} is not there yet"
        )
        raise errors.RequestRefused(
            f"the ledger does not have the calibrator ({what}): name it with --calibrator"
        )
    return calibrator


def _confidence(calibrator: calibrators.Calibrator, entry: Model) -> Callable[[Decision], float | None]:
    """What the bands are cut on, for each decision; None where the calibrator does not take its evidence."""

    def measured(decision: Decision) -> float | None:
        own = (
            decision.provenance.calibrator is not None
            and decision.provenance.calibrator.digest == calibrator.digest
        )
        if decision.query.evidence.kind != entry.evidence:
            return None
        try:
            if entry.band_on == "lower_bound":
                stored = decision.verdict.lower_bound if own else None
                return (
                    stored
                    if stored is not None
                    else calibrator.lower_bound(decision.query.evidence, decision.query.category)
                )
            if own and decision.verdict.calibrated_confidence is not None:
                return decision.verdict.calibrated_confidence
            return calibrator.confidence(decision.query.evidence, decision.query.category)
        except calibrators.EvidenceUnusable:
            return None

    return measured


def _usable(
    labelled: list[Labelled], scope: BandScope, confidence: Callable[[Decision], float | None]
) -> tuple[list[tuple[Labelled, float]], Counter[str]]:
    usable, left_out = [], Counter[str]()
    for label in labelled:
        value = confidence(label.decision)
        if label.about != "PRIMARY":
            left_out["about another source's answer"] += 1
        elif not label.drawn or label.propensity is None:
            left_out["not drawn with a known probability"] += 1
        elif reason := scope.elsewhere(label.decision):
            left_out[reason] += 1
        elif value is None:
            left_out["with evidence that the calibrator does not take"] += 1
        else:
            usable.append((label, value))
    usable.sort(key=lambda pair: (pair[0].decision.decided_at, pair[0].decision.decision_id))
    return usable, left_out


def _lowest(known: list[tuple[Decision, float | None]]) -> tuple[Decimal, list[str]]:
    """Where others decide, labels are about their answers, and nobody knows how good the primary ones are."""
    others = [
        value
        for decision, value in known
        if value is not None and decision.verdict.source is not AnswerSource.PRIMARY
    ]
    if not others:
        return Decimal(0), []
    lowest = exact_tests.plain(exact_tests.floor(max(others)) + exact_tests.DIGITS)
    why = "there the fallback chain decides some answers, whose labels say nothing about the model's own"
    return lowest, [f"no cut-off below {lowest} is tried: {why}"]


def _require_one_version(decisions: list[Decision], scope: BandScope) -> None:
    found = {decision.query.model_version for decision in decisions}
    if len(found) > 1 and not scope.pool and not scope.versions:
        shown = ", ".join(version or "(none)" for version in sorted(found))
        raise errors.RequestRefused(
            f"the decisions are of several model versions ({shown}): name one with --model-version, or pool them "
            "with --any-version"
        )
