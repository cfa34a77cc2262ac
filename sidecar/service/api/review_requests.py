"""Messages of `ReviewService` to our own types. Every bad field is named."""

from typing import Any

from google.protobuf import duration_pb2
from trueband.v1 import review_pb2

from sidecar.decision.tasks import Disposition, Verdict
from sidecar.errors import InvalidRequest, Violation
from sidecar.policy import categories
from sidecar.policy.actions import TaskKind
from sidecar.service.api import field_checks, requests
from sidecar.service.review.completing import Finding
from sidecar.service.review.leasing import DEFAULT_LEASE_SECONDS, Wanted

VERDICTS: dict[int, Verdict | None] = {
    review_pb2.VERDICT_UNSPECIFIED: None,
    review_pb2.VERDICT_CORRECT: "CORRECT",
    review_pb2.VERDICT_INCORRECT: "INCORRECT",
    review_pb2.VERDICT_CANNOT_TELL: "CANNOT_TELL",
}
DISPOSITIONS: dict[int, Disposition | None] = {
    review_pb2.DISPOSITION_UNSPECIFIED: None,
    review_pb2.DISPOSITION_RELEASE: "RELEASE",
    review_pb2.DISPOSITION_RELEASE_CORRECTED: "RELEASE_CORRECTED",
    review_pb2.DISPOSITION_REFUSE: "REFUSE",
}
MOST_FILTERS = 100


def wanted(message: review_pb2.LeaseTasksRequest) -> Wanted:
    """Which tasks a message asks for.

    Raises:
        InvalidRequest: naming every bad field.
    """
    bad = [
        Violation(name, f"has {len(getattr(message, name))} entries; at most {MOST_FILTERS}")
        for name in ("kinds", "models", "categories", "skills")
        if len(getattr(message, name)) > MOST_FILTERS
    ]
    for name in ("models", "categories", "skills"):
        for value in getattr(message, name)[:MOST_FILTERS]:
            field_checks.bounded(name, value, bad)
    if bad:
        raise InvalidRequest(tuple(bad))
    return Wanted(
        kinds=tuple(TaskKind(name) for name in requests.names("kinds", message.kinds, review_pb2.TaskKind)),
        models=tuple(message.models),
        categories=tuple(categories.normalise(name) for name in message.categories),
        skills=tuple(message.skills),
        count=message.count or 1,
        lease_seconds=lease_seconds(message),
    )


def lease_seconds(message: Any) -> float:
    """The length of a lease that a message asks for, in seconds; the default where it says nothing."""
    if not message.HasField("lease_duration"):
        return DEFAULT_LEASE_SECONDS
    length: duration_pb2.Duration = message.lease_duration
    return length.seconds + length.nanos / 1e9


def finding(message: review_pb2.CompleteTaskRequest) -> Finding:
    """What a reviewer found.

    Raises:
        InvalidRequest: naming every bad field.
    """
    bad: list[Violation] = []
    for name in ("true_class", "true_category"):
        field_checks.bounded(name, getattr(message, name), bad)
    field_checks.bounded("explanation", message.explanation, bad, most=field_checks.MAX_NOTE)
    if message.verdict not in VERDICTS:
        bad.append(Violation("verdict", f"{message.verdict} is no Verdict of this version"))
    if message.disposition not in DISPOSITIONS:
        bad.append(Violation("disposition", f"{message.disposition} is no Disposition of this version"))
    if bad:
        raise InvalidRequest(tuple(bad))
    return Finding(
        verdict=VERDICTS[message.verdict],
        true_class=message.true_class,
        disposition=DISPOSITIONS[message.disposition],
        explanation=message.explanation,
        true_category=message.true_category if message.HasField("true_category") else None,
    )


def explanation(message: review_pb2.DeclineTaskRequest) -> str:
    """Why a task is declined.

    Raises:
        InvalidRequest: it is too long.
    """
    bad: list[Violation] = []
    field_checks.bounded("explanation", message.explanation, bad, most=field_checks.MAX_NOTE)
    if bad:
        raise InvalidRequest(tuple(bad))
    return message.explanation
