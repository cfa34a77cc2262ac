"""The one place where an error becomes a gRPC status."""

from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from calibrators.errors import CalibratorRefused, EvidenceUnusable, TruebandError
from sidecar import errors

DOMAIN = "trueband"
RETRY_SECONDS = 2
MOST_MESSAGE_BYTES = 512

CODES: dict[type[TruebandError], code_pb2.Code] = {
    errors.InvalidRequest: code_pb2.INVALID_ARGUMENT,
    EvidenceUnusable: code_pb2.INVALID_ARGUMENT,
    CalibratorRefused: code_pb2.FAILED_PRECONDITION,
    errors.UnknownModel: code_pb2.NOT_FOUND,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.RequestIdReused: code_pb2.ALREADY_EXISTS,
    errors.StillAnswering: code_pb2.UNAVAILABLE,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.NotPermitted: code_pb2.PERMISSION_DENIED,
    errors.LeaseLost: code_pb2.FAILED_PRECONDITION,
    errors.NeedsCompletion: code_pb2.FAILED_PRECONDITION,
    errors.AlreadyCompleted: code_pb2.FAILED_PRECONDITION,
    errors.NotFollowed: code_pb2.FAILED_PRECONDITION,
    errors.TooManyWatchers: code_pb2.RESOURCE_EXHAUSTED,
    errors.TooBusy: code_pb2.RESOURCE_EXHAUSTED,
    errors.Expired: code_pb2.DEADLINE_EXCEEDED,
    errors.Draining: code_pb2.UNAVAILABLE,
    errors.JournalFilling: code_pb2.RESOURCE_EXHAUSTED,
    errors.JournalUnavailable: code_pb2.UNAVAILABLE,
    errors.LedgerUnavailable: code_pb2.UNAVAILABLE,
    errors.SuspensionsNotKept: code_pb2.UNAVAILABLE,
    errors.NotSupported: code_pb2.UNIMPLEMENTED,
    errors.PolicyRefused: code_pb2.FAILED_PRECONDITION,
    errors.RegistryFailure: code_pb2.UNAVAILABLE,
}


PRIVATE = (errors.LedgerUnavailable, errors.JournalUnavailable)
"""Errors whose own words name hosts, files and users: a caller gets what their class says, operators the log and
the status."""


def code_of(error: TruebandError) -> code_pb2.Code:
    """The canonical code of an error of ours."""
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), code_pb2.INTERNAL)


def text_of(error: TruebandError) -> str:
    """What is wrong and what to do, short enough for a status."""
    told = str(type(error)()) if isinstance(error, PRIVATE) else str(error)
    return errors.brief(told, MOST_MESSAGE_BYTES)


def status_of(error: BaseException) -> status_pb2.Status:
    """The status with its machine-readable details (AIP-193).

    The text of an error that is not ours never leaves the process.
    """
    if isinstance(error, NotImplementedError):
        # What generated code raises for a method of the contract that a servicer leaves out.
        error = errors.NotSupported()
    if not isinstance(error, TruebandError):
        text = "internal error; the service's log has the cause"
        return status_pb2.Status(code=code_pb2.INTERNAL, message=text, details=[_info("INTERNAL")])
    code = code_of(error)
    details = [_info(error.code)]
    if isinstance(error, errors.InvalidRequest):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=item.field, description=item.description)
            for item in error.violations
        ]
        details.append(_packed(error_details_pb2.BadRequest(field_violations=violations)))
    if code in (code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED):
        delay = duration_pb2.Duration(seconds=RETRY_SECONDS)
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=code, message=text_of(error), details=details)


def _info(reason: str) -> any_pb2.Any:
    return _packed(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))


def _packed(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
