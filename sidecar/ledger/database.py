"""Connecting to the ledger's database, and turning its failures into ours."""

import contextlib
import operator
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from calibrators.errors import TruebandError
from sidecar import errors

Connection: TypeAlias = sa.Connection
"""A connection to the ledger, in a transaction; outside this package it is handed on, and nothing else."""

T = TypeVar("T")

BUSY_TIMEOUT_SECONDS = 10.0
POOL_TIMEOUT_SECONDS = 10.0
CONNECT_SECONDS = 5
LOCK_SECONDS = 5.0
STATEMENT_SECONDS = 10.0
"""How long one statement of a service may take; what works through a ledger at leisure asks for more."""

LEISURE_SECONDS = 3600.0
SILENCE_SECONDS = 5.0
"""How long after the database should have ended a statement itself its connection is given up."""

MOST_ATTEMPTS = 5
DIALECTS = ("sqlite", "postgresql")
UNIX_EPOCH_JULIAN_DAY = 2440587.5


class LedgerTooNew(errors.LedgerUnavailable):
    """The ledger was migrated by a newer version of Trueband. Run that version, or a newer one."""

    code: ClassVar[str] = "LEDGER_TOO_NEW"


class RecordRefused(TruebandError):
    """The database refuses the content of a record; trying again cannot succeed."""

    code: ClassVar[str] = "RECORD_REFUSED"


def engine(
    url: str,
    *,
    clock: Callable[[sa.Connection], float] | None = None,
    statement_seconds: float = LEISURE_SECONDS,
) -> sa.Engine:
    """An engine for a URL such as `sqlite:////var/lib/trueband/ledger.db`; connects when first used.

    Every transaction is serialisable. SQLite has one connection, which the threads of the process take in
    turn, and synchronises fully: the journal forgets what the ledger has, so the ledger must not forget it.

    Args:
        url: where the database is.
        clock: what `now` tells over its connections, in place of the database's own.
        statement_seconds: after which PostgreSQL ends a statement. Connecting and waiting for a lock are bounded
            too, and a server that stops answering altogether.

    Raises:
        errors.SettingsRefused: the URL cannot be understood, or its driver is missing.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() not in DIALECTS:
            raise errors.SettingsRefused(
                f"the ledger URL {parsed.render_as_string()} must begin with one of {', '.join(DIALECTS)}"
            )
        if parsed.get_backend_name() == "postgresql":
            new_engine = sa.create_engine(
                parsed,
                isolation_level="SERIALIZABLE",
                pool_pre_ping=True,
                pool_timeout=POOL_TIMEOUT_SECONDS,
                connect_args=_bounds(parsed, statement_seconds),
            )
            if new_engine.dialect.driver == "psycopg":
                from sidecar.ledger import bounded_connection

                bound = statement_seconds + SILENCE_SECONDS
                sa.event.listen(new_engine, "do_connect", bounded_connection.connector(bound))
            return new_engine.execution_options(clock=clock)
        new_engine = sa.create_engine(
            parsed,
            poolclass=sa.QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_SECONDS},
        )
    except sa.exc.ArgumentError as error:
        raise errors.SettingsRefused("the ledger URL cannot be understood: write sqlite:///PATH") from error
    except ImportError as error:
        raise errors.SettingsRefused(
            f"the driver of the ledger URL is not installed ({error}): pip install 'trueband[postgres]', and write "
            "TRUEBAND_LEDGER_URL=postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        ) from error
    file = DatabaseFile(parsed.database)
    sa.event.listen(new_engine, "do_connect", lambda *_: file.create_private())
    sa.event.listen(new_engine, "connect", _prepare)
    sa.event.listen(new_engine, "begin", lambda _: file.check())
    sa.event.listen(new_engine, "begin", _begin)
    return new_engine.execution_options(clock=clock)


def sqlite_version() -> str:
    """The version of the SQLite library that this process has loaded."""
    return sqlite3.sqlite_version


def now(connection: sa.Connection) -> float:
    """Seconds since the epoch by the database's clock, which all its clients share; to the millisecond."""
    clock: Callable[[sa.Connection], float] | None = connection.get_execution_options().get("clock")
    if clock is not None:
        return clock(connection)
    if connection.dialect.name == "postgresql":
        # Not now(), which is when the transaction began: it may have waited for a lock since.
        seconds = connection.execute(sa.select(sa.extract("epoch", sa.func.clock_timestamp()))).scalar_one()
    else:
        seconds = connection.execute(
            sa.select((sa.func.julianday("now") - UNIX_EPOCH_JULIAN_DAY) * 86400.0)
        ).scalar_one()
    return round(float(seconds), 3)


def insert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows what to do on conflict, in the dialect of the connection."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_many(
    connection: sa.Connection,
    statement: sa.Insert,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, object]],
) -> None:
    """Runs an INSERT of these columns for many rows whose values the driver takes as they are.

    What SQLAlchemy does for each value, it does for millions here, and nothing of it is needed for text,
    numbers and flags: so it writes the statement, and the driver gets the rows.
    """
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(columns))
    if compiled.positional:
        values = operator.itemgetter(*(compiled.positiontup or ()))
        connection.exec_driver_sql(str(compiled), [values(row) for row in rows])
    else:
        connection.exec_driver_sql(str(compiled), [dict(row) for row in rows])


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Inserts the rows whose key is not taken."""
    if rows:
        connection.execute(insert(connection, table).on_conflict_do_nothing(), list(rows))


@contextlib.contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that sees one moment and changes nothing; errors are told as by `translated`."""
    with translated(), engine.connect().execution_options(reading=True) as connection, connection.begin():
        yield connection


def writing(engine: sa.Engine, work: Callable[[sa.Connection], T], *, own_locks: bool = False) -> T:
    """What the work answers, done in one transaction, and done again if another transaction was in its way.

    Args:
        engine: of the ledger.
        work: may run more than once; only its last run is kept.
        own_locks: whether the work locks what it reads before it reads it. Where several writers can be at
            work at once, it then sees what was committed before each statement, and need not be done again.
    """
    if own_locks and engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="READ COMMITTED")
    with translated():
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                with engine.begin() as connection:
                    return work(connection)
            except sa.exc.DBAPIError as error:
                if attempt == MOST_ATTEMPTS or not must_retry(error):
                    raise
    raise AssertionError("the last attempt returns or raises")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns the database's errors into `errors.LedgerUnavailable`, or `RecordRefused` for a bad record."""
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.DataError) as error:
        raise RecordRefused(f"the ledger refuses a record: {error.orig}") from error
    except sa.exc.DBAPIError as error:
        raise errors.LedgerUnavailable(f"the ledger cannot be used: {error.orig}") from error
    except sa.exc.TimeoutError as error:
        raise errors.LedgerUnavailable("the ledger is busy: no connection became free in time") from error
    except sa.exc.StatementError as error:
        raise RecordRefused(f"the ledger refuses a record: {error}") from error


def must_retry(error: sa.exc.DBAPIError) -> bool:
    """Whether another transaction was in the way, so that the same one may succeed at once.

    SQLSTATE 40001 is a serialisation failure, 40P01 a deadlock.
    """
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return state in ("40001", "40P01")


class DatabaseFile:
    """The file of a SQLite ledger, which must stay the one that was opened.

    SQLite goes on to write into a file that was deleted or replaced, where nobody will ever read it.
    """

    def __init__(self, path: str | None) -> None:
        self._path = Path(path) if path and path != ":memory:" and not path.startswith("file:") else None
        self._identity: tuple[int, int] | None = None

    def create_private(self) -> None:
        """Makes the file readable by its owner alone; what SQLite puts beside it gets the same mode."""
        if self._path is None:
            return
        if self._identity is not None:
            self.check()
        elif not self._path.exists():
            with contextlib.suppress(OSError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def check(self) -> None:
        """Lets pass a transaction on the file that was there for the first one.

        Raises:
            errors.LedgerUnavailable: it is gone, or another one; until it is back, or the process starts anew.
        """
        if self._path is None:
            return
        try:
            status = os.stat(self._path)
            identity = (status.st_dev, status.st_ino)
        except OSError:
            identity = None
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            what = "deleted" if identity is None else "replaced"
            raise errors.LedgerUnavailable(
                f"the ledger's file {self._path} was {what} while it was open, and nothing is written beside it: "
                "put it back, or restart the service, which then uses what is there"
            )


def _bounds(url: sa.URL, statement_seconds: float) -> dict[str, object]:
    """What libpq is told about time: of the connection, and of what the server does. What the URL says wins."""
    if not url.get_driver_name().startswith("psycopg"):
        return {}
    server = {
        "statement_timeout": statement_seconds,
        "lock_timeout": min(LOCK_SECONDS, statement_seconds),
        "idle_in_transaction_session_timeout": 6 * statement_seconds,
    }
    bounds: dict[str, object] = {
        "connect_timeout": CONNECT_SECONDS,
        "options": " ".join(f"-c {name}={int(1000 * seconds)}" for name, seconds in server.items()),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    return {name: value for name, value in bounds.items() if name not in url.query}


def _begin(connection: sa.Connection) -> None:
    # A writer takes the right to write at once: upgrading later fails if another process was faster.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _prepare(connection: Any, _: object) -> None:
    connection.isolation_level = (
        None  # transactions begin where SQLAlchemy says so, not where the driver guesses
    )
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    _keep_ahead_log(connection)


def _keep_ahead_log(connection: Any) -> None:
    """Lets SQLite write ahead, as readers then never wait; the file remembers it."""
    # SQLite does not wait for others, whatever its time-out, where two processes change this at once.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.01)
