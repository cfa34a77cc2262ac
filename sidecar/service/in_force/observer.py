"""The observer: hands answered decisions to whoever learns from them, away from the request path."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from sidecar.decision.records import Decision
from sidecar.service.deciding import footprint
from sidecar.service.deciding.snapshot import Snapshot
from sidecar.service.polling import PollingThread
from sidecar.service.telemetry import Metrics

logger = logging.getLogger(__name__)

MOST_WAITING = 10_000
MOST_WAITING_BYTES = 16 << 20
CHUNK = 50
POLL_SECONDS = 0.05
SHARE = 0.1
"""Of one thread's time, at most: calls come first."""

Consumer = Callable[[Decision, Snapshot], None]


class Observer:
    """A bounded queue that one thread empties. What finds it full is left out, and counted."""

    def __init__(
        self,
        consumers: Sequence[Consumer],
        *,
        metrics: Metrics,
        prepare: Callable[[], None],
        flush: Callable[[], None],
        flush_seconds: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts nothing yet.

        Args:
            consumers: each is given every decision, with what was in force then, in one thread. What one
                raises is counted, and touches no other.
            metrics: of the process.
            prepare: called in that thread, first.
            flush: called in it from time to time, and last.
            flush_seconds: how often.
            monotonic: seconds of a clock that only goes forward.
        """
        self._consumers = tuple(consumers)
        self._metrics = metrics
        self._prepare = prepare
        self._flush = flush
        self._flush_seconds = flush_seconds
        self._monotonic = monotonic
        self._queue: deque[tuple[Decision, Snapshot, int]] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._deadline = float("inf")
        self._flush_at = float("-inf")
        self._failed: set[str] = set()
        self._thread = PollingThread(
            "observer", self._observe, interval_seconds=POLL_SECONDS, at_once=True, last=self._finish
        )

    def note(self, decisions: Sequence[Decision], snapshot: Snapshot) -> None:
        """Takes decisions that were answered. Neither waits nor raises."""
        weighed = [(decision, snapshot, footprint.weight(decision)) for decision in decisions]
        size = sum(weight for *_, weight in weighed)
        with self._lock:
            if len(self._queue) + len(weighed) <= MOST_WAITING and self._bytes + size <= MOST_WAITING_BYTES:
                self._queue.extend(weighed)
                self._bytes += size
                return
        self._metrics.observations_dropped.inc(len(decisions))

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Empties the queue, for at most so many seconds, and ends; whether it did."""
        self._deadline = self._monotonic() + timeout
        return self._thread.stop(timeout)

    def _observe(self) -> float:
        """Hands on what waits, and flushes when it is time; how long calls come first then, in seconds."""
        if self._flush_at == float("-inf"):
            self._guarded(self._prepare)
            self._flush_at = self._monotonic() + self._flush_seconds
        began = self._monotonic()
        taken = self._empty(CHUNK)
        if self._monotonic() >= self._flush_at:
            self._guarded(self._flush)
            self._flush_at = self._monotonic() + self._flush_seconds
        spent = self._monotonic() - began
        return spent * (1.0 - SHARE) / SHARE if taken == CHUNK else POLL_SECONDS

    def _finish(self) -> None:
        while self._empty(CHUNK) and self._monotonic() <= self._deadline:
            pass
        self._guarded(self._flush)

    def _empty(self, most: int) -> int:
        """Hands on at most so many decisions; how many there were."""
        for count in range(most):
            with self._lock:
                if not self._queue:
                    return count
                decision, snapshot, weight = self._queue.popleft()
                self._bytes -= weight
            for consumer in self._consumers:
                self._guarded(lambda: consumer(decision, snapshot))  # noqa: B023 (called at once)
        return most

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._metrics.observations_failed.inc()
            kind = type(error).__name__
            if kind not in self._failed:  # once a kind: there may be thousands a second
                self._failed.add(kind)
                logger.exception("observation_failed")
