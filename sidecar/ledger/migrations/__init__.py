"""Brings a ledger's tables up to this version.

To change the schema: change `schema.py`, add a module to `versions` whose `down_revision` is the newest
revision, and let the test that compares the two say what is missing. A released revision is never changed.
"""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from sidecar.ledger import database

_LOCK_KEY = 7_239_481_563_010_427


def migrate(engine: sa.Engine) -> None:
    """Upgrades an empty or older ledger, in one transaction; does nothing to a current one.

    Two sidecars may do so at the same time: one waits for the other.

    Raises:
        database.LedgerTooNew: a newer version of Trueband was here.
        errors.LedgerUnavailable: the database cannot be reached.
    """
    # Imported here: alembic takes a while, and is needed once, away from the start path.
    from alembic import command
    from alembic.config import Config

    with database.translated(), _alone(engine) as connection:
        if is_current(connection):
            return
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextlib.contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that no other migration runs beside, and that sees what the one before it did."""
    if engine.dialect.name == "postgresql":
        # A serialisable transaction would see the tables as they were before it waited for the lock.
        with engine.execution_options(isolation_level="READ COMMITTED").begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))
            yield connection
    else:
        with engine.begin() as connection:  # SQLite: a transaction begins by taking the right to write
            yield connection


def is_current(connection: sa.Connection) -> bool:
    """Whether the ledger has this version's tables; False for an empty or older one.

    Raises:
        database.LedgerTooNew: it has a newer version's.
    """
    from alembic.runtime.migration import MigrationContext

    present = MigrationContext.configure(connection).get_current_revision()
    head, known = _revisions()
    if present is not None and present not in known:
        raise database.LedgerTooNew(
            f"the ledger is at revision {present}, which this version of Trueband does not know: "
            "it was migrated by a newer one; run that version, or a newer one"
        )
    return present == head


@functools.cache
def _revisions() -> tuple[str | None, frozenset[str]]:
    """The newest revision that this version has, and all of them; read from disk once."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(__file__).parent))
    return script.get_current_head(), frozenset(each.revision for each in script.walk_revisions())
