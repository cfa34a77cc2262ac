"""Work on the queue that is done every now and then, in a thread of its own."""

import logging
import threading
from collections.abc import Callable

from calibrators.errors import TruebandError

logger = logging.getLogger(__name__)


class RegularWork:
    """A thread that works, waits, and works again, whatever comes of it. Nothing may depend on when it does."""

    def __init__(self, name: str, work: Callable[[], None], *, interval_seconds: float) -> None:
        """Takes what to do.

        Args:
            name: of the work; logs say `NAME_failed`.
            work: is called again after a failure, too.
            interval_seconds: how long to wait before each time.
        """
        self._name = name
        self._work = work
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name.replace("_", "-"), daemon=True)

    def start(self) -> None:
        """Begins to wait."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it, after the work that it is at."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        event, last_error = f"{self._name}_failed", ""
        while not self._stopping.wait(self._interval_seconds):
            try:
                self._work()
                last_error = ""
            except TruebandError as error:
                if str(error) != last_error:  # a ledger may be away for hours
                    last_error = str(error)
                    logger.warning(event, extra={"fields": {"cause": last_error}})
            except Exception:
                # The thread must outlive whatever happens.
                logger.exception(event)
