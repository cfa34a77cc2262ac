"""Messages to our own types. Every bad field is named; nothing malformed gets past here."""

from collections.abc import Iterable, Mapping
from typing import Any

from trueband.v1 import decision_pb2, evidence_pb2, label_pb2, routing_pb2

from calibrators import evidence
from calibrators.evidence import Evidence
from sidecar.decision.labels import REVIEW_SOURCE
from sidecar.decision.query import Query
from sidecar.decision.records import Label, LabelChannel, LabelSubject
from sidecar.errors import InvalidRequest, Violation
from sidecar.policy.actions import Intent
from sidecar.service.api import field_checks
from sidecar.service.deciding.router import fingerprint_of

MAX_ITEMS = 10_000
MAX_VALUES = 131_072

INTENTS = {
    decision_pb2.INTENT_UNSPECIFIED: Intent.LIVE,
    decision_pb2.INTENT_LIVE: Intent.LIVE,
    decision_pb2.INTENT_SHADOW: Intent.SHADOW,
}
CATEGORY_SOURCES = {
    routing_pb2.CATEGORY_SOURCE_UNSPECIFIED: False,
    routing_pb2.CATEGORY_SOURCE_CALLER: False,
    routing_pb2.CATEGORY_SOURCE_MODEL: True,
}
BOUNDED_TEXTS = (
    "tenant",
    "model",
    "model_version",
    "request_id",
    "subject_ref",
    "group_key",
    "category",
    "predicted_class",
    "answer_digest",
)
TRUNCATED = frozenset({evidence_pb2.FINISH_REASON_LENGTH, evidence_pb2.FINISH_REASON_CONTENT_FILTER})
SUBJECTS: Mapping[int, LabelSubject] = {
    label_pb2.LABEL_SUBJECT_UNSPECIFIED: "FINAL",
    label_pb2.LABEL_SUBJECT_FINAL: "FINAL",
    label_pb2.LABEL_SUBJECT_PRIMARY: "PRIMARY",
    label_pb2.LABEL_SUBJECT_SECONDARY: "SECONDARY",
    label_pb2.LABEL_SUBJECT_RULE: "RULE",
}
CHANNELS: Mapping[int, LabelChannel] = {
    label_pb2.LABEL_CHANNEL_UNSPECIFIED: "VOLUNTEERED",
    label_pb2.LABEL_CHANNEL_REVIEW_TASK: "REVIEW_TASK",
    label_pb2.LABEL_CHANNEL_AUDIT_TASK: "AUDIT_TASK",
    label_pb2.LABEL_CHANNEL_OUTCOME: "OUTCOME",
    label_pb2.LABEL_CHANNEL_VOLUNTEERED: "VOLUNTEERED",
    label_pb2.LABEL_CHANNEL_IMPORTED: "IMPORTED",
}


def query(message: routing_pb2.RouteRequest, *, principal: str = "") -> Query:
    """The query that a message asks, and the name of who asks.

    Raises:
        InvalidRequest: naming every bad field.
    """
    bad: list[Violation] = []
    given = _evidence(message.evidence, bad)
    texts = (
        message.tenant,
        message.model,
        message.model_version,
        message.request_id,
        message.subject_ref,
        message.group_key,
        message.category,
        message.predicted_class,
        message.answer_digest,
    )
    joined = "".join(texts)
    if len(joined) > field_checks.MAX_TEXT or not joined.isascii() or "\0" in joined:
        # Together they are mostly shorter than one of them may be.
        for name, text in zip(BOUNDED_TEXTS, texts, strict=True):
            field_checks.bounded(name, text, bad)
    tenant, model, model_version, request_id, subject_ref, group_key, category, predicted_class, digest = (
        texts
    )
    if not model:
        bad.append(Violation("model", "is required: a key of the policy's `models`"))
    intent = INTENTS.get(message.intent)
    if intent is None:
        bad.append(Violation("intent", f"{message.intent} is no Intent of this version"))
    from_model = CATEGORY_SOURCES.get(message.category_source)
    if from_model is None:
        bad.append(
            Violation("category_source", f"{message.category_source} is no CategorySource of this version")
        )
    occurred_at = (
        field_checks.seconds("occurred_at", message.occurred_at, bad)
        if message.HasField("occurred_at")
        else None
    )
    attributes = field_checks.attributes(message.attributes, bad) if message.attributes else {}
    context = field_checks.context(message.context, bad) if message.context else {}
    positive_class = ""
    if given is not None and given.kind == "positive_probability":
        positive_class = message.evidence.positive_probability.positive_class
        field_checks.bounded("evidence.positive_probability.positive_class", positive_class, bad)
    if bad or given is None or intent is None or from_model is None:
        raise InvalidRequest(tuple(bad))
    return Query(
        model=model,
        evidence=given,
        occurred_at=occurred_at,
        tenant=tenant,
        model_version=model_version,
        request_id=request_id,
        subject_ref=subject_ref,
        group_key=group_key,
        category=category,
        category_from_model=from_model,
        predicted_class=predicted_class,
        positive_class=positive_class,
        answer_digest=digest,
        intent=intent,
        attributes=attributes,
        context=context,
        principal=principal,
        fingerprint=fingerprint_of(message.SerializeToString(deterministic=True)) if request_id else b"",
    )


def label(message: label_pb2.Label, *, now: float, sidecar_id: str) -> tuple[Label, bytes]:
    """The label that a message records, and the fingerprint of its body.

    Raises:
        InvalidRequest: naming every bad field.
    """
    bad: list[Violation] = []
    bad += [
        Violation(f"label.{name}", "is required")
        for name in ("decision_id", "source", "event_id")
        if not getattr(message, name)
    ]
    for name in (
        "decision_id", "source", "event_id", "true_class", "true_category", "criterion", "guideline_version",
        "task_id", "supersedes", "reviewer",
    ):  # fmt: skip
        field_checks.bounded(f"label.{name}", getattr(message, name), bad)
    field_checks.bounded("label.note", message.note, bad, most=field_checks.MAX_NOTE)
    field_checks.bounded(
        "label.cannot_tell.explanation", message.cannot_tell.explanation, bad, most=field_checks.MAX_NOTE
    )
    if message.source == REVIEW_SOURCE:
        bad.append(
            Violation("label.source", f"{REVIEW_SOURCE!r} is the review queue's own: use CompleteTask")
        )
    value = message.WhichOneof("value")
    if value is None:
        bad.append(Violation("label.value", "is required: correct, true_class or cannot_tell"))
    elif value == "true_class" and not message.true_class:
        bad.append(Violation("label.true_class", "is empty; name the class, or say cannot_tell"))
    about, channel = SUBJECTS.get(message.about), CHANNELS.get(message.channel)
    if about is None:
        bad.append(Violation("label.about", f"{message.about} is no LabelSubject of this version"))
    if channel is None:
        bad.append(Violation("label.channel", f"{message.channel} is no LabelChannel of this version"))
    if channel in ("REVIEW_TASK", "AUDIT_TASK") and not message.task_id:
        bad.append(
            Violation(
                "label.task_id", f"is required by channel {channel}: only a task's label counts as drawn"
            )
        )
    observed_at = (
        field_checks.seconds("label.observed_at", message.observed_at, bad)
        if message.HasField("observed_at")
        else now
    )
    if bad or about is None or channel is None or observed_at is None:
        raise InvalidRequest(tuple(bad))
    recorded = Label(
        decision_id=message.decision_id,
        source=message.source,
        event_id=message.event_id,
        about=about,
        correct=message.correct if value == "correct" else None,
        true_class=message.true_class if value == "true_class" else None,
        cannot_tell=value == "cannot_tell",
        true_category=message.true_category if message.HasField("true_category") else None,
        criterion=message.criterion or "correct",
        guideline_version=message.guideline_version,
        task_id=message.task_id,
        channel=channel,
        supersedes=message.supersedes,
        reviewer=message.reviewer,
        note=message.note or message.cannot_tell.explanation,
        observed_at=observed_at,
        recorded_at=now,
        sidecar_id=sidecar_id,
    )
    return recorded, fingerprint_of(message.SerializeToString(deterministic=True))


def batch_size(field: str, count: int) -> None:
    """Raises InvalidRequest where a batch is empty or too large."""
    if not 1 <= count <= MAX_ITEMS:
        raise InvalidRequest((Violation(field, f"has {count} items; send 1 to {MAX_ITEMS:,}"),))


def page_size(asked: int) -> int:
    """The size of a page: 100 where none is asked, at most 1000."""
    if asked < 0:
        raise InvalidRequest((Violation("page_size", "is negative"),))
    return min(asked or 100, 1000)


def moment(field: str, message: Any) -> float | None:
    """Seconds since the epoch of a Timestamp field of a message; None where it is absent."""
    if not message.HasField(field):
        return None
    bad: list[Violation] = []
    seconds = field_checks.seconds(field, getattr(message, field), bad)
    if bad:
        raise InvalidRequest(tuple(bad))
    return seconds


def names(field: str, values: Iterable[int], enum: Any) -> list[str]:
    """The names of enum values, without the enum's prefix; unspecified ones stand for no filter."""
    found = []
    prefix = enum.Name(0).removesuffix("UNSPECIFIED")
    for value in values:
        if value not in enum.values():
            raise InvalidRequest((Violation(field, f"{value} is not known to this version"),))
        if value != 0:
            found.append(enum.Name(value).removeprefix(prefix))
    return found


def _evidence(message: evidence_pb2.Evidence, bad: list[Violation]) -> Evidence | None:
    kind = message.WhichOneof("kind")
    if kind == "score":
        if not message.score.HasField("confidence"):
            bad.append(
                Violation("evidence.score.confidence", "is required; an absent confidence is not zero")
            )
            return None
        given = Evidence("score", (message.score.confidence,))
        field = "evidence.score.confidence"
    elif kind == "positive_probability":
        if not message.positive_probability.HasField("probability"):
            bad.append(Violation("evidence.positive_probability.probability", "is required"))
            return None
        given = Evidence("positive_probability", (message.positive_probability.probability,))
        field = "evidence.positive_probability.probability"
    elif kind == "probabilities" or kind == "logits":
        given = Evidence(kind, tuple(getattr(message, kind).values))
        field = f"evidence.{kind}.values"
    elif kind == "token_log_probabilities":
        given = _tokens(message.token_log_probabilities, bad)
        field = "evidence.token_log_probabilities.values"
    else:
        bad.append(
            Violation(
                "evidence",
                "is required: score, positive_probability, probabilities, logits or token_log_probabilities",
            )
        )
        return None
    if len(given.values) > MAX_VALUES:
        bad.append(Violation(field, f"has {len(given.values)} numbers; at most {MAX_VALUES}"))
        return None
    problem = evidence.problem(given)
    if problem is not None:
        bad.append(Violation(field, problem))
        return None
    return evidence.clipped(given)


def _tokens(message: evidence_pb2.TokenLogProbabilities, bad: list[Violation]) -> Evidence:
    values = tuple(message.values)
    start = message.answer_start
    end = message.answer_end if message.HasField("answer_end") else len(values)
    if not start < end <= len(values) and values:
        bad.append(
            Violation(
                "evidence.token_log_probabilities.answer_start",
                f"the answer span [{start}, {end}) does not lie in the {len(values)} tokens",
            )
        )
    if message.finish_reason not in evidence_pb2.FinishReason.values():
        bad.append(
            Violation(
                "evidence.token_log_probabilities.finish_reason",
                f"{message.finish_reason} is no FinishReason of this version",
            )
        )
    # A span that is out of range is already named; the whole is checked for the rest.
    span = values[start:end] or values
    return Evidence("token_logprobs", span, truncated=message.finish_reason in TRUNCATED)
