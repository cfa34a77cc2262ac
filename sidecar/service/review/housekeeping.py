"""The housekeeping of the queue, every now and then: what is over ends, and audit periods close."""

import logging
from collections.abc import Callable

from sidecar.ledger import audit_periods
from sidecar.ledger.store import Ledger
from sidecar.service.polling import PollingThread
from sidecar.service.review.queue import ReviewQueue

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


class ClosingWatch(PollingThread):
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


class ExpiryWatch(PollingThread):
    """A thread that looks. Nothing depends on when it does: until then the decision is still PENDING."""

    def __init__(self, queue: ReviewQueue, *, interval_seconds: float = LOOK_SECONDS) -> None:
        """Takes the queue, and the time between looks."""

        def expire() -> None:
            count = queue.expire()
            if count:
                logger.info("review_tasks_expired", extra={"fields": {"count": count}})

        super().__init__("review_expiry", expire, interval_seconds=interval_seconds)
