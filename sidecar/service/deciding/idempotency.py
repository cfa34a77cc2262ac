"""The window in which a retry gets its recorded answer."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

from sidecar import errors

Value = TypeVar("Value")
Key = tuple[str, ...]


class IdempotencyWindow(Generic[Value]):
    """Remembers values by key and fingerprint, bounded by age and by number. Safe for threads.

    It lives in memory: after a restart, or on another sidecar, a retry is another answer of the same decision.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[Key, tuple[float, bytes, Value]] = OrderedDict()
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
        self, key: Key, fingerprint: bytes, value: Value, *, now: float, age: float, entries: int
    ) -> None:
        """Remembers a value; forgets what is too old or too much."""
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = (now, fingerprint, value)
            while self._entries and (
                len(self._entries) > entries or now - next(iter(self._entries.values()))[0] > age
            ):
                self._entries.popitem(last=False)
