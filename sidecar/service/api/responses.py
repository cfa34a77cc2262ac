"""Our own types to messages."""

from collections.abc import Iterable
from typing import Any, TypeVar

from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message
from trueband.v1 import decision_pb2, evidence_pb2, label_pb2, routing_pb2

from calibrators.errors import TruebandError
from calibrators.evidence import Evidence
from sidecar import errors
from sidecar.decision import records
from sidecar.decision.labels import ResolvedLabel
from sidecar.decision.steps import CalibratorReference, FallbackStep
from sidecar.ledger import pages
from sidecar.policy.actions import Action, AnswerSource, Intent, Reason
from sidecar.service.api import statuses
from sidecar.service.deciding.answers import Answer

ACTIONS: dict[Action, Any] = {action: decision_pb2.Action.Value(f"ACTION_{action}") for action in Action}
REASONS: dict[Reason, Any] = {reason: decision_pb2.Reason.Value(f"REASON_{reason}") for reason in Reason}
SOURCES: dict[AnswerSource, Any] = {
    source: decision_pb2.AnswerSource.Value(f"ANSWER_SOURCE_{source}") for source in AnswerSource
}
INTENTS: dict[Intent, Any] = {intent: decision_pb2.Intent.Value(f"INTENT_{intent}") for intent in Intent}

M = TypeVar("M", bound=Message)

OPTIONAL_TEXTS = ("tenant", "model_version", "category", "subject_ref")
"""Fields of the same name in a query."""


def size_of(message: Message) -> int:
    """How many bytes a message takes as one of many in another one."""
    return message.ByteSize() + 5  # its tag and its length


def fitting(messages: Iterable[M]) -> list[M]:
    """As many of the first messages as a client that sets nothing can receive in one answer; at least one."""
    return pages.within(messages, size_of)


def write_decision(message: decision_pb2.Decision, given: records.Decision) -> None:
    """Fills an empty message with a recorded decision. It never tells whether it was drawn for audit.

    In place, and without the fields that are empty: once for every answer, a copy would be a third of the cost.
    """
    query, verdict, provenance = given.query, given.verdict, given.provenance
    message.decision_id = given.decision_id
    message.answer_id = given.answer_id
    message.action = ACTIONS[given.action]
    message.source = SOURCES[verdict.source]
    message.intent = INTENTS[query.intent]
    if given.may_act:
        message.may_act = True
    if verdict.enforced:
        message.enforced = True
    if verdict.raw_confidence is not None:
        message.raw_confidence = verdict.raw_confidence
    if verdict.calibrated_confidence is not None:
        message.calibrated_confidence = verdict.calibrated_confidence
    if verdict.lower_bound is not None:
        message.lower_confidence = verdict.lower_bound
    message.reasons.extend([REASONS[reason] for reason in given.reasons])
    message.band = verdict.band
    message.final_class = given.final_class
    message.model = query.model
    for name in OPTIONAL_TEXTS:
        text = getattr(query, name)
        if text:
            setattr(message, name, text)
    message.policy_digest = provenance.policy_digest
    message.floors_digest = provenance.floors_digest
    message.sidecar_id = provenance.sidecar_id
    message.engine_version = provenance.engine_version
    _write_time(message.decided_at, given.decided_at)
    _write_time(message.expires_at, given.expires_at)
    if provenance.calibrator is not None:
        _write_calibrator(message.calibrator, provenance.calibrator, given.stale_seconds)
    for step in given.steps:
        message.steps.append(fallback_step(step))
    for hit in verdict.floors:
        message.floors.add(
            floor=hit.floor,
            reason=REASONS[hit.reason],
            permitted=[ACTIONS[action] for action in hit.permitted],
        )


def decision(given: records.Decision) -> decision_pb2.Decision:
    """A recorded decision, as it was answered."""
    message = decision_pb2.Decision()
    write_decision(message, given)
    return message


def write_answer(message: decision_pb2.Decision, given: Answer) -> None:
    """Fills an empty message with a decision as it is told to the caller."""
    write_decision(message, given.decision)
    if given.replayed:
        message.replayed = True
    for candidate in given.candidates:
        message.candidates.add(
            answer_class=candidate.answer_class,
            raw_confidence=candidate.raw_confidence,
            calibrated_confidence=candidate.calibrated_confidence,
        )
    if given.retry_after_seconds is not None:
        message.retry_after.CopyFrom(duration(given.retry_after_seconds))


def write_error(message: routing_pb2.ItemError, error: TruebandError) -> None:
    """Fills an empty message with what a single call would have failed with."""
    message.code = statuses.code_of(error)
    message.reason = error.code
    message.message = statuses.text_of(error)
    if isinstance(error, errors.InvalidRequest):
        for item in error.violations:
            message.field_violations.add(field=item.field, description=item.description)


def calibrator(given: CalibratorReference, stale_seconds: float | None) -> decision_pb2.CalibratorReference:
    """A calibrator, and how long ago it was confirmed."""
    message = decision_pb2.CalibratorReference()
    _write_calibrator(message, given, stale_seconds)
    return message


def fallback_step(given: FallbackStep) -> decision_pb2.FallbackStep:
    """One step of the fallback chain."""
    return decision_pb2.FallbackStep(
        step=given.step,
        outcome=f"STEP_OUTCOME_{given.outcome}",
        code=given.code,
        rule=given.rule,
        duration=duration(given.duration_seconds),
        answer_class=given.answer_class,
        raw_confidence=given.raw_confidence,
        calibrated_confidence=given.calibrated_confidence,
        lower_confidence=given.lower_bound,
        calibrator=None if given.calibrator is None else calibrator(given.calibrator, None),
    )


def evidence(given: Evidence) -> evidence_pb2.Evidence:
    """Evidence as the ledger keeps it: of token log-probabilities, the answer span only."""
    values = given.values
    if given.kind == "score":
        return evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=values[0]))
    if given.kind == "positive_probability":
        return evidence_pb2.Evidence(
            positive_probability=evidence_pb2.PositiveProbability(probability=values[0])
        )
    if given.kind == "probabilities":
        return evidence_pb2.Evidence(probabilities=evidence_pb2.Probabilities(values=values))
    if given.kind == "logits":
        return evidence_pb2.Evidence(logits=evidence_pb2.Logits(values=values))
    finish = evidence_pb2.FINISH_REASON_LENGTH if given.truncated else evidence_pb2.FINISH_REASON_UNSPECIFIED
    return evidence_pb2.Evidence(
        token_log_probabilities=evidence_pb2.TokenLogProbabilities(values=values, finish_reason=finish)
    )


def label(given: records.Label) -> label_pb2.Label:
    """A recorded label."""
    value: dict[str, Any]
    if given.cannot_tell:
        value = {"cannot_tell": label_pb2.CannotTell(explanation=given.note)}
    elif given.true_class is not None:
        value = {"true_class": given.true_class}
    else:
        value = {"correct": given.correct}
    return label_pb2.Label(
        decision_id=given.decision_id,
        about=f"LABEL_SUBJECT_{given.about}",
        true_category=given.true_category,
        criterion=given.criterion,
        guideline_version=given.guideline_version,
        source=given.source,
        event_id=given.event_id,
        task_id=given.task_id,
        observed_at=timestamp(given.observed_at),
        channel=f"LABEL_CHANNEL_{given.channel}",
        supersedes=given.supersedes,
        reviewer=given.reviewer,
        note=given.note,
        **value,
    )


def label_status(status: str) -> str:
    """The status of a label's receipt, by its name in the contract."""
    return f"LABEL_STATUS_{status}"


def label_record(given: ResolvedLabel) -> label_pb2.LabelRecord:
    """A label with what the ledger makes of it."""
    return label_pb2.LabelRecord(
        label=label(given.label),
        state=f"LABEL_STATE_{given.state}",
        recorded_at=timestamp(given.label.recorded_at),
        drawn=given.drawn,
    )


def timestamp(seconds: float) -> timestamp_pb2.Timestamp:
    """A time, to the microsecond: all that a double of this size keeps."""
    microseconds = round(seconds * 1e6)
    return timestamp_pb2.Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def duration(seconds: float) -> duration_pb2.Duration:
    """A length of time, to the microsecond."""
    microseconds = round(seconds * 1e6)
    return duration_pb2.Duration(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def _write_calibrator(
    message: decision_pb2.CalibratorReference,
    given: CalibratorReference,
    stale_seconds: float | None,
) -> None:
    message.name = given.name
    message.version = given.version
    message.kind = given.kind
    message.digest = given.digest
    if stale_seconds is not None:
        microseconds = int(stale_seconds * 1e6 + 0.5)
        message.stale_age.seconds = microseconds // 1_000_000
        message.stale_age.nanos = microseconds % 1_000_000 * 1000


def _write_time(message: timestamp_pb2.Timestamp, seconds: float) -> None:
    microseconds = int(seconds * 1e6 + 0.5)
    message.seconds = microseconds // 1_000_000
    message.nanos = microseconds % 1_000_000 * 1000
