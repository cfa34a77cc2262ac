"""The service's errors. Each has a stable code; `security.py` and `servicers` never see another kind.

The mapping to gRPC statuses is in `sidecar/service/api/statuses.py`, and nowhere else.
"""

from dataclasses import dataclass
from typing import ClassVar

from calibrators.errors import TruebandError as TruebandError

MOST_VIOLATIONS = 10
MOST_FIELD_BYTES = 96
MOST_DESCRIPTION_BYTES = 160


def brief(text: str, most_bytes: int) -> str:
    """The text, cut so that its UTF-8 form has at most so many bytes.

    A status travels in gRPC's trailing metadata, of which most peers take 8 KiB; what is larger reaches the
    caller as another error than the one that was meant.
    """
    encoded = text.encode(errors="replace")
    if len(encoded) <= most_bytes:
        return encoded.decode()
    return encoded[: most_bytes - 3].decode(errors="ignore") + "..."


@dataclass(frozen=True, slots=True)
class Violation:
    """A bad field: its path in the request and what is wrong with it."""

    field: str
    description: str


class InvalidRequest(TruebandError):
    """The request is malformed. Correct the named fields; sending it again unchanged cannot succeed.

    Names the first ten of them, each in brief.
    """

    code: ClassVar[str] = "INVALID_REQUEST"

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        named = tuple(
            Violation(
                brief(violation.field, MOST_FIELD_BYTES), brief(violation.description, MOST_DESCRIPTION_BYTES)
            )
            for violation in violations[:MOST_VIOLATIONS]
        )
        if len(violations) > MOST_VIOLATIONS:
            more = len(violations) - MOST_VIOLATIONS + 1
            named = (*named[:-1], Violation("(and more)", f"{more} further fields are wrong"))
        super().__init__("; ".join(f"{violation.field}: {violation.description}" for violation in named))
        self.violations = named


class UnknownModel(TruebandError):
    """The policy names no such model. Add it to `models`, or correct the request."""

    code: ClassVar[str] = "MODEL_UNKNOWN"


class NotFound(TruebandError):
    """The ledger has no such thing (yet: a decision reaches it a moment after it is answered)."""

    code: ClassVar[str] = "NOT_FOUND"


class RequestIdReused(TruebandError):
    """The request_id was used for another request. Use a new one, or send the same request again."""

    code: ClassVar[str] = "REQUEST_ID_REUSED"


class StillAnswering(TruebandError):
    """The same request_id is being answered by another call, for longer than this one waits. Send it again."""

    code: ClassVar[str] = "STILL_ANSWERING"


class Unauthenticated(TruebandError):
    """There is no token, or an unknown one. Send `authorization: Bearer TOKEN` (--token-file)."""

    code: ClassVar[str] = "UNAUTHENTICATED"


class NotPermitted(TruebandError):
    """The principal may not do this."""

    code: ClassVar[str] = "NOT_PERMITTED"


class LeaseLost(TruebandError):
    """The lease is not, or no longer, the caller's. Lease the task again."""

    code: ClassVar[str] = "LEASE_LOST"


class NeedsCompletion(TruebandError):
    """This task ends by CompleteTask under a lease, and never by a label. Lease it, or leave out task_id."""

    code: ClassVar[str] = "TASK_NEEDS_COMPLETION"


class AlreadyCompleted(TruebandError):
    """This lease was completed already, with another verdict. It stands; a label can correct it."""

    code: ClassVar[str] = "ALREADY_COMPLETED"


class NotFollowed(TruebandError):
    """The decision waits for nobody, so there is no outcome to tell."""

    code: ClassVar[str] = "NOT_FOLLOWED"


class TooManyWatchers(TruebandError):
    """As many streams as the service keeps (for one principal) are open. Use ListOutcomes: one call for thousands."""

    code: ClassVar[str] = "TOO_MANY_WATCHERS"


class TooBusy(TruebandError):
    """More calls wait than are answered in time, and nothing was done for this one. Send it again, later."""

    code: ClassVar[str] = "TOO_BUSY"


class Expired(TruebandError):
    """The deadline passed, or the caller left, before the call was worked on; nothing was done for it."""

    code: ClassVar[str] = "EXPIRED"


class Draining(TruebandError):
    """The service is stopping. Call again: another one, or this one once it runs again, will answer."""

    code: ClassVar[str] = "DRAINING"


class JournalUnavailable(TruebandError):
    """The journal cannot take a record: the disk or its bound is full, or writing fails."""

    code: ClassVar[str] = "JOURNAL_UNAVAILABLE"


class JournalFilling(TruebandError):
    """The ledger is behind, and what room the journal has is kept for single calls. Send the batch again later."""

    code: ClassVar[str] = "JOURNAL_FILLING"


class LedgerUnavailable(TruebandError):
    """The ledger cannot be reached. Decisions go on and are kept in the journal; try reading later."""

    code: ClassVar[str] = "LEDGER_UNAVAILABLE"


class NotSupported(TruebandError):
    """This version of the service does not support the call yet."""

    code: ClassVar[str] = "NOT_SUPPORTED"


class PolicyRefused(TruebandError):
    """The policy file has mistakes. Each is named by its key."""

    code: ClassVar[str] = "POLICY_REFUSED"


class FloorsRefused(PolicyRefused):
    """The floors file has mistakes. Each is named by its key."""

    code: ClassVar[str] = "FLOORS_REFUSED"


class SuspensionsUnreadable(TruebandError):
    """What is suspended cannot be read back, so nothing may start to act. Restore the file."""

    code: ClassVar[str] = "SUSPENSIONS_UNREADABLE"


class SuspensionsNotKept(TruebandError):
    """The brake was recorded in the journal, and its own file cannot be written. Make room on the disk."""

    code: ClassVar[str] = "SUSPENSIONS_NOT_KEPT"


class SettingsRefused(TruebandError):
    """A setting of the process is wrong. Correct the flag or the TRUEBAND_ environment variable."""

    code: ClassVar[str] = "SETTINGS_REFUSED"


class RegistryFailure(TruebandError):
    """The calibrator's source cannot be read. The last known good calibrator stays in force."""

    code: ClassVar[str] = "REGISTRY_UNAVAILABLE"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code  # type: ignore[misc]  # the leaf's own code is the default
