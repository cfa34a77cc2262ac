"""The ledger as commands open it beside a sidecar that writes to it: they change nothing and hold up nobody."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from sidecar import errors
from sidecar.ledger.database import BUSY_TIMEOUT_SECONDS
from sidecar.ledger.store import Ledger


@contextlib.contextmanager
def open_snapshot(url: str) -> Iterator[Ledger]:
    """The ledger as of now, for reading.

    SQLite is copied first, since whoever reads its file for minutes keeps the sidecar's log from being cut; the
    copy is temporary and readable by its owner alone. Another database is read directly, where each call sees one
    moment, and is never changed.

    Raises:
        errors.LedgerUnavailable: there is no ledger, or it cannot be read by this version.
        errors.SettingsRefused: the URL cannot be used.
    """
    source = _sqlite_file(url)
    if source is None:
        with _current(url) as ledger:
            yield ledger
        return
    with tempfile.TemporaryDirectory(prefix="trueband-ledger-") as directory:
        copy = Path(directory) / "ledger.db"
        _copy(source, copy)
        with Ledger(f"sqlite:///{copy}") as ledger:
            ledger.migrate()
            yield ledger


@contextlib.contextmanager
def open_in_place(url: str) -> Iterator[Ledger]:
    """The ledger itself, for what is soon read: nothing is copied, however large it is, and nothing can be written.

    Raises:
        errors.LedgerUnavailable: there is no ledger, or it cannot be read by this version.
        errors.SettingsRefused: the URL cannot be used.
    """
    source = _sqlite_file(url)
    if source is not None:
        url = f"sqlite:///file:{quote(str(source.absolute()))}?mode=ro&uri=true"
    with _current(url) as ledger:
        yield ledger


@contextlib.contextmanager
def _current(url: str) -> Iterator[Ledger]:
    with Ledger(url) as ledger:
        if not ledger.check_revision():
            raise errors.LedgerUnavailable(
                "the ledger is empty or of an older version: start a sidecar of this version with it once"
            )
        yield ledger


def _sqlite_file(url: str) -> Path | None:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise errors.SettingsRefused("the ledger URL cannot be understood: write sqlite:///PATH") from error
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise errors.SettingsRefused("a ledger in memory cannot be read from outside: write sqlite:///PATH")
    source = Path(parsed.database)
    if not source.is_file():
        raise errors.LedgerUnavailable(
            f"there is no ledger at {source}: a sidecar makes it when it first runs"
        )
    return source


def _copy(source: Path, target: Path) -> None:
    try:
        with (
            contextlib.closing(
                sqlite3.connect(
                    f"file:{quote(str(source.absolute()))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_SECONDS
                )
            ) as origin,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            origin.backup(copy)
    except sqlite3.Error as error:
        raise errors.LedgerUnavailable(f"the ledger at {source} cannot be copied: {error}") from error
