"""The ledger: the store of decisions, labels and review tasks."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import Self

import msgspec
import sqlalchemy as sa

from sidecar.ledger import database, intake, labelled, migrations, queries, queue, schema, suspensions
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.labels import ResolvedLabel
from sidecar.ledger.pages import Page
from sidecar.ledger.queries import StoredDecision, Stratum
from sidecar.ledger.records import Artifact, InForce, Record
from sidecar.ledger.segments import Position
from sidecar.ledger.tasks import Task, TaskState
from sidecar.policy.actions import TaskKind
from sidecar.policy.suspensions import Event

MOST_ATTEMPTS = 5


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where a journal has been taken in: the place, and the number of the last record before it."""

    position: Position
    sequence: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be taken in: its number in the journal, its bytes, and why."""

    sequence: int
    body: bytes
    error: str
    set_aside_at: float


class Ledger:
    """One ledger. Threads may share it; nothing connects before the first use.

    Every method raises `errors.LedgerUnavailable` if the database cannot be used or is not migrated yet.
    """

    def __init__(self, url: str) -> None:
        """Takes a SQLAlchemy URL, `sqlite:///PATH` or `postgresql+DRIVER://...`.

        Raises:
            errors.SettingsRefused: the URL cannot be used.
        """
        self._engine = database.engine(url)

    def migrate(self) -> None:
        """Makes or upgrades the tables; see `migrations.migrate`."""
        migrations.migrate(self._engine)

    def check_revision(self) -> bool:
        """Whether the tables are this version's; raises `database.LedgerTooNew` if they are a newer one's."""
        with self._reading() as connection:
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
                _keep_mark(connection, sidecar_id, journal_id, mark)

        self._write(work)

    def set_aside(self, sidecar_id: str, refused: Refused, *, journal_id: str, mark: Mark) -> None:
        """Keeps a record that cannot be taken in, byte for byte, and goes on behind it."""

        def work(connection: sa.Connection) -> None:
            row = msgspec.structs.asdict(refused) | {"sidecar_id": sidecar_id, "journal_id": journal_id}
            connection.execute(database.insert(connection, schema.set_aside).on_conflict_do_nothing(), [row])
            _keep_mark(connection, sidecar_id, journal_id, mark)

        self._write(work)

    def restore(self, sidecar_id: str, journal_id: str, sequence: int, record: Record) -> None:
        """Takes in a record that was set aside, and strikes it off."""
        table = schema.set_aside.c

        def work(connection: sa.Connection) -> None:
            intake.take_in(connection, [record])
            connection.execute(
                sa.delete(schema.set_aside).where(
                    table.sidecar_id == sidecar_id, table.journal_id == journal_id, table.sequence == sequence
                )
            )

        self._write(work)

    # Reading: the forwarder's part.

    def mark(self, sidecar_id: str, journal_id: str) -> Mark | None:
        """Up to where a journal has been taken in; None: nothing of it."""
        table = schema.journal_positions.c
        with self._reading() as connection:
            row = connection.execute(
                sa.select(table.segment, table.byte_offset, table.sequence).where(
                    table.sidecar_id == sidecar_id, table.journal_id == journal_id
                )
            ).one_or_none()
        return None if row is None else Mark(position=Position(row[0], row[1]), sequence=row[2])

    def refused(self, sidecar_id: str | None = None) -> list[tuple[str, str, Refused]]:
        """What was set aside, with its sidecar and journal; None: by any sidecar."""
        table = schema.set_aside.c
        query = sa.select(schema.set_aside).order_by(table.sidecar_id, table.journal_id, table.sequence)
        if sidecar_id is not None:
            query = query.where(table.sidecar_id == sidecar_id)
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [
            (
                row.sidecar_id,
                row.journal_id,
                Refused(
                    sequence=row.sequence,
                    body=bytes(row.body),
                    error=row.error,
                    set_aside_at=row.set_aside_at,
                ),
            )
            for row in rows
        ]

    # Reading.

    def decision(self, decision_id: str) -> StoredDecision | None:
        """The decision of that id with all its answers, or None."""
        with self._reading() as connection:
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
        with self._reading() as connection:
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
        with self._reading() as connection:
            return labelled.resolved(connection, decision_id, label_window_seconds=label_window_seconds)

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
        with self._reading() as connection:
            return queue.tasks(
                connection,
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
        with self._reading() as connection:
            return queue.task(connection, task_id)

    def suspensions(self, held: Collection[str] = ()) -> tuple[Event, ...]:
        """The suspensions that nobody lifted, and each lifting of those held; see `suspensions.events`."""
        with self._reading() as connection:
            return suspensions.events(connection, held)

    def artifact(self, digest: str) -> Artifact | None:
        """The text behind a digest, or None."""
        with self._reading() as connection:
            return queries.artifact(connection, digest)

    def in_force(self, sidecar_id: str, slot: str, at: float) -> InForce | None:
        """What a sidecar decided with in a slot at a moment; see `queries.in_force`."""
        with self._reading() as connection:
            return queries.in_force(connection, sidecar_id, slot, at)

    def strata(self, model: str, since: float | None = None) -> list[Stratum]:
        """Exact counts of a model's answers per day and stratum, over all sidecars."""
        with self._reading() as connection:
            return queries.strata(connection, model, since)

    def labelled(
        self,
        model: str,
        *,
        since: float | None = None,
        until: float | None = None,
        criterion: str = "correct",
        label_window_seconds: float = float("inf"),
    ) -> list[Labelled]:
        """Every answer of a model whose correctness is settled; see `labelled.labelled`."""
        with self._reading() as connection:
            return list(
                labelled.labelled(
                    connection,
                    model,
                    since=since,
                    until=until,
                    criterion=criterion,
                    label_window_seconds=label_window_seconds,
                )
            )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with (
            database.translated(),
            self._engine.connect().execution_options(reading=True) as connection,
            connection.begin(),
        ):
            yield connection

    def _write(self, work: Callable[[sa.Connection], None]) -> None:
        """Runs the work in one transaction, again if another transaction was in its way."""
        with database.translated():
            for attempt in range(1, MOST_ATTEMPTS + 1):
                try:
                    with self._engine.begin() as connection:
                        work(connection)
                    return
                except sa.exc.DBAPIError as error:
                    if attempt == MOST_ATTEMPTS or not database.must_retry(error):
                        raise


def _keep_mark(connection: sa.Connection, sidecar_id: str, journal_id: str, mark: Mark) -> None:
    statement = database.insert(connection, schema.journal_positions)
    place = {
        "segment": mark.position.segment,
        "byte_offset": mark.position.offset,
        "sequence": mark.sequence,
    }
    connection.execute(
        statement.on_conflict_do_update(index_elements=["sidecar_id", "journal_id"], set_=place),
        [{"sidecar_id": sidecar_id, "journal_id": journal_id} | place],
    )
