"""Ends the tasks whose time the policy says is over, every now and then."""

import logging

from sidecar.service.review.queue import ReviewQueue
from sidecar.service.review.regular import RegularWork

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


class ExpiryWatch(RegularWork):
    """A thread that looks. Nothing depends on when it does: until then the decision is still PENDING."""

    def __init__(self, queue: ReviewQueue, *, interval_seconds: float = LOOK_SECONDS) -> None:
        """Takes the queue, and the time between looks."""

        def expire() -> None:
            count = queue.expire()
            if count:
                logger.info("review_tasks_expired", extra={"fields": {"count": count}})

        super().__init__("review_expiry", expire, interval_seconds=interval_seconds)
