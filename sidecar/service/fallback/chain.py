"""The chain: takes the steps that the policy lists for a verdict, in order, within the caller's time."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sidecar.decision import conclusion
from sidecar.decision.conclusion import NO_FLOORS, FloorsBySource
from sidecar.decision.steps import FallbackStep
from sidecar.decision.verdict import Verdict
from sidecar.policy.fallback import StepTable
from sidecar.policy.floors import FloorHit
from sidecar.policy.tables import CategoryTable
from sidecar.service.fallback.steps import Attempt, Question, Step

logger = logging.getLogger(__name__)

StepName = Literal["rules", "secondary"]


@dataclass(frozen=True, slots=True)
class Chain:
    """The machine steps of one model: what deciding knows of them, and what does them."""

    tables: tuple[StepTable, ...] = ()
    steps: Mapping[StepName, Step] | None = None


def run(
    verdict: Verdict,
    question: Question,
    chain: Chain,
    category: CategoryTable,
    *,
    remaining_seconds: float | None,
    clock: Callable[[], float],
    floors: FloorsBySource = NO_FLOORS,
) -> tuple[FallbackStep, ...]:
    """The steps that were taken, each with its outcome, its code and its time; none for an answer that acts.

    It ends with the first step that clears. It calls nothing where no machine step may decide, and it is back
    before the caller's deadline: a step for which too little time is left is SKIPPED with code DEADLINE.

    Args:
        verdict: the verdict on the primary's answer.
        question: what the steps are asked.
        chain: the model's chain.
        category: the table of the request's category.
        remaining_seconds: until the caller's deadline; None where it has none.
        clock: seconds that only go forward.
        floors: floors that bind the answers of one source only.
    """
    deadline = None if remaining_seconds is None else clock() + remaining_seconds
    taken: list[FallbackStep] = []
    for table in conclusion.steps_of(verdict, chain.tables, category):
        binding = (*verdict.floors, *floors.get(conclusion.SOURCES[table.step], ()))
        step = _take(table, verdict, question, chain, category, binding, deadline, clock)
        taken.append(step)
        if step.outcome == "CLEARED":
            break
    return tuple(taken)


def _take(
    table: StepTable,
    verdict: Verdict,
    question: Question,
    chain: Chain,
    category: CategoryTable,
    floors: tuple[FloorHit, ...],
    deadline: float | None,
    clock: Callable[[], float],
) -> FallbackStep:
    code = conclusion.barred(verdict, floors)
    if code:
        return FallbackStep(step=table.step, outcome="SKIPPED", code=code)
    step = None if chain.steps is None else chain.steps.get(table.step)
    if step is None:
        return FallbackStep(step=table.step, outcome="FAILED", code="NOT_CONNECTED")
    began = clock()
    budget = step.budget(None if deadline is None else deadline - began)
    if budget is None:
        return FallbackStep(step=table.step, outcome="SKIPPED", code=conclusion.DEADLINE)
    try:
        attempt = step.attempt(question, budget)
    except Exception:
        logger.exception("fallback_step_failed", extra={"fields": {"step": table.step}})
        attempt = Attempt(outcome="FAILED", code="INTERNAL_ERROR")
    ended = clock()
    if deadline is not None and ended >= deadline:
        # Nobody waits for this answer any more.
        attempt = Attempt(outcome="FAILED", code="DEADLINE_EXCEEDED", rule=attempt.rule)
    return _judged(table, attempt, category, floors, ended - began)


def _judged(
    table: StepTable,
    attempt: Attempt,
    category: CategoryTable,
    floors: tuple[FloorHit, ...],
    duration_seconds: float,
) -> FallbackStep:
    outcome: Literal["CLEARED", "NOT_CLEARED", "NO_ANSWER", "FAILED", "SKIPPED"]
    code = attempt.code
    if attempt.outcome != "ANSWERED":
        outcome = attempt.outcome
    elif attempt.calibrated_confidence is None:
        outcome = "NOT_CLEARED"
    else:
        judgement = conclusion.judge(
            table, attempt.rule, attempt.calibrated_confidence, attempt.lower_bound, category, floors
        )
        outcome = "NOT_CLEARED" if judgement.action is None else "CLEARED"
        code = judgement.code
    return FallbackStep(
        step=table.step,
        outcome=outcome,
        code=code,
        duration_seconds=duration_seconds,
        rule=attempt.rule,
        answer_class=attempt.answer_class,
        raw_confidence=attempt.raw_confidence,
        calibrated_confidence=attempt.calibrated_confidence,
        lower_bound=attempt.lower_bound,
        calibrator=attempt.calibrator,
    )
