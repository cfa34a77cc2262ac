"""The migrations build what the schema says, once, and refuse a ledger from the future."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql

from sidecar import errors
from sidecar.ledger import database, intake, migrations, queries, schema
from sidecar.ledger.store import Ledger
from tests import builders


def test_an_empty_ledger_becomes_what_the_schema_says(ledger_url: str) -> None:
    engine = database.engine(ledger_url)
    migrations.migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        assert set(schema.metadata.tables) < set(sa.inspect(connection).get_table_names())
    engine.dispose()


def test_a_current_ledger_is_left_alone(ledger: Ledger) -> None:
    ledger.write(intake.take_in, [builders.decision(1)])  # type: ignore[operator]
    ledger.migrate()
    assert ledger.check_revision()
    assert ledger.read(queries.decision, "decision-000001") is not None


def test_two_sidecars_may_start_at_once(ledger_url: str) -> None:
    ready, failures = threading.Barrier(4), []

    def start() -> None:
        with Ledger(ledger_url) as ledger:
            ready.wait()
            try:
                ledger.migrate()
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Ledger(ledger_url) as ledger:
        assert ledger.check_revision()


def test_a_ledger_from_the_future_is_refused_and_not_touched(ledger_url: str) -> None:
    with Ledger(ledger_url) as ledger:
        ledger.migrate()
        with ledger._engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(database.LedgerTooNew, match="9999") as caught:
            ledger.migrate()
        assert isinstance(caught.value, errors.LedgerUnavailable)
        assert caught.value.code == "LEDGER_TOO_NEW"
        with pytest.raises(database.LedgerTooNew):
            ledger.check_revision()


def test_a_failed_migration_leaves_nothing_half_done(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    real, made = op.create_table, []

    def create(name: str, *columns: object, **more: object) -> object:
        if len(made) == 3:
            raise sa.exc.OperationalError("CREATE", {}, Exception("disk full"))
        made.append(name)
        return real(name, *columns, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(op, "create_table", create)
    with Ledger(ledger_url) as ledger:
        with pytest.raises(errors.LedgerUnavailable, match="disk full"):
            ledger.migrate()
        monkeypatch.undo()
        with ledger._engine.connect() as connection:
            assert sa.inspect(connection).get_table_names() == []
        ledger.migrate()
        assert ledger.check_revision()


def test_every_table_can_be_made_in_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in schema.metadata.sorted_tables:
        statement = str(sa.schema.CreateTable(table).compile(dialect=dialect))
        assert f"CREATE TABLE {table.name}" in statement
        doubles = [column for column in table.columns if isinstance(column.type, sa.Double)]
        assert statement.count("DOUBLE PRECISION") == len(doubles)
        names = [str(index.name) for index in table.indexes] + [
            str(c.name) for c in table.constraints if c.name
        ]
        assert all(len(name) <= 63 for name in names), "PostgreSQL would cut these names"


def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.migrate()
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://host/db", "sqlite, postgresql"),
        ("nonsense", "understood"),
        ("", "understood"),
        ("postgresql+nodriver://host/db", "understood|driver"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, says: str) -> None:
    with pytest.raises(errors.SettingsRefused, match=says):
        Ledger(url)


def test_a_password_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(errors.SettingsRefused) as caught:
        Ledger("mysql://user:secret@host/db")
    assert "secret" not in str(caught.value)


def test_a_database_that_cannot_be_reached_is_unavailable(tmp_path: Path) -> None:
    with (
        Ledger(f"sqlite:///{tmp_path}/missing/ledger.db") as ledger,
        pytest.raises(errors.LedgerUnavailable, match="unable to open"),
    ):
        ledger.migrate()


def test_a_ledger_that_was_never_migrated_is_unavailable(ledger_url: str) -> None:
    with Ledger(ledger_url) as ledger, pytest.raises(errors.LedgerUnavailable):
        ledger.read(queries.decision, "x")


def test_sqlite_forgets_nothing_that_the_journal_may_forget(tmp_path: Path) -> None:
    engine = database.engine(f"sqlite:///{tmp_path}/ledger.db")
    with engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    engine.dispose()
    assert found == ["wal", 2, 1]  # 2 is FULL: with NORMAL a loss of power takes back commits
