"""A watch: what is known about one slot's source, and when to ask it next."""

import logging
import math
from dataclasses import dataclass

from calibrators.errors import TruebandError
from sidecar.errors import RegistryFailure
from sidecar.service.registry import sources
from sidecar.service.registry.fetch import Fetch
from sidecar.service.registry.slots import CalibratorInForce, CalibratorSlot, Expectation, SlotStatus
from sidecar.service.registry.sources import Resolved, Source

MAX_DELAY_SECONDS = 300.0
JITTER = 0.2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """What the last attempt failed with."""

    code: str
    message: str
    at: float


@dataclass(slots=True, eq=False)
class Watch:
    """The state of one slot's watching; changed under its owner's lock only.

    Attributes:
        slot: the slot.
        expected: what the policy expects there.
        source: opened at the first attempt.
        known: what the source said about the calibrator in force; None where nothing is.
        refused: the last refusal; it stands until the source says something else, or `refused_until`.
        refused_until: on the monotonic clock.
        refusals: how often that was refused.
        failure: of the last attempt; None after a good one.
        failures: how often in a row the source could not be read.
        attempted: whether the first attempt is through, or the cache served.
        due: when to ask next, on the monotonic clock.
        requests: how many immediate attempts were asked for.
        served: how many of them are through.
    """

    slot: CalibratorSlot
    expected: Expectation
    source: Source | None = None
    known: Resolved | None = None
    refused: Fetch | None = None
    refused_until: float = -math.inf
    refusals: int = 0
    failure: Failure | None = None
    failures: int = 0
    attempted: bool = False
    due: float = -math.inf
    requests: int = 0
    served: int = 0

    def status(self, in_force: CalibratorInForce | None) -> SlotStatus:
        """The status, with what is in force."""
        return SlotStatus(
            slot=self.slot,
            uri=self.expected.uri,
            in_force=in_force,
            last_error=self.failure.message if self.failure else None,
            last_error_code=self.failure.code if self.failure else None,
            last_error_at=self.failure.at if self.failure else None,
            attempted=self.attempted,
        )

    def request(self) -> int:
        """Asks for an attempt at once; it is through when `served` has reached the number."""
        self.requests += 1
        self.due = -math.inf
        return self.requests

    def standing_refusal(self, now: float) -> Fetch | None:
        """The refusal that needs no second look yet; a requested attempt looks again.

        Args:
            now: on the monotonic clock.
        """
        return self.refused if self.requests == self.served and now < self.refused_until else None

    def refuse(self, answer: Fetch, *, now: float, poll_seconds: float) -> None:
        """Notes a refusal, so that the same document is not downloaded again at every poll."""
        if answer is self.refused and now < self.refused_until:
            return
        same = self.refused is not None and self.refused.resolved == answer.resolved
        self.refusals = self.refusals + 1 if same else 1
        self.refused = answer
        self.refused_until = now + _grown(poll_seconds, self.refusals)

    def fail(self, error: BaseException, at: float) -> None:
        """Notes a failure, and says it aloud if it is news.

        Args:
            error: the failure.
            at: seconds since the epoch.
        """
        if isinstance(error, TruebandError):
            code, message = error.code, str(error)
        else:
            code, message = "UNEXPECTED", f"{type(error).__name__}: {error}"
        if self.failure is None or self.failure.code != code:
            _log.warning(
                "calibrator_not_refreshed",
                extra={"slot": self.slot.name, "uri": self.expected.uri, "code": code, "reason": message},
                exc_info=None if isinstance(error, TruebandError) else error,
            )
        self.failure = Failure(code, message, at)

    def finish(
        self,
        error: BaseException | None,
        *,
        served: int,
        at: float,
        now: float,
        poll_seconds: float,
        jitter: float,
    ) -> None:
        """Notes that an attempt is through, and when the next is due.

        Only a source that cannot be read is asked less and less often. One that answers, with an alias or a
        document that will not do, is asked as before: somebody is probably about to correct it.

        Args:
            error: what it failed with; None if it did not.
            served: how many requests it answers.
            at: seconds since the epoch.
            now: on the monotonic clock.
            poll_seconds: the interval while all is well.
            jitter: a random number in [0, 1).
        """
        if error is not None:
            self.fail(error, at)
        elif self.failure is not None:
            _log.info("calibrator_source_recovered", extra={"slot": self.slot.name, "uri": self.expected.uri})
            self.failure = None
        unreadable = isinstance(error, RegistryFailure) and error.code not in sources.ANSWERED
        unexpected = error is not None and not isinstance(error, TruebandError)
        self.failures = self.failures + 1 if unreadable or unexpected else 0
        self.attempted = True
        self.served = served
        delay = _grown(poll_seconds, self.failures - 1) if self.failures else poll_seconds
        spread = 1.0 - JITTER + 2.0 * JITTER * jitter
        self.due = -math.inf if self.requests > served else now + delay * spread


def _grown(seconds: float, doublings: int) -> float:
    return min(max(seconds, MAX_DELAY_SECONDS), seconds * 2.0 ** min(doublings, 30))
