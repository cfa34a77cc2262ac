"""The polling thread: whatever the service does every now and then in the background is one of these."""

import logging
import threading
from collections.abc import Callable

from calibrators.errors import TruebandError

logger = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 3600.0


class PollingThread:
    """A thread that works, pauses, and works again, whatever comes of it, until it is stopped.

    A pause ends at once when it is woken or stopped. Nothing that is asked for may depend on when it works.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], float | None],
        *,
        interval_seconds: float,
        at_once: bool = False,
        last: Callable[[], None] | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            name: of the work; logs say `NAME_failed`.
            work: gives the seconds of the next pause, or None for the usual ones; it is called again after a
                failure, too.
            interval_seconds: of the usual pause.
            at_once: whether it works before the first pause.
            last: called in the thread when it ends.
        """
        self._name = name
        self._work = work
        self._interval_seconds = interval_seconds
        self._at_once = at_once
        self._last = last
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._last_cause = ""
        self._thread = threading.Thread(target=self._run, name=name.replace("_", "-"), daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stopping.is_set()

    def is_alive(self) -> bool:
        """Whether it was started and has not ended yet."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begins.

        Raises:
            RuntimeError: it was started before.
        """
        self._thread.start()

    def wake(self) -> None:
        """Ends the pause that it is in, or else spares it the next one."""
        self._woken.set()

    def end(self) -> None:
        """Asks it to end, after the work that it is at."""
        self._stopping.set()
        self._woken.set()

    def stop(self, timeout: float | None = None) -> bool:
        """Ends it; whether it had ended within `timeout` seconds. None waits for the work that it is at."""
        self.end()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = self._worked() if self._at_once else self._interval_seconds
        while not self._paused(pause):
            pause = self._worked()
        if self._last is not None:
            self._guarded(self._last)

    def _paused(self, seconds: float) -> bool:
        """Waits; whether to end."""
        self._woken.wait(min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS))
        self._woken.clear()
        return self._stopping.is_set()

    def _worked(self) -> float:
        """Works once; the pause that follows."""
        pause = self._guarded(self._work)
        return self._interval_seconds if pause is None else pause

    def _guarded(self, work: Callable[[], float | None]) -> float | None:
        try:
            pause = work()
        except TruebandError as error:
            if str(error) != self._last_cause:  # a ledger may be away for hours
                self._last_cause = str(error)
                logger.warning(f"{self._name}_failed", extra={"fields": {"cause": self._last_cause}})
            return None
        except BaseException:
            # Whatever it is, a service that silently stopped doing this would be worse.
            logger.exception(f"{self._name}_failed")
            return None
        self._last_cause = ""
        return pause
