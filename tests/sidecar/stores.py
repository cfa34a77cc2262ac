"""The databases that the ledger's contract holds for, and an empty ledger and journal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sidecar.decision.records import InForce
from sidecar.journal.journal import Journal
from sidecar.ledger import queries, schema
from sidecar.ledger.store import Ledger
from tests.postgresql import empty_database, server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server, one for the session."""
    with server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind that the contract holds for."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    with empty_database(request.getfixturevalue("postgresql")) as url:
        yield url


@pytest.fixture
def ledger_url(database_url: str) -> str:
    return database_url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger(ledger_url) as made:
        made.migrate()
        yield made


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal") as made:
        yield made


def in_force(ledger: Ledger, sidecar_id: str, slot: str, moment: float) -> InForce | None:
    """What a sidecar decided with in a slot at a moment, or None where that was nothing.

    An interval ends with the slot's next record, and at the latest when the sidecar stops or starts again: a
    process that was killed had no time to say that it stopped.
    """
    table = schema.in_force.c

    def latest(name: str) -> "sa.Row[tuple[object, ...]] | None":
        with ledger.reading() as at:
            return at.execute(
                sa.select(*table)
                .where(table.sidecar_id == sidecar_id, table.slot == name, table.since <= moment)
                .order_by(table.since.desc(), table.row_id.desc())
                .limit(1)
            ).one_or_none()

    row, ended = latest(slot), latest(queries.SIDECAR_SLOT)
    if row is None or not row.digest:
        return None
    if ended is not None and ended.since > row.since:
        return None
    return InForce(
        sidecar_id=sidecar_id,
        slot=slot,
        digest=row.digest,
        name=row.name,
        version=row.version,
        since=row.since,
    )
