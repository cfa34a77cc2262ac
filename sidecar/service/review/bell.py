"""A bell: whoever waits for news in this process wakes up when there are some, or after a while anyway."""

import threading


class Bell:
    """Counts how often it rang; `wait` returns once it rang again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rung = 0

    @property
    def rung(self) -> int:
        """How often it rang so far."""
        return self._rung

    def ring(self) -> None:
        """Wakes everybody."""
        with self._changed:
            self._rung += 1
            self._changed.notify_all()

    def wait(self, heard: int, seconds: float) -> None:
        """Returns once it rang more often than `heard`, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._rung > heard, timeout=seconds)
