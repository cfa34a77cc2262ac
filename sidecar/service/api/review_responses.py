"""Our own types to messages of `ReviewService`."""

from trueband.v1 import decision_pb2, review_pb2

from sidecar.decision.tasks import Slot, Task
from sidecar.ledger.outcomes import Outcome
from sidecar.service.api import responses
from sidecar.service.review.screen import Shown


def task(given: Task, shown: Shown, own: Slot | None = None) -> review_pb2.Task:
    """A task as it is shown to a reviewer.

    Args:
        given: as read.
        shown: what of its decision may be seen.
        own: the reviewer's slot, whose lease is told; None: the first lease that has not ended.
    """
    leased = own or next((slot for slot in given.slots if slot.completion is None and slot.lease_until), None)
    return review_pb2.Task(
        task_id=shown.task_id,
        kind=f"TASK_KIND_{shown.kind}",
        origin_kind=None if shown.origin_kind is None else f"TASK_KIND_{shown.origin_kind}",
        state=f"TASK_STATE_{given.state}",
        decision_id=shown.decision_id,
        answer_id=shown.answer_id,
        reasons=[responses.REASONS[reason] for reason in shown.reasons],
        tenant=shown.tenant,
        model=shown.model,
        model_version=shown.model_version,
        category=shown.category,
        predicted_class=shown.predicted_class,
        calibrated_confidence=shown.calibrated_confidence,
        lower_confidence=shown.lower_bound,
        blind=shown.blind,
        context=shown.context,
        steps=[responses.fallback_step(step) for step in shown.steps],
        candidates=[
            decision_pb2.Candidate(answer_class=each.answer_class, raw_confidence=each.raw_confidence)
            for each in shown.candidates
        ],
        created_at=responses.timestamp(given.created_at),
        due_at=responses.timestamp(given.due_at),
        mandatory=shown.mandatory,
        subject_ref=shown.subject_ref,
        skill=given.skill,
        lease=None if leased is None else lease(leased),
    )


def lease(slot: Slot) -> review_pb2.Lease:
    """Who has a slot, and until when."""
    return review_pb2.Lease(
        reviewer=slot.reviewer or "",
        fence=slot.fence,
        expires_at=None if slot.lease_until is None else responses.timestamp(slot.lease_until),
    )


def outcome(given: Outcome) -> review_pb2.Outcome:
    """How a decision ended."""
    return review_pb2.Outcome(
        decision_id=given.decision_id,
        kind=f"OUTCOME_KIND_{given.kind}",
        final_class=given.final_class,
        decided_by=given.decided_by,
        by_person=given.by_person,
        shown_digest=given.shown_digest,
        decided_at=responses.timestamp(given.decided_at),
        expires_at=None if given.expires_at is None else responses.timestamp(given.expires_at),
        explanation=given.explanation,
    )


def pending(decision_id: str) -> review_pb2.Outcome:
    """That no person has decided yet."""
    return review_pb2.Outcome(decision_id=decision_id, kind=review_pb2.OUTCOME_KIND_PENDING)
