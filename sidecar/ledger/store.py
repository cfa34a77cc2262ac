"""The ledger: the store of decisions, labels and review tasks."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self, TypeVar

import sqlalchemy as sa

from sidecar.decision.labels import ResolvedLabel
from sidecar.decision.records import Governance, InForce, Record
from sidecar.decision.suspensions import Event
from sidecar.decision.tasks import Task, TaskState
from sidecar.ledger import (
    database,
    governance,
    intake,
    labelled,
    migrations,
    outcomes,
    queries,
    queue,
    shadow,
)
from sidecar.ledger.audit_view import AuditView
from sidecar.ledger.facts_view import FactsView
from sidecar.ledger.governance import TraceEvent
from sidecar.ledger.intake import Mark, Refused
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.leases import ReviewTransaction
from sidecar.ledger.outcomes import NumberedOutcome, Progress
from sidecar.ledger.pages import Page
from sidecar.ledger.queries import CalibratorHistory, StoredDecision, Stratum
from sidecar.ledger.shadow import ShadowCount
from sidecar.ledger.watch_states import WatchView
from sidecar.policy.actions import TaskKind

T = TypeVar("T")


class Ledger:
    """One ledger. Threads may share it; nothing connects before the first use.

    Every method raises `errors.LedgerUnavailable` if the database cannot be used or is not migrated yet.
    """

    def __init__(self, url: str, *, clock: Callable[[sa.Connection], float] = database.now) -> None:
        """Takes a SQLAlchemy URL, `sqlite:///PATH` or `postgresql+DRIVER://...`.

        Args:
            url: where the database is.
            clock: tells the time in a transaction; leases begin and end by it.

        Raises:
            errors.SettingsRefused: the URL cannot be used.
        """
        self._engine = database.engine(url)
        self._clock = clock

    def migrate(self) -> None:
        """Makes or upgrades the tables; see `migrations.migrate`."""
        migrations.migrate(self._engine)

    def check_revision(self) -> bool:
        """Whether the tables are this version's; raises `database.LedgerTooNew` if they are a newer one's."""
        with database.reading(self._engine) as connection:
            return migrations.is_current(connection)

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection that sees one moment and changes nothing; open no other one inside it."""
        return database.reading(self._engine)

    # Writing.

    def apply(
        self, sidecar_id: str, records: Sequence[Record], *, journal_id: str = "", mark: Mark | None = None
    ) -> None:
        """Takes records in, all or none; those that are there already change nothing.

        Args:
            sidecar_id: whose journal they come from.
            records: in the order of the journal.
            journal_id: which of its journals.
            mark: up to where the journal is taken in then; kept in the same transaction.

        Raises:
            database.RecordRefused: the database refuses the content of a record.
        """

        def work(connection: sa.Connection) -> None:
            intake.take_in(connection, records)
            if mark is not None:
                intake.keep_mark(connection, sidecar_id, journal_id, mark)

        database.writing(self._engine, work)

    def set_aside(self, sidecar_id: str, refused: Refused, *, journal_id: str, mark: Mark) -> None:
        """Keeps a record that cannot be taken in, byte for byte, and goes on behind it."""

        def work(connection: sa.Connection) -> None:
            intake.set_aside(connection, sidecar_id, journal_id, refused)
            intake.keep_mark(connection, sidecar_id, journal_id, mark)

        database.writing(self._engine, work)

    def restore(self, sidecar_id: str, journal_id: str, sequence: int, record: Record) -> None:
        """Takes in a record that was set aside, and strikes it off."""

        def work(connection: sa.Connection) -> None:
            intake.take_in(connection, [record])
            intake.strike_off(connection, sidecar_id, journal_id, sequence)

        database.writing(self._engine, work)

    def review(self, work: Callable[[ReviewTransaction], T]) -> T:
        """What the work on the review queue answers, done in one transaction; it may run more than once."""
        return database.writing(
            self._engine,
            lambda connection: work(ReviewTransaction(connection, now=self._clock(connection))),
            own_locks=True,
        )

    def audits(self) -> AuditView:
        """The audits: closing their periods, and reading them."""
        return AuditView(self._engine, self._clock)

    def facts(self) -> FactsView:
        """What a report counts."""
        return FactsView(self._engine, self._clock)

    def watch(self) -> WatchView:
        """What `training watch` remembers, and reads beside labels."""
        return WatchView(self._engine)

    def mark(self, sidecar_id: str, journal_id: str) -> Mark | None:
        """Up to where a journal has been taken in; None: nothing of it."""
        with database.reading(self._engine) as connection:
            return intake.journal_mark(connection, sidecar_id, journal_id)

    def refused(self, sidecar_id: str | None = None) -> list[tuple[str, str, Refused]]:
        """What was set aside, with its sidecar and journal; None: by any sidecar."""
        with database.reading(self._engine) as connection:
            return intake.records_set_aside(connection, sidecar_id)

    def decision(self, decision_id: str) -> StoredDecision | None:
        """The decision of that id with all its answers, or None."""
        with database.reading(self._engine) as connection:
            return queries.decision(connection, decision_id)

    def decisions(
        self,
        *,
        tenant: str | None = None,
        subject_ref: str = "",
        model: str = "",
        decided_from: float | None = None,
        decided_to: float | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[StoredDecision]:
        """A page of decisions, newest first; see `queries.decisions`."""
        with database.reading(self._engine) as connection:
            return queries.decisions(
                connection,
                tenant=tenant,
                subject_ref=subject_ref,
                model=model,
                decided_from=decided_from,
                decided_to=decided_to,
                page_size=page_size,
                page_token=page_token,
            )

    def labels(
        self, decision_id: str, *, label_window_seconds: float = float("inf")
    ) -> tuple[ResolvedLabel, ...]:
        """The labels of a decision and what they come to, oldest first; see `labels.resolve`."""
        with database.reading(self._engine) as connection:
            return labelled.resolved(
                connection,
                decision_id,
                now=self._clock(connection),
                label_window_seconds=label_window_seconds,
            )

    def tasks(
        self,
        *,
        kinds: Sequence[TaskKind] = (),
        states: Sequence[TaskState] = (),
        model: str = "",
        category: str = "",
        decision_id: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[Task]:
        """A page of review tasks, the most urgent first; see `queue.tasks`."""
        with database.reading(self._engine) as connection:
            return queue.tasks(
                connection,
                now=self._clock(connection),
                kinds=kinds,
                states=states,
                model=model,
                category=category,
                decision_id=decision_id,
                page_size=page_size,
                page_token=page_token,
            )

    def task(self, task_id: str) -> Task | None:
        """The review task of that id, or None."""
        with database.reading(self._engine) as connection:
            return queue.task(connection, task_id, now=self._clock(connection))

    def suspensions(self, held: Collection[str] = ()) -> tuple[Event, ...]:
        """The suspensions that nobody lifted, and each lifting of those held; see `suspensions.suspensions`."""
        with database.reading(self._engine) as connection:
            return governance.suspensions(connection, held)

    def governance(self, since: float | None = None, *, subject: str = "") -> list[Governance]:
        """Who changed what decides, oldest first; see `governance.changes`."""
        with database.reading(self._engine) as connection:
            return governance.changes(connection, since=since, subject=subject)

    def history(self, since: float | None = None) -> list[TraceEvent]:
        """What `governance` says, and everything that was suspended or resumed; see `governance.history`."""
        with database.reading(self._engine) as connection:
            return governance.history(connection, since)

    def shadow_counts(self, model: str = "", since: float | None = None) -> list[ShadowCount]:
        """Where challengers would have put answers, per day and pair of bands; see `shadow.counts`."""
        with database.reading(self._engine) as connection:
            return shadow.counts(connection, model, since)

    def progress(self, decision_id: str) -> Progress | None:
        """How a decision that waits for a person ended so far; None: the ledger does not have it."""
        with database.reading(self._engine) as connection:
            return outcomes.progress(connection, decision_id)

    def outcomes(
        self, *, tenant: str, principal: str | None, after: int, count: int
    ) -> list[NumberedOutcome]:
        """The feed of outcomes behind a number; see `outcomes.feed`."""
        with database.reading(self._engine) as connection:
            return outcomes.feed(connection, tenant=tenant, principal=principal, after=after, count=count)

    def calibrators(self) -> CalibratorHistory:
        """Which calibrators were in force, and after which."""
        return CalibratorHistory(self._engine)

    def in_force(self, sidecar_id: str, slot: str, at: float) -> InForce | None:
        """What a sidecar decided with in a slot at a moment; see `queries.in_force`."""
        with database.reading(self._engine) as connection:
            return queries.in_force(connection, sidecar_id, slot, at)

    def strata(self, model: str, since: float | None = None) -> list[Stratum]:
        """Exact counts of a model's answers per day and stratum, over all sidecars."""
        with database.reading(self._engine) as connection:
            return queries.strata(connection, model, since)

    def labelled(
        self,
        model: str,
        *,
        since: float | None = None,
        until: float | None = None,
        criterion: str = "correct",
        label_window_seconds: float = float("inf"),
        as_of: float | None = None,
    ) -> list[Labelled]:
        """Every answer of a model whose correctness is settled; see `labelled.labelled`."""
        with database.reading(self._engine) as connection:
            return list(
                labelled.labelled(
                    connection,
                    model,
                    now=self._clock(connection),
                    since=since,
                    until=until,
                    criterion=criterion,
                    label_window_seconds=label_window_seconds,
                    as_of=as_of,
                )
            )
