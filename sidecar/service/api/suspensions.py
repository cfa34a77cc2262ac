"""Suspensions as the contract says them: messages to our own types, and back."""

from trueband.v1 import admin_pb2, decision_pb2

from sidecar import errors
from sidecar.decision.suspensions import Scope, Suspension
from sidecar.policy.actions import AnswerSource
from sidecar.service.api import responses
from sidecar.service.principals import Principal

SOURCES: dict[int, AnswerSource | None] = {
    decision_pb2.ANSWER_SOURCE_UNSPECIFIED: None,
    **{number: source for source, number in responses.SOURCES.items()},
}


def scope(request: admin_pb2.SuspendRequest) -> Scope:
    """The scope that a request names. One without `scope` is a mistake; an empty `scope` is everything.

    Raises:
        errors.InvalidRequest: there is none, or its source is no AnswerSource of this version.
    """
    if not request.HasField("scope"):
        raise errors.InvalidRequest(
            (errors.Violation("scope", "is required: an empty one, which must be there, covers everything"),)
        )
    given = request.scope
    if given.source not in SOURCES:
        raise errors.InvalidRequest(
            (errors.Violation("scope.source", f"{given.source} is no AnswerSource of this version"),)
        )
    return Scope(
        tenant=given.tenant if given.HasField("tenant") else None,
        model=given.model,
        model_version=given.model_version,
        band=given.band,
        category=given.category,
        source=SOURCES[given.source],
    )


def name(field: str, given: str, caller: Principal) -> str:
    """The name to keep: who calls, by authentication; or what the request says, where nobody is known.

    Raises:
        errors.InvalidRequest: the request gives another name than the caller's.
    """
    if caller.is_anonymous:
        return given
    if given.strip() not in ("", caller.name):
        told = f"is {given!r}, and you call as {caller.name!r}: leave it out, or give that"
        raise errors.InvalidRequest((errors.Violation(field, told),))
    return caller.name


def message(suspension: Suspension) -> admin_pb2.Suspension:
    """A suspension."""
    given = suspension.scope
    covered = admin_pb2.SuspensionScope(
        model=given.model, model_version=given.model_version, band=given.band, category=given.category
    )
    if given.tenant is not None:
        covered.tenant = given.tenant
    if given.source is not None:
        covered.source = responses.SOURCES[given.source]
    return admin_pb2.Suspension(
        suspension_id=suspension.suspension_id,
        scope=covered,
        explanation=suspension.explanation,
        suspended_by=suspension.suspended_by,
        suspended_at=responses.timestamp(suspension.suspended_at),
    )
