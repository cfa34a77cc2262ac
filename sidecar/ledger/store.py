"""The ledger: the store of decisions, labels and review tasks.

It hands out connections and knows nothing of what is asked over them: the functions of this package take one, and do
the work.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from sidecar.ledger import database, migrations
from sidecar.ledger.database import Connection

P = ParamSpec("P")
T = TypeVar("T")


class Ledger:
    """One ledger. Threads may share it; nothing connects before the first use.

    Whatever reads or writes raises `errors.LedgerUnavailable` if the database cannot be used or is not migrated yet.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[Connection], float] | None = None,
        statement_seconds: float = database.LEISURE_SECONDS,
    ) -> None:
        """Takes a SQLAlchemy URL, `sqlite:///PATH` or `postgresql+DRIVER://...`.

        Args:
            url: where the database is.
            clock: tells the time in a transaction, in place of the database's own; leases begin and end by it.
            statement_seconds: after which PostgreSQL ends a statement.

        Raises:
            errors.SettingsRefused: the URL cannot be used.
        """
        self._engine = database.engine(url, clock=clock, statement_seconds=statement_seconds)

    def migrate(self) -> None:
        """Makes or upgrades the tables; see `migrations.migrate`."""
        migrations.migrate(self._engine)

    def check_revision(self) -> bool:
        """Whether the tables are this version's; raises `database.LedgerTooNew` if they are a newer one's."""
        return self.read(migrations.is_current)

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection that sees one moment and changes nothing. Open no other one in it: there may be only one."""
        return database.reading(self._engine)

    def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **more: P.kwargs) -> T:
        """What one query answers, over a connection of its own: `ledger.read(queries.decision, "an id")`."""
        with self.reading() as at:
            return query(at, *args, **more)

    def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **more: P.kwargs) -> T:
        """What the work answers, done whole or not at all.

        It runs again where another writer was in its way, so it must do nothing but by its connection.

        Raises:
            database.RecordRefused: the database refuses the content of a record.
        """
        return database.writing(self._engine, lambda at: work(at, *args, **more))

    def write_locking(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **more: P.kwargs
    ) -> T:
        """As `write`, for work that locks what it reads before it reads it; see `database.writing`."""
        return database.writing(self._engine, lambda at: work(at, *args, **more), own_locks=True)

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
