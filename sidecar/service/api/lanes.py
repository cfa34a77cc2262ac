"""Lanes: which threads a call may hold, and how long it may wait for its turn.

What waits for a database, a stream, or nothing but the local journal never shares threads. gRPC gives a call a thread
before its body has come, so a lane has more threads than turns: a body that never comes holds one of the spare ones,
until it has to make way.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import grpc

from sidecar import errors

SPARE_THREADS = 64
"""How many calls of a lane may wait for their bodies without being in anybody's way."""

BODY_SECONDS = 10.0
"""How long a body may take to come."""

CROWDED_SECONDS = 0.25
"""The same, where half of the spare threads wait for one."""

SWEEP_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 2.0
ENDING_SECONDS = 0.5
"""How long streams may take to end by themselves once they are told to."""

_arrived: ContextVar[float] = ContextVar("arrived")


def note_arrival() -> None:
    """Remembers when a call came; gRPC handles each in a context of its own."""
    _arrived.set(time.monotonic())


class Lane:
    """Threads for one kind of calls."""

    def __init__(
        self,
        name: str,
        turns: int,
        *,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
        oldest_makes_way: bool = False,
    ) -> None:
        """Starts no thread yet.

        Args:
            name: of its threads.
            turns: how many calls are worked on at once.
            longest_wait_seconds: how long a call may wait for its turn; never more than half of its own deadline.
            oldest_makes_way: whether the call that has had its turn for longest is cancelled for a new one. For
                streams that nobody needs for long.
        """
        self.pool = ThreadPoolExecutor(turns + SPARE_THREADS, thread_name_prefix=name)
        self._longest_wait_seconds = longest_wait_seconds
        self._oldest_makes_way = oldest_makes_way
        self._turns: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(turns):
            self._turns.put(None)
        # Both by the call, oldest first. Each operation on a dict is atomic.
        self._without_body: dict[grpc.ServicerContext, float] = {}
        self._having_turns: dict[grpc.ServicerContext, None] = {}

    def body(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """The one message of a call, once it has come.

        Raises:
            errors.TooBusy, errors.Expired: the call waits for longer than it may; its body was not looked at.
            errors.InvalidRequest: the call ended without a message.
            grpc.RpcError: the caller left, or took too long.
        """
        self._patience(context)
        self._without_body[context] = time.monotonic()
        try:
            return next(requests)
        except StopIteration:
            violation = errors.Violation("(the whole message)", "is missing")
            raise errors.InvalidRequest((violation,)) from None
        finally:
            del self._without_body[context]

    @contextlib.contextmanager
    def turn(self, context: grpc.ServicerContext) -> Iterator[None]:
        """A turn to be worked on, given back at the end.

        Raises:
            errors.TooBusy: none was free within the time that a call may wait.
            errors.Expired: nobody waits for the answer any more.
        """
        if self._oldest_makes_way and self._turns.empty():
            _cancel(list(self._having_turns)[:1])
        try:
            patience = self._patience(context)
            self._turns.get(timeout=patience)
        except queue.Empty:
            raise errors.TooBusy from None
        self._having_turns[context] = None
        try:
            # Time has passed since it was asked; what nobody waits for is not worked on.
            if context.time_remaining() <= 0 or not context.is_active():
                raise errors.Expired
            yield
        finally:
            self._having_turns.pop(context, None)
            self._turns.put(None)

    def _patience(self, context: grpc.ServicerContext) -> float:
        """For how many seconds from now a call may wait."""
        remaining = context.time_remaining()
        if remaining <= 0:
            raise errors.Expired
        waited = time.monotonic() - _arrived.get(time.monotonic())
        patience = min(self._longest_wait_seconds, (waited + remaining) / 2) - waited
        if patience <= 0:
            raise errors.TooBusy
        return patience

    def sweep(self) -> None:
        """Cancels calls whose bodies take too long."""
        waiting = list(self._without_body.items())
        seconds = CROWDED_SECONDS if len(waiting) > SPARE_THREADS // 2 else BODY_SECONDS
        _cancel([context for context, since in waiting if time.monotonic() - since > seconds])

    def cancel(self, *, turns: bool) -> None:
        """Cancels whatever has no body yet, and with `turns` whatever is being worked on."""
        _cancel(list(self._without_body))
        if turns:
            _cancel(list(self._having_turns))

    def is_idle(self) -> bool:
        """Whether no call has its turn."""
        return not self._having_turns


class Lanes:
    """All lanes of one port, by method."""

    def __init__(self, *, calls: int, ledger: int, watches: int) -> None:
        """Takes how many turns there are for calls, for what waits for the ledger, and for streams of outcomes.

        Those of the streams are `watches` and some more, so that one too many is told by who knows why.
        """
        self._calls = Lane("call", calls)
        self._ledger = Lane("ledger", ledger, longest_wait_seconds=5.0)
        self._admin = Lane("admin", 4, longest_wait_seconds=5.0)
        self._health = Lane("health", 2)
        self._watches = Lane("watch", watches + 4)
        self._health_watches = Lane("health-watch", 32)
        self._reflection = Lane("reflection", 4, oldest_makes_way=True)
        self._streams = (self._watches, self._health_watches, self._reflection)
        self._all = (self._calls, self._ledger, self._admin, self._health, *self._streams)
        self._by_service = {
            "RoutingService": self._calls,
            "ReviewService": self._ledger,
            "DecisionService": self._ledger,
            "AdminService": self._admin,
            "Health": self._health,
            "ServerReflection": self._reflection,
        }
        self._by_method = {
            # They are journaled, and the ledger need not be there; reading them back is another matter.
            "LabelService/RecordLabel": self._calls,
            "LabelService/RecordLabels": self._calls,
            "LabelService/GetLabels": self._ledger,
            "ReviewService/WatchDecision": self._watches,
            "Health/Watch": self._health_watches,
        }
        self._stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="lanes", daemon=True)

    def of(self, method: str) -> Lane:
        """The lane of a method, such as `/grpc.health.v1.Health/Check`."""
        name = method.rpartition(".")[2]
        return self._by_method.get(name) or self._by_service.get(name.partition("/")[0], self._ledger)

    def start(self) -> None:
        """Begins to cancel calls whose bodies do not come."""
        self._sweeper.start()

    def end_streams(self) -> None:
        """Ends what would not end by itself: streams that were told to and do not, and calls without a body."""
        until = time.monotonic() + ENDING_SECONDS
        while time.monotonic() < until and not all(lane.is_idle() for lane in self._streams):
            time.sleep(0.02)
        for lane in self._all:
            lane.cancel(turns=lane in self._streams)

    def close(self) -> None:
        """Lets the threads go; it does not wait for one that a database holds."""
        self._stopping.set()
        for lane in self._all:
            lane.pool.shutdown(wait=False)

    def _sweep(self) -> None:
        while not self._stopping.wait(SWEEP_SECONDS):
            for lane in self._all:
                lane.sweep()


def _cancel(contexts: list[grpc.ServicerContext]) -> None:
    # Holds no lock: the end of each call is heard on gRPC's own thread.
    for context in contexts:
        context.cancel()
