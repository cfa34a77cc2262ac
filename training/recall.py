"""The recall: the decisions that acted only because of one calibrator, found by deciding each of them again."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from calibrators import Calibrator
from calibrators.errors import EvidenceUnusable, TruebandError
from sidecar import dialect
from sidecar.decision import recompute
from sidecar.decision.conclusion import SOURCES
from sidecar.decision.records import Decision, InForce
from sidecar.decision.steps import FallbackStep
from sidecar.decision.verdict import Verdict
from sidecar.ledger.queries import StoredDecision
from sidecar.policy.tables import ModelTable

Effect = Literal["ONLY_BECAUSE", "ANYWAY", "UNKNOWN"]

Instead = Callable[[Decision, str], Calibrator | None]
"""What would have decided in place of the calibrator: of an answer and a slot; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """An answer that acted with the calibrator, and what it would have come to without.

    Attributes:
        decision: the answer.
        effect: ONLY_BECAUSE, or it would have acted ANYWAY, or UNKNOWN where it cannot be decided again.
        then: the band that it acted in.
        now: the band that it would be in; empty: none.
        action: what would have become of it.
        instead: digest of what decided in its place; empty: nothing.
        problem: why it is UNKNOWN.
    """

    decision: Decision
    effect: Effect
    then: str
    now: str = ""
    action: str = ""
    instead: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """What answers are decided again with. Each raises a `TruebandError` where the ledger lacks something.

    Attributes:
        table_of: the policy's table that an answer was decided under, floors included.
        calibrator_of: the calibrator behind a digest.
        instead: what would have decided in place of the recalled one.
    """

    table_of: Callable[[Decision], ModelTable]
    calibrator_of: Callable[[str], Calibrator]
    instead: Instead


def recalled(stored: StoredDecision, digest: str, deciding: Deciding) -> Recalled | None:
    """What a decision that acted owes to a calibrator; None where none of its answers acted with it.

    A decision acted only because of it if no answer that acted would have done so otherwise, with the evidence,
    floors and step outcomes that were recorded. A machine step that was not asked then would not have answered.

    Args:
        stored: with all its answers.
        digest: of the calibrator, of the primary or of a step of the fallback chain.
        deciding: what to decide with.
    """
    acting = [answer for answer in stored.answers if answer.may_act]
    with_it = [answer for answer in acting if uses(answer, digest)]
    if not with_it:
        return None
    again = [_again(answer, digest, deciding) for answer in with_it]
    if len(with_it) < len(acting):  # another answer acted without it
        return replace(again[0], effect="ANYWAY")
    for effect in ("ANYWAY", "UNKNOWN"):
        for each in again:
            if each.effect == effect:
                return each
    return again[0]


def uses(answer: Decision, digest: str) -> bool:
    """Whether a calibrator had a part in an answer."""
    return (
        answer.provenance.calibrator is not None and answer.provenance.calibrator.digest == digest
    ) or any(_of_step(step, digest) for step in answer.steps)


def before_it(slots: Mapping[str, Sequence[InForce]], answer: Decision, slot: str, digest: str) -> str:
    """Digest of what was in force in an answer's slot before the calibrator was; empty: nothing was.

    Args:
        slots: everything that was put in force, oldest first, by slot.
        answer: decided with the calibrator.
        slot: whose calibrator it was: `primary`, `secondary` or `rules/NAME`.
        digest: of the calibrator.
    """
    names = [
        dialect.slot_name("calibrator", answer.query.model, version, slot)
        for version in (answer.query.model_version, "")
    ]
    rows = next(
        (slots[name] for name in names if any(row.digest == digest for row in slots.get(name, ()))), ()
    )
    for row in reversed(rows):
        if row.since <= answer.decided_at and row.digest != digest:
            return row.digest
    return ""


def counts(found: Iterable[Recalled]) -> dict[Effect, int]:
    """How many there are of each."""
    numbers: dict[Effect, int] = {"ONLY_BECAUSE": 0, "ANYWAY": 0, "UNKNOWN": 0}
    for each in found:
        numbers[each.effect] += 1
    return numbers


def _again(answer: Decision, digest: str, deciding: Deciding) -> Recalled:
    try:
        verdict, other = _verdict(answer, digest, deciding)
    except TruebandError as problem:
        return Recalled(decision=answer, effect="UNKNOWN", then=answer.verdict.band, problem=str(problem))
    return Recalled(
        decision=answer,
        effect="ANYWAY" if verdict.may_act else "ONLY_BECAUSE",
        then=answer.verdict.band,
        now=verdict.band,
        action=verdict.action.value,
        instead="" if other is None else other.digest,
    )


def _verdict(answer: Decision, digest: str, deciding: Deciding) -> tuple[Verdict, Calibrator | None]:
    """The verdict without the calibrator, and what took its place."""
    used: Calibrator | None = None
    steps: list[FallbackStep] = []
    for step in answer.steps:
        if _of_step(step, digest):
            used = deciding.instead(answer, _source(step))
            steps.append(_step_under(step, used, answer.query.category))
        else:
            steps.append(step)
    primary = None
    if answer.provenance.calibrator is not None and answer.provenance.calibrator.digest == digest:
        primary = used = deciding.instead(answer, "primary")
    elif answer.provenance.calibrator is not None:
        primary = deciding.calibrator_of(answer.provenance.calibrator.digest)
    changed = msgspec.structs.replace(answer, steps=tuple(steps))
    floors = recompute.recorded_floors(answer)
    return recompute.again(changed, deciding.table_of(answer), primary, floors), used


def _step_under(step: FallbackStep, other: Calibrator | None, category: str) -> FallbackStep:
    """The step as if another calibrator had been in force; whether it clears is found out again."""
    calibrated = None
    if other is not None and other.applies_to is not None and other.applies_to.source == step.step:
        if other.kind == "constant":
            calibrated = other.apply_one(0.5, category)
        elif step.step == "secondary" and step.raw_confidence is not None:
            if other.takes_vector:
                raise EvidenceUnusable("the secondary's evidence was not kept, and a map of vectors needs it")
            calibrated = other.apply_one(step.raw_confidence, category)
    return msgspec.structs.replace(
        step,
        outcome="NOT_CLEARED" if calibrated is None else "CLEARED",
        calibrated_confidence=calibrated,
        lower_bound=None if calibrated is None or other is None else other.bound_of(calibrated),
    )


def _of_step(step: FallbackStep, digest: str) -> bool:
    return step.step in SOURCES and step.calibrator is not None and step.calibrator.digest == digest


def _source(step: FallbackStep) -> str:
    return f"rules/{step.rule}" if step.step == "rules" else step.step
