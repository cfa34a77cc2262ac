"""Ends the tasks whose time the policy says is over, every now and then."""

import logging
import threading

from calibrators.errors import TruebandError
from sidecar.review.queue import ReviewQueue

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


class ExpiryWatch:
    """A thread that looks. Nothing depends on when it does: until then the decision is still PENDING."""

    def __init__(self, queue: ReviewQueue, *, interval_seconds: float = LOOK_SECONDS) -> None:
        """Takes the queue, and the time between looks."""
        self._queue = queue
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="review-expiry", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        last_error = ""
        while not self._stopping.wait(self._interval_seconds):
            try:
                count = self._queue.expire()
                last_error = ""
                if count:
                    logger.info("review_tasks_expired", extra={"fields": {"count": count}})
            except TruebandError as error:
                if str(error) != last_error:  # a ledger may be away for hours
                    last_error = str(error)
                    logger.warning("review_expiry_failed", extra={"fields": {"cause": last_error}})
            except Exception:
                # The watch must outlive whatever happens.
                logger.exception("review_expiry_failed")
