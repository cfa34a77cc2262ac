"""The housekeeping of the queue, every now and then: what is over ends, and audit periods close."""

import logging
import threading
from collections.abc import Callable

from calibrators.errors import TruebandError
from sidecar.ledger import audit_periods
from sidecar.ledger.store import Ledger
from sidecar.service.review.queue import ReviewQueue

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


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


class ClosingWatch(RegularWork):
    """A thread that looks. Every sidecar of a ledger may have one: each period is closed once."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        grace_seconds: Callable[[], float],
        interval_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Takes the ledger, how long after its week a period is closed, and the time between looks."""

        def close() -> None:
            for period in audit_periods.close_due(ledger, grace_seconds=grace_seconds()):
                population = period.population
                fields = {
                    "week": population.week,
                    "model": population.model,
                    "band": population.band,
                    "decisions": period.n,
                    "drawn": period.n_drawn,
                    "sampled": period.n_sampled,
                }
                logger.info("audit_period_closed", extra={"fields": fields})

        super().__init__("audit_closing", close, interval_seconds=interval_seconds)


class ExpiryWatch(RegularWork):
    """A thread that looks. Nothing depends on when it does: until then the decision is still PENDING."""

    def __init__(self, queue: ReviewQueue, *, interval_seconds: float = LOOK_SECONDS) -> None:
        """Takes the queue, and the time between looks."""

        def expire() -> None:
            count = queue.expire()
            if count:
                logger.info("review_tasks_expired", extra={"fields": {"count": count}})

        super().__init__("review_expiry", expire, interval_seconds=interval_seconds)
