"""What becomes of a decision: asked for, waited for, or read as a feed."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from trueband.v1 import review_pb2

from sidecar import errors
from sidecar.ledger import outcomes, pages
from sidecar.ledger.outcomes import Progress
from sidecar.ledger.store import Ledger
from sidecar.service.api import permissions, responses, review_responses
from sidecar.service.principals import Principal
from sidecar.service.review.bell import Bell

MOST_WATCHERS = 64
MOST_OF_ONE = 16
"""How many of them one principal may have, where there are principals."""

LOOK_SECONDS = 1.0
"""How long an outcome that another sidecar wrote may go unseen; those of this process are heard at once."""

UNKNOWN_SECONDS = 10.0
"""How long a decision that was just answered may take to reach the ledger."""


class OutcomeWatch:
    """Tells outcomes. A caller that may see no more hears of its own decisions only."""

    def __init__(
        self, ledger: Ledger, news: Bell, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self._news = news
        self._monotonic = monotonic
        self._places = threading.BoundedSemaphore(MOST_WATCHERS)
        self._by_principal: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ends every stream."""
        self._stopping.set()
        self._news.ring()

    def outcome(self, principal: Principal, decision_id: str) -> review_pb2.Outcome:
        """How a decision ended, so far.

        Raises:
            errors.NotFound: the ledger does not have it, or it is somebody else's.
            errors.NotFollowed: it waits for nobody.
        """
        progress = _followed(decision_id, self._progress(principal, decision_id))
        if not progress.outcomes:
            return review_responses.pending(decision_id)
        return review_responses.outcome(progress.outcomes[-1])

    def watch(
        self, principal: Principal, decision_id: str, is_active: Callable[[], bool]
    ) -> Iterator[review_pb2.Outcome]:
        """The outcomes of a decision as they come, until nobody is to look at it any more.

        Raises:
            errors.NotFound, errors.NotFollowed: as for `outcome`.
            errors.TooManyWatchers: as many are open as the service keeps, or keeps for one principal.
            errors.Draining: the service stops.
        """
        with self._place(principal):
            patience = self._monotonic() + UNKNOWN_SECONDS
            said_pending, sent = False, 0
            while is_active():
                if self._stopping.is_set():
                    raise errors.Draining
                heard = self._news.rung
                try:
                    progress = self._progress(principal, decision_id)
                except errors.LedgerUnavailable:
                    # It may come back, and whoever waits has said for how long.
                    if not said_pending and not sent and self._monotonic() >= patience:
                        raise
                    self._news.wait(heard, LOOK_SECONDS / 10)
                    continue
                if progress is None and self._monotonic() < patience:
                    self._news.wait(heard, LOOK_SECONDS / 10)
                    continue
                progress = _followed(decision_id, progress)
                if not progress.outcomes and not said_pending:
                    said_pending = True
                    yield review_responses.pending(decision_id)
                for each in progress.outcomes[sent:]:
                    yield review_responses.outcome(each)
                sent = len(progress.outcomes)
                if not progress.waiting:
                    return
                self._news.wait(heard, LOOK_SECONDS)

    def feed(
        self, principal: Principal, *, tenant: str, cursor: str, page_size: int
    ) -> tuple[list[review_pb2.Outcome], str]:
        """Outcomes behind a cursor, oldest first, as many as fit into one answer, and the cursor behind them.

        Raises:
            errors.InvalidRequest: the cursor is not one of this feed.
        """
        question = ("outcomes", tenant)
        after = int(pages.keys(question, cursor, float, field="cursor")[0]) if cursor else 0
        feed = self._ledger.read(
            outcomes.feed, tenant=tenant, principal=_own(principal), after=after, count=page_size
        )
        fitting = responses.fitting(review_responses.outcome(each.outcome) for each in feed)
        following = feed[len(fitting) - 1].sequence if fitting else after
        return fitting, pages.token(question, [float(following)])

    def _progress(self, principal: Principal, decision_id: str) -> Progress | None:
        return self._ledger.read(outcomes.progress, decision_id, principal=_own(principal))

    @contextlib.contextmanager
    def _place(self, principal: Principal) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise errors.TooManyWatchers
        try:
            with self._counting:
                if self._by_principal[principal.name] >= MOST_OF_ONE and not principal.is_anonymous:
                    raise errors.TooManyWatchers
                self._by_principal[principal.name] += 1
            try:
                yield
            finally:
                with self._counting:
                    self._by_principal[principal.name] -= 1
                    if not self._by_principal[principal.name]:
                        del self._by_principal[principal.name]
        finally:
            self._places.release()


def _own(principal: Principal) -> str | None:
    """Whose answers a caller hears of; None: everybody's."""
    return None if principal.has_any(permissions.SEES_EVERYTHING) else principal.name


def _followed(decision_id: str, progress: Progress | None) -> Progress:
    if progress is None:
        raise errors.NotFound(f"the ledger has no decision {decision_id!r} of yours (yet)")
    if not progress.followed:
        raise errors.NotFollowed
    return progress
