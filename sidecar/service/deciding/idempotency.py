"""The window in which a retry gets its recorded answer."""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Set
from typing import Generic, TypeVar

from sidecar import errors

Value = TypeVar("Value")
Key = tuple[str, ...]

ENTRY_BYTES = 400
"""Of a key of short texts, a fingerprint and their places."""


MOST_BYTES = 96 << 20


class IdempotencyWindow(Generic[Value]):
    """Remembers values by key and fingerprint, bounded by age, number and bytes. Safe for threads.

    It lives in memory: after a restart, or on another sidecar, a retry is another answer of the same decision.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._entries: OrderedDict[Key, tuple[float, bytes, Value, int]] = OrderedDict()
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = threading.Lock()

    def recall(self, key: Key, fingerprint: bytes, *, now: float, age: float) -> Value | None:
        """The value remembered under the key, or None.

        Raises:
            errors.RequestIdReused: the key was used with another fingerprint.
        """
        with self._lock:
            entry = self._entries.get(key)
        if entry is None or now - entry[0] > age:
            return None
        if entry[1] != fingerprint:
            raise errors.RequestIdReused
        return entry[2]

    def remember(
        self,
        key: Key,
        fingerprint: bytes,
        value: Value,
        *,
        now: float,
        age: float,
        entries: int,
        weight: int = 0,
    ) -> None:
        """Remembers a value that takes about `weight` bytes; forgets what is too old or too much."""
        weight += ENTRY_BYTES + sum(map(len, key))
        with self._lock:
            replaced = self._entries.pop(key, None)
            self._bytes += weight - (0 if replaced is None else replaced[3])
            self._entries[key] = (now, fingerprint, value, weight)
            while self._entries and (
                len(self._entries) > entries
                or self._bytes > self._most_bytes
                or now - next(iter(self._entries.values()))[0] > age
            ):
                self._bytes -= self._entries.popitem(last=False)[1][3]


class Claims:
    """The keys that are being answered. Who asks for one that another thread is at waits for what comes of it."""

    def __init__(self) -> None:
        self._held: set[Key] = set()
        self._freed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, keys: Set[Key], timeout: float) -> Iterator[None]:
        """Holds all of the keys at once, so that no two can wait for each other.

        Raises:
            errors.StillAnswering: another thread was at one of them for longer than `timeout` seconds.
        """
        if not keys:
            yield
            return
        with self._freed:
            if not self._freed.wait_for(lambda: self._held.isdisjoint(keys), max(timeout, 0.0)):
                raise errors.StillAnswering
            self._held |= keys
        try:
            yield
        finally:
            with self._freed:
                self._held -= keys
                self._freed.notify_all()
