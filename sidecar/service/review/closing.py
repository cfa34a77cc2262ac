"""Closes the audit periods that are over, every now and then, which opens the tasks of their samples."""

import logging
from collections.abc import Callable

from sidecar.ledger.audit_view import AuditView
from sidecar.service.review.regular import RegularWork

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


class ClosingWatch(RegularWork):
    """A thread that looks. Every sidecar of a ledger may have one: each period is closed once."""

    def __init__(
        self,
        audits: AuditView,
        *,
        grace_seconds: Callable[[], float],
        interval_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Takes the audits, how long after its week a period is closed, and the time between looks."""

        def close() -> None:
            for period in audits.close_due(grace_seconds=grace_seconds()):
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
