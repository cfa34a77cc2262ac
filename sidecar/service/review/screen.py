"""What a reviewer is shown of a task: one value, which is told over the wire and whose digest is kept."""

import hashlib

import msgspec

from calibrators import evidence
from sidecar.decision.steps import FallbackStep
from sidecar.decision.tasks import Task
from sidecar.decision.verdict import Verdict
from sidecar.policy.actions import Reason, TaskKind

MOST_CANDIDATES = 5


class ShownCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A possible answer, with the raw confidence that the evidence alone gives it."""

    answer_class: str
    raw_confidence: float


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """All that a reviewer sees of a decision. A blind task hides the answer, and what would betray it."""

    task_id: str
    kind: TaskKind
    origin_kind: TaskKind | None
    decision_id: str
    answer_id: str
    tenant: str
    model: str
    model_version: str
    category: str
    subject_ref: str
    mandatory: bool
    blind: bool
    reasons: tuple[Reason, ...]
    predicted_class: str
    calibrated_confidence: float | None
    lower_bound: float | None = None
    context: dict[str, str]
    steps: tuple[FallbackStep, ...]
    candidates: tuple[ShownCandidate, ...]


def shown(task: Task, classes: tuple[str, ...] = ()) -> Shown:
    """What a reviewer sees of a task.

    Args:
        task: with its decision.
        classes: the names of the positions of the evidence's vector; empty where the policy lists none.
    """
    answer = task.decision
    return Shown(
        task_id=task.task_id,
        kind=task.kind,
        origin_kind=task.origin_kind,
        decision_id=task.decision_id,
        answer_id=task.answer_id,
        tenant=task.tenant,
        model=task.model,
        model_version=answer.query.model_version,
        category=task.category,
        subject_ref=answer.query.subject_ref,
        mandatory=task.mandatory,
        blind=task.blind,
        reasons=answer.reasons,
        predicted_class="" if task.blind else answer.final_class or answer.query.predicted_class,
        calibrated_confidence=None if task.blind else confidence(task),
        lower_bound=None if task.blind else lower_bound(task),
        context=answer.query.context,
        steps=tuple(_without_answer(step) for step in answer.steps) if task.blind else answer.steps,
        candidates=() if task.blind else candidates(task, classes),
    )


def digest(given: Shown) -> str:
    """The SHA-256 digest of what was shown."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(given, order="deterministic")).hexdigest()


def confidence(task: Task) -> float | None:
    """The calibrated confidence in the judged answer: the primary's, or that of the step that gave it."""
    return _judged(task).calibrated_confidence


def lower_bound(task: Task) -> float | None:
    """The lower bound of `confidence`, where its calibrator carries a lower curve."""
    return _judged(task).lower_bound


def _judged(task: Task) -> Verdict | FallbackStep:
    answer = task.decision
    cleared = (step for step in answer.steps if step.outcome == "CLEARED")
    return next((step for step in cleared if step.answer_class == answer.final_class), answer.verdict)


def candidates(task: Task, classes: tuple[str, ...]) -> tuple[ShownCandidate, ...]:
    """The likeliest classes, where the evidence is a vector and the classes have names."""
    probabilities = evidence.candidates(task.decision.query.evidence)
    if probabilities is None or len(probabilities) != len(classes):
        return ()
    listed = sorted(zip(classes, probabilities, strict=True), key=lambda each: each[1], reverse=True)
    return tuple(
        ShownCandidate(answer_class=name, raw_confidence=probability)
        for name, probability in listed[:MOST_CANDIDATES]
    )


def _without_answer(step: FallbackStep) -> FallbackStep:
    return FallbackStep(
        step=step.step, outcome=step.outcome, code=step.code, duration_seconds=step.duration_seconds
    )
