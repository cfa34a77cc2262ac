"""The material in a ledger: which of its labels certify, and which decisions the model's bands decide."""

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal

import numpy as np

import calibrators
from sidecar.decision.records import Decision
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import AnswerSource
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.model import Model
from training import errors
from training.cut_offs import grid
from training.cut_offs.material import Material, fit_end
from training.cut_offs.scope import Scope
from training.cut_offs.thinning import Sample

MOST_DECISIONS = 20_000
"""So many of the newest decisions tell the load."""

PAGE = 500


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
    scope = Scope.of(entry, versions=versions, pool=pool)
    recent = list(_newest(ledger, model, since))
    if not recent:
        raise errors.NotEnoughLabels(f"the ledger has no decision of model {model!r}: route some first")
    inside = [decision for decision in recent if not scope.elsewhere(decision)]
    _require_one_version(inside, scope)
    calibrator = calibrator or _in_force(ledger, inside)
    confidence = _confidence(calibrator, entry)
    start = max(fit_end(calibrator), since or 0.0)
    labelled = ledger.labelled(
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
    sample = Sample.of(
        [value for _, value in usable],
        [float(each.correct) for each, _ in usable],
        propensity=[each.propensity or 1.0 for each, _ in usable],
        groups=np.array([each.decision.group_key or each.decision.decision_id for each, _ in usable]),
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


def _usable(
    labelled: list[Labelled], scope: Scope, confidence: Callable[[Decision], float | None]
) -> tuple[list[tuple[Labelled, float]], Counter[str]]:
    usable, left_out = [], Counter[str]()
    for each in labelled:
        value = confidence(each.decision)
        if each.about != "PRIMARY":
            left_out["about another source's answer"] += 1
        elif not each.drawn or each.propensity is None:
            left_out["not drawn with a known probability"] += 1
        elif reason := scope.elsewhere(each.decision):
            left_out[reason] += 1
        elif value is None:
            left_out["with evidence that the calibrator does not take"] += 1
        else:
            usable.append((each, value))
    usable.sort(key=lambda pair: (pair[0].decision.decided_at, pair[0].decision.decision_id))
    return usable, left_out


def _newest(ledger: Ledger, model: str, since: float | None) -> Iterator[Decision]:
    token, count = "", 0
    while count < MOST_DECISIONS:
        page = ledger.decisions(model=model, decided_from=since, page_size=PAGE, page_token=token)
        for stored in page.items:
            yield stored.answers[-1]
        count, token = count + len(page.items), page.next_page_token
        if not token:
            return


def _in_force(ledger: Ledger, newest: list[Decision]) -> calibrators.Calibrator:
    digest = next((each.calibrator.digest for each in newest if each.calibrator is not None), None)
    artifact = None if digest is None else ledger.artifact(digest)
    if artifact is None:
        what = (
            "no recent decision was made with a calibrator"
            if digest is None
            else f"{digest} is not there yet"
        )
        raise errors.RequestRefused(
            f"the ledger does not have the calibrator ({what}): name it with --calibrator"
        )
    return calibrators.loads(artifact.body)


def _confidence(calibrator: calibrators.Calibrator, entry: Model) -> Callable[[Decision], float | None]:
    """What the bands are cut on, for each decision; None where the calibrator does not take its evidence."""

    def measured(decision: Decision) -> float | None:
        own = decision.calibrator is not None and decision.calibrator.digest == calibrator.digest
        if decision.evidence.kind != entry.evidence:
            return None
        try:
            if entry.band_on == "lower_bound":
                stored = decision.lower_bound if own else None
                return (
                    stored
                    if stored is not None
                    else calibrator.lower_bound(decision.evidence, decision.category)
                )
            if own and decision.calibrated_confidence is not None:
                return decision.calibrated_confidence
            return calibrator.confidence(decision.evidence, decision.category)
        except calibrators.EvidenceUnusable:
            return None

    return measured


def _require_one_version(decisions: list[Decision], scope: Scope) -> None:
    found = {decision.model_version for decision in decisions}
    if len(found) > 1 and not scope.pool and not scope.versions:
        shown = ", ".join(version or "(none)" for version in sorted(found))
        raise errors.RequestRefused(
            f"the decisions are of several model versions ({shown}): name one with --model-version, or pool them "
            "with --any-version"
        )


def _lowest(known: list[tuple[Decision, float | None]]) -> tuple[Decimal, list[str]]:
    """Where others decide, labels are about their answers, and nobody knows how good the primary ones are."""
    others = [
        value
        for decision, value in known
        if value is not None and decision.source is not AnswerSource.PRIMARY
    ]
    if not others:
        return Decimal(0), []
    lowest = grid.plain(grid.floor(max(others)) + grid.DIGITS)
    why = "there the fallback chain decides some answers, whose labels say nothing about the model's own"
    return lowest, [f"no cut-off below {lowest} is tried: {why}"]
