"""The ledger as a report sees it: what was decided in a window, and what people made of it."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from sidecar.decision.records import InForce
from sidecar.ledger import database, facts, review_facts
from sidecar.ledger.facts import AnswerCount
from sidecar.ledger.queries import Stratum
from sidecar.ledger.review_facts import EndingCount, Judgements, PlannedReview, QueueCount, Unlabelled


class FactsView:
    """The facts of one ledger. Every method raises `errors.LedgerUnavailable` if it cannot be used.

    A window is half open, in seconds since the epoch; None: open. `as_of` is the moment of which is told.
    """

    def __init__(self, engine: sa.Engine, clock: Callable[[sa.Connection], float]) -> None:
        """Takes the ledger's engine, and what tells the time in a transaction."""
        self._engine = engine
        self._clock = clock

    def now(self) -> float:
        """Seconds since the epoch, by the database's clock."""
        with database.reading(self._engine) as connection:
            return self._clock(connection)

    def strata(self, model: str, since: float | None, until: float | None) -> list[Stratum]:
        """The exact counts of a model's strata per UTC day; see `facts.strata`."""
        with database.reading(self._engine) as connection:
            return facts.strata(connection, model, since, until)

    def answers(self, model: str, since: float | None, until: float | None) -> list[AnswerCount]:
        """Counts of a model's answers; see `facts.answers`."""
        with database.reading(self._engine) as connection:
            return facts.answers(connection, model, since, until)

    def repeated(self, model: str, since: float | None, until: float | None) -> int:
        """How many answers repeat a decision; see `facts.repeated`."""
        with database.reading(self._engine) as connection:
            return facts.repeated(connection, model, since, until)

    def in_force(self, model: str, since: float | None, until: float | None) -> list[InForce]:
        """Which calibrators were in force; see `facts.in_force`."""
        with database.reading(self._engine) as connection:
            return facts.in_force(connection, model, since, until)

    def reviews(
        self, model: str, since: float | None, until: float | None, *, as_of: float
    ) -> list[PlannedReview]:
        """The reviews that were planned; see `review_facts.reviews`."""
        with database.reading(self._engine) as connection:
            return review_facts.reviews(connection, model, since, until, as_of=as_of)

    def unlabelled(
        self,
        model: str,
        decision_ids: Sequence[str],
        *,
        criterion: str,
        label_window_seconds: float,
        as_of: float,
    ) -> dict[str, Unlabelled]:
        """Why decisions have no label; see `review_facts.unlabelled`."""
        with database.reading(self._engine) as connection:
            return review_facts.unlabelled(
                connection,
                model,
                decision_ids,
                criterion=criterion,
                label_window_seconds=label_window_seconds,
                as_of=as_of,
            )

    def queue(self, model: str, *, as_of: float) -> list[QueueCount]:
        """The tasks that waited; see `review_facts.queue`."""
        with database.reading(self._engine) as connection:
            return review_facts.queue(connection, model, as_of=as_of)

    def endings(
        self, model: str, since: float | None, until: float | None, *, as_of: float
    ) -> list[EndingCount]:
        """How held decisions ended; see `review_facts.endings`."""
        with database.reading(self._engine) as connection:
            return review_facts.endings(connection, model, since, until, as_of=as_of)

    def judgements(self, model: str, since: float | None, until: float | None, *, as_of: float) -> Judgements:
        """What reviewers said; see `review_facts.judgements`."""
        with database.reading(self._engine) as connection:
            return review_facts.judgements(connection, model, since, until, as_of=as_of)
