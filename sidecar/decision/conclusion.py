"""What the steps of a fallback chain change about a verdict: pure, so that it recomputes what it answered."""

from collections.abc import Mapping, Sequence

import msgspec

from sidecar.decision.steps import FallbackStep
from sidecar.decision.verdict import BLOCKING_TASKS, Verdict
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action, AnswerSource, Reason, TaskKind
from sidecar.policy.fallback import StepTable
from sidecar.policy.floors import FloorHit
from sidecar.policy.model import STRICTNESS
from sidecar.policy.tables import CategoryTable, Cell

SOURCES = {"rules": AnswerSource.RULES, "secondary": AnswerSource.SECONDARY}
SOURCE_REASONS = {AnswerSource.RULES: Reason.RULE, AnswerSource.SECONDARY: Reason.SECONDARY}
DEADLINE = Reason.DEADLINE.value

FloorsBySource = Mapping[AnswerSource, tuple[FloorHit, ...]]
"""The floors that bind an answer of a source only, such as a suspension of the secondary model."""

NO_FLOORS: FloorsBySource = {}


class Judgement(msgspec.Struct, frozen=True):
    """Whether an answer of a step clears: the action that it gets, or the code of what stands in the way."""

    action: Action | None
    code: str = ""
    floors: tuple[FloorHit, ...] = ()


def steps_of(verdict: Verdict, chain: Sequence[StepTable], category: CategoryTable) -> tuple[StepTable, ...]:
    """The machine steps that the policy lists for a verdict; none where the answer acts already.

    A step without `bands` runs in every band that does not act. Where review is mandatory, or there is no
    band, since something stands in the way of the confidence, every step is listed, and `barred` says why it
    is skipped.
    """
    if not chain or verdict.action in AUTOMATIC_ACTIONS:
        return ()
    if verdict.mandatory or not verdict.band:
        return tuple(chain)
    automatic = _acts(category, verdict)
    return tuple(
        step for step in chain if (not automatic if step.bands is None else verdict.band in step.bands)
    )


def barred(verdict: Verdict, floors: Sequence[FloorHit] = ()) -> str:
    """Why no machine step may decide, as a code; empty where one may.

    MANDATORY_REVIEW; the reason of another floor that permits no action; or, where no confidence could be
    read off, what stands in its way: an answer that nothing is known about is not cleared by a machine.
    """
    if verdict.mandatory:
        return Reason.MANDATORY_REVIEW.value
    for floor in (*verdict.floors, *floors):
        if not AUTOMATIC_ACTIONS.intersection(floor.permitted):
            return floor.reason.value
    if Reason.BAND not in verdict.reasons or verdict.calibrated_confidence is None:
        return next((reason.value for reason in verdict.reasons), Reason.NO_CALIBRATOR.value)
    return ""


def judge(
    step: StepTable,
    rule: str,
    confidence: float,
    lower_bound: float | None,
    category: CategoryTable,
    floors: Sequence[FloorHit],
) -> Judgement:
    """Whether a step's answer clears, given the rule that made it, if any, and its calibrated confidence.

    Where bands are cut on the lower bound, they are for a step's answer too, and one without a bound clears
    nothing. Its band must act; the stricter of the band's action and the rule's is taken; and every floor, those at
    this confidence included, must permit that: a floor never leads to another action here, since the hold
    that the chain was started with stands anyway.
    """
    mildest = step.actions.get(rule) if step.step == "rules" else Action.AUTO_ROUTE
    if mildest is None:
        return Judgement(None, "UNKNOWN_RULE")
    number = category.cut_on(confidence, lower_bound)
    if number is None:
        return Judgement(None, Reason.NO_LOWER_BOUND.value)
    if not (0.0 <= number <= 1.0 and 0.0 <= confidence <= 1.0):  # NaN too, which would fall into the top band
        return Judgement(None, "OUT_OF_RANGE")
    cell = category.cell_at(number)
    if cell.action not in AUTOMATIC_ACTIONS:
        return Judgement(None, "BAND_NOT_AUTOMATIC")
    action = mildest if STRICTNESS[mildest] > STRICTNESS[cell.action] else cell.action
    own = category.floor_at(confidence, lower_bound)
    binding = tuple(floors) if own is None or own in floors else (*floors, own)
    for floor in binding:
        if action not in floor.permitted:
            return Judgement(None, floor.reason.value)
    return Judgement(action, floors=binding)


def conclude(
    verdict: Verdict,
    steps: tuple[FallbackStep, ...],
    *,
    category: CategoryTable,
    chain: Sequence[StepTable],
    floors: FloorsBySource = NO_FLOORS,
) -> Verdict:
    """The verdict after the chain: the first step that cleared decides, else the verdict stands.

    Nothing is taken on a step's word: whether it was listed, may decide, and clears, is found out again here.

    Args:
        verdict: the verdict on the primary's answer.
        steps: the steps as they were taken.
        category: the table of the request's category.
        chain: the policy's machine steps.
        floors: see `FloorsBySource`.
    """
    late = any(step.code == DEADLINE for step in steps)
    kept = msgspec.structs.replace(verdict, reasons=(*verdict.reasons, Reason.DEADLINE)) if late else verdict
    listed: dict[str, StepTable] = {step.step: step for step in steps_of(verdict, chain, category)}
    for step in steps:
        table = listed.get(step.step)
        if table is None or step.outcome != "CLEARED" or step.calibrated_confidence is None:
            continue
        source = SOURCES[table.step]
        binding = (*verdict.floors, *floors.get(source, ()))
        if barred(verdict, binding):
            continue
        judgement = judge(table, step.rule, step.calibrated_confidence, step.lower_bound, category, binding)
        number = category.cut_on(step.calibrated_confidence, step.lower_bound)
        if judgement.action is None or number is None:
            continue
        cell = category.cell_at(number)
        return _cleared(kept, judgement, judgement.action, cell, source, step.answer_class)
    return kept


def closing_steps(action: Action, *, unavailable: bool) -> tuple[FallbackStep, ...]:
    """The steps after the machine's, once it is known whether the review queue takes the answer.

    `review` has no answer yet (PENDING), or failed (REVIEW_UNAVAILABLE); then `uncertain` follows.
    """
    if unavailable:
        failed = FallbackStep(step="review", outcome="FAILED", code=Reason.REVIEW_UNAVAILABLE.value)
        return (failed, FallbackStep(step="uncertain", outcome="NO_ANSWER"))
    if action in BLOCKING_TASKS:
        return (FallbackStep(step="review", outcome="NO_ANSWER", code="PENDING"),)
    return (FallbackStep(step="uncertain", outcome="NO_ANSWER"),) if action is Action.UNCERTAIN else ()


def _acts(category: CategoryTable, verdict: Verdict) -> bool:
    number = category.cut_on(verdict.calibrated_confidence, verdict.lower_bound)
    return number is not None and category.cell_at(number).action in AUTOMATIC_ACTIONS


def _cleared(
    verdict: Verdict,
    judgement: Judgement,
    action: Action,
    cell: Cell,
    source: AnswerSource,
    answer_class: str,
) -> Verdict:
    acting = verdict.enforced and Reason.SHADOW not in verdict.reasons
    tasks: tuple[TaskKind, ...] = ()
    audit_rate, audit_budget = cell.audit_rate, cell.audit_budget
    if acting and action in BLOCKING_TASKS:
        # A person sees it anyway, so it is not drawn: as for an answer of the primary.
        tasks, audit_rate, audit_budget = (BLOCKING_TASKS[action],), 0.0, 0
    elif acting and action is Action.AUTO_ROUTE_FLAGGED:
        # A flag that a rule raised, in a band without one, has no setting of its own: a person looks at it.
        looked_at = cell.batch_review or cell.action is not Action.AUTO_ROUTE_FLAGGED
        tasks = (TaskKind.BATCH,) if looked_at else ()
    return msgspec.structs.replace(
        verdict,
        action=action,
        may_act=acting and action in AUTOMATIC_ACTIONS,
        band=cell.name,
        reasons=(*verdict.reasons, SOURCE_REASONS[source]),
        floors=judgement.floors,
        audit_rate=audit_rate,
        audit_budget=audit_budget,
        tasks=tasks,
        source=source,
        final_class=answer_class,
    )
