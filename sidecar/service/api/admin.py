"""`AdminService`: what is in force, reload, the policy, the brake."""

import time
from collections.abc import Callable

import grpc
from trueband.v1 import admin_pb2, admin_pb2_grpc, decision_pb2

from sidecar import ENGINE_VERSION, errors
from sidecar.decision import specification
from sidecar.decision.suspensions import Scope, Suspension
from sidecar.policy.actions import AnswerSource
from sidecar.service.api import permissions, responses
from sidecar.service.control import Control
from sidecar.service.principals import Principal
from sidecar.service.registry import SlotStatus

RELOAD_SECONDS = 10.0

SOURCES: dict[int, AnswerSource | None] = {
    decision_pb2.ANSWER_SOURCE_UNSPECIFIED: None,
    **{number: source for source, number in responses.SOURCES.items()},
}


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """For operators."""

    def __init__(self, control: Control, *, clock: Callable[[], float]) -> None:
        self._control = control
        self._clock = clock

    def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: grpc.ServicerContext
    ) -> admin_pb2.GetStatusResponse:
        """What is in force, since when, how stale, what last failed."""
        control = self._control
        policy = control.in_force.policy
        return admin_pb2.GetStatusResponse(
            sidecar_id=control.sidecar_id,
            engine_version=ENGINE_VERSION,
            started_at=responses.timestamp(control.started_at),
            policy_digest=policy.loaded.digest,
            policy_in_force_since=responses.timestamp(policy.since),
            policy_last_error=control.in_force.policy_file.last_error,
            floors_digest=policy.floors_digest,
            calibrators=[self._calibrator(status) for status in control.in_force.champions.statuses()],
            journal=self._journal(),
            mandatory_without_human_total=control.metrics.mandatory_without_human_total(),
            serving=control.health.serving,
            challengers=[self._calibrator(status) for status in control.in_force.challengers.statuses()],
            brake=self._brake(),
        )

    def ReloadNow(
        self, request: admin_pb2.ReloadNowRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ReloadNowResponse:
        """Asks policy and registry at once, and says what came of it."""
        control = self._control
        control.in_force.policy_file.look()
        if request.model and request.model not in control.in_force.policy.tables:
            raise errors.UnknownModel(f"the policy has no model {request.model!r}")
        remaining = context.time_remaining()
        timeout = RELOAD_SECONDS if remaining is None else min(RELOAD_SECONDS, 0.9 * remaining)
        began = time.monotonic()
        statuses = control.in_force.champions.reload_now(request.model or None, timeout)
        left = max(0.0, timeout - (time.monotonic() - began))
        challengers = control.in_force.challengers.reload_now(request.model or None, left)
        return admin_pb2.ReloadNowResponse(
            calibrators=[self._calibrator(status) for status in statuses],
            challengers=[self._calibrator(status) for status in challengers],
            policy_digest=control.in_force.policy.loaded.digest,
            policy_error=control.in_force.policy_file.last_error,
        )

    def GetPolicy(
        self, request: admin_pb2.GetPolicyRequest, context: grpc.ServicerContext
    ) -> admin_pb2.GetPolicyResponse:
        """The policy in force, as the service reads it and as a person does."""
        current = self._control.in_force.policy
        loaded = current.loaded
        return admin_pb2.GetPolicyResponse(
            policy_json=loaded.canonical,
            digest=loaded.digest,
            specification=specification.render(loaded, current.floors),
        )

    def Suspend(
        self, request: admin_pb2.SuspendRequest, context: grpc.ServicerContext
    ) -> admin_pb2.SuspendResponse:
        """Suspends a scope: at once, and until a person lifts it. A service may do so too."""
        suspension = self._control.in_force.brake.suspend(
            _scope(request),
            explanation=request.explanation,
            suspended_by=_name("suspended_by", request.suspended_by, permissions.principal()),
        )
        return admin_pb2.SuspendResponse(suspension=_suspension(suspension))

    def Resume(
        self, request: admin_pb2.ResumeRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ResumeResponse:
        """Lifts one suspension. Only a person may, by name."""
        caller = permissions.principal()
        if not caller.is_anonymous:
            caller = permissions.require_person("lift a suspension")
        lifted = self._control.in_force.brake.resume(
            request.suspension_id,
            explanation=request.explanation,
            resumed_by=_name("resumed_by", request.resumed_by, caller),
        )
        return admin_pb2.ResumeResponse(suspension=_suspension(lifted))

    def ListSuspensions(
        self, request: admin_pb2.ListSuspensionsRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ListSuspensionsResponse:
        """What is suspended, the newest first."""
        active = self._control.in_force.suspensions()
        return admin_pb2.ListSuspensionsResponse(suspensions=[_suspension(each) for each in active])

    def _calibrator(self, status: SlotStatus) -> admin_pb2.CalibratorStatus:
        message = admin_pb2.CalibratorStatus(
            model=status.slot.model,
            model_version=status.slot.model_version,
            source=status.slot.source,
            uri=status.uri,
            last_error=status.last_error or "",
            last_error_code=status.last_error_code or "",
            last_error_at=None if status.last_error_at is None else responses.timestamp(status.last_error_at),
        )
        in_force = status.in_force
        if in_force is not None:
            age = max(0.0, self._clock() - in_force.confirmed_at)
            message.calibrator.CopyFrom(responses.calibrator(in_force.reference, age))
            message.in_force_since.CopyFrom(responses.timestamp(in_force.in_force_since))
            message.confirmed_at.CopyFrom(responses.timestamp(in_force.confirmed_at))
            message.from_cache = in_force.from_cache
            table = self._control.in_force.policy.tables.get(status.slot.model)
            message.stale = table is not None and age > table.stale_after_seconds
        return message

    def _brake(self) -> admin_pb2.BrakeStatus:
        brake = self._control.in_force.brake
        confirmed_at = brake.confirmed_at
        return admin_pb2.BrakeStatus(
            known=brake.known,
            confirmed_at=None if confirmed_at is None else responses.timestamp(confirmed_at),
            last_error=brake.last_error,
        )

    def _journal(self) -> admin_pb2.JournalStatus:
        forwarder = self._control.forwarder.status()
        journal = self._control.journal
        return admin_pb2.JournalStatus(
            backlog_records=forwarder.backlog_records,
            backlog_age=responses.duration(forwarder.backlog_age_seconds),
            size_bytes=journal.size_bytes,
            max_size_bytes=journal.max_bytes,
            last_error=forwarder.last_error,
            last_forwarded_at=(
                None
                if forwarder.last_forwarded_at is None
                else responses.timestamp(forwarder.last_forwarded_at)
            ),
            corrupt_bytes=journal.recovery.corrupt_bytes,
            cut_bytes=journal.recovery.cut_bytes,
            append_error=journal.trouble,
            refused_records=forwarder.refused_records,
            missing_records=forwarder.missing_records,
        )


def _scope(request: admin_pb2.SuspendRequest) -> Scope:
    """The scope that a request names. One without `scope` is a mistake; an empty `scope` is everything.

    Raises:
        errors.InvalidRequest: there is none, or its source is no AnswerSource of this version.
    """
    if not request.HasField("scope"):
        raise errors.InvalidRequest(
            (errors.Violation("scope", "is required: an empty one, which must be there, covers everything"),)
        )
    scope = request.scope
    if scope.source not in SOURCES:
        raise errors.InvalidRequest(
            (errors.Violation("scope.source", f"{scope.source} is no AnswerSource of this version"),)
        )
    return Scope(
        tenant=scope.tenant if scope.HasField("tenant") else None,
        model=scope.model,
        model_version=scope.model_version,
        band=scope.band,
        category=scope.category,
        source=SOURCES[scope.source],
    )


def _name(field: str, given: str, caller: Principal) -> str:
    """The name to keep: who calls, by authentication; or what the request says, where nobody is known.

    Raises:
        errors.InvalidRequest: the request gives another name than the caller's.
    """
    if caller.is_anonymous:
        return given
    if given.strip() not in ("", caller.name):
        mistake = f"is {given!r}, and you call as {caller.name!r}: leave it out, or give that"
        raise errors.InvalidRequest((errors.Violation(field, mistake),))
    return caller.name


def _suspension(suspension: Suspension) -> admin_pb2.Suspension:
    scope = suspension.scope
    covered = admin_pb2.SuspensionScope(
        model=scope.model, model_version=scope.model_version, band=scope.band, category=scope.category
    )
    if scope.tenant is not None:
        covered.tenant = scope.tenant
    if scope.source is not None:
        covered.source = responses.SOURCES[scope.source]
    return admin_pb2.Suspension(
        suspension_id=suspension.suspension_id,
        scope=covered,
        explanation=suspension.explanation,
        suspended_by=suspension.suspended_by,
        suspended_at=responses.timestamp(suspension.suspended_at),
    )
