"""The observer: hands answered decisions to whoever learns from them, away from the request path."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from sidecar.decision.records import Decision
from sidecar.service.deciding.snapshot import Snapshot
from sidecar.service.telemetry import Metrics

logger = logging.getLogger(__name__)

MOST_WAITING = 10_000
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
        self._queue: deque[tuple[Decision, Snapshot]] = deque()
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._failed: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def note(self, decisions: Sequence[Decision], snapshot: Snapshot) -> None:
        """Takes decisions that were answered. Neither waits nor raises."""
        if len(self._queue) + len(decisions) > MOST_WAITING:
            self._metrics.observations_dropped.inc(len(decisions))
            return
        for decision in decisions:
            self._queue.append((decision, snapshot))

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Empties the queue, for at most so many seconds, and ends; whether it did."""
        self._deadline = self._monotonic() + timeout
        self._stopping.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self._guarded(self._prepare)
        flush_at = self._monotonic() + self._flush_seconds
        while True:
            stopping = self._stopping.is_set()
            began = self._monotonic()
            taken = self._empty(CHUNK)
            if self._monotonic() >= flush_at:
                self._guarded(self._flush)
                flush_at = self._monotonic() + self._flush_seconds
            if stopping:
                if not taken or self._monotonic() > self._deadline:
                    break
                continue
            spent = self._monotonic() - began
            self._stopping.wait(spent * (1.0 - SHARE) / SHARE if taken == CHUNK else POLL_SECONDS)
        self._guarded(self._flush)

    def _empty(self, most: int) -> int:
        """Hands on at most so many decisions; how many there were."""
        for count in range(most):
            try:
                decision, snapshot = self._queue.popleft()
            except IndexError:
                return count
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
