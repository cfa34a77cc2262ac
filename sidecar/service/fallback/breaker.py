"""The circuit breaker: a secondary model that keeps failing is left alone for a while, then tried once."""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Breaker:
    """Closed, it lets calls through; open, it lets none.

    It opens after `failures` in a row. `open_seconds` later one call goes through as a probe: success
    closes it, failure opens it again.
    """

    def __init__(self, name: str, *, failures: int, open_seconds: float, clock: Callable[[], float]) -> None:
        """A closed breaker.

        Args:
            name: what the log calls it.
            failures: in a row, until it opens.
            open_seconds: how long it then stays open.
            clock: seconds that only go forward.
        """
        self._name = name
        self._most = failures
        self._open_seconds = open_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until: float | None = None
        self._probe_until: float | None = None

    def admits(self, call_seconds: float) -> bool:
        """Whether a call may be made now; each that is must report `succeeded`, `failed` or `abstained`.

        Args:
            call_seconds: how long the call takes at most; a probe that did not report by then is lost.
        """
        with self._lock:
            if self._open_until is None:
                return True
            now = self._clock()
            if now < self._open_until or (self._probe_until is not None and now < self._probe_until):
                return False
            self._probe_until = now + call_seconds
            return True

    def succeeded(self) -> None:
        """A call went well."""
        with self._lock:
            if self._open_until is not None:
                logger.info("secondary_recovered", extra={"fields": {"secondary": self._name}})
            self._failures, self._open_until, self._probe_until = 0, None, None

    def failed(self) -> None:
        """A call failed, by what is the secondary's fault."""
        with self._lock:
            self._failures += 1
            if self._failures < self._most:
                return
            if self._open_until is None:
                logger.warning("secondary_left_alone", extra={"fields": {"secondary": self._name}})
            self._open_until = self._clock() + self._open_seconds
            self._probe_until = None

    def abstained(self) -> None:
        """A call ended in a way that says nothing about the secondary."""
        with self._lock:
            self._probe_until = None

    @property
    def is_open(self) -> bool:
        """Whether it is open, or waits for its probe."""
        with self._lock:
            return self._open_until is not None
