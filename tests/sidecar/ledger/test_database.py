"""What a database may do to those who wait for it: nothing is waited for without bound, and no file is swapped."""

import os
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from sidecar import errors
from sidecar.decision.records import PlannedTask
from sidecar.ledger import database, intake, queries, queue
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import TaskKind
from tests import builders
from tests.postgresql import empty_database


@pytest.mark.parametrize("happens", ["deleted", "replaced"])
def test_nothing_is_acknowledged_in_a_file_that_is_no_longer_there(tmp_path: Path, happens: str) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(f"sqlite:///{path}") as ledger:
        ledger.migrate()
        ledger.write(intake.take_in, [builders.decision(1)])
        shutil.copy(path, tmp_path / "copy.db")
        os.replace(path, tmp_path / "away.db")
        if happens == "replaced":
            os.replace(tmp_path / "copy.db", path)
        for _ in range(2):
            with pytest.raises(errors.LedgerUnavailable, match=happens):
                ledger.write(intake.take_in, [builders.decision(2)])
            with pytest.raises(errors.LedgerUnavailable, match=happens):
                ledger.read(queries.decision, "decision-000001")
        assert path.exists() == (happens == "replaced"), "nothing is made in its place"
        os.replace(tmp_path / "away.db", path)
        ledger.write(intake.take_in, [builders.decision(2)])
    with Ledger(f"sqlite:///{path}") as ledger:
        assert ledger.read(queries.decision, "decision-000002") is not None


def test_a_statement_that_takes_too_long_is_ended(postgresql: str) -> None:
    with empty_database(postgresql) as url, Ledger(url, statement_seconds=0.2) as ledger:
        with pytest.raises(errors.LedgerUnavailable, match="statement timeout"):
            ledger.read(lambda at: at.exec_driver_sql("SELECT pg_sleep(3600)"))
        assert ledger.read(lambda at: at.exec_driver_sql("SELECT 1").scalar_one()) == 1


def test_a_server_that_does_not_answer_is_given_up(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SILENCE_SECONDS", 0.2)
    with empty_database(postgresql) as url, Ledger(url, statement_seconds=0.2) as ledger:

        def endless(at: database.Connection) -> None:
            at.exec_driver_sql("SET statement_timeout = 0")
            at.exec_driver_sql("SELECT pg_sleep(20)")

        with pytest.raises(errors.LedgerUnavailable, match="no answer within"):
            ledger.read(endless)
        assert ledger.read(lambda at: at.exec_driver_sql("SELECT 1").scalar_one()) == 1


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.SettingsRefused, match=r"trueband\[postgres\].*TRUEBAND_LEDGER_URL"):
        Ledger("postgresql+pg8000://me@nowhere/ledger")


def test_the_tasks_of_a_decision_are_found_by_an_index(ledger: Ledger) -> None:
    """However many tasks are open."""
    statements: list[tuple[str, object]] = []

    def note(_: object, __: object, statement: str, parameters: object, *___: object) -> None:
        statements.append((statement, parameters))

    held = PlannedTask(kind=TaskKind.HOLD, due_at=5.0)
    ledger.write(intake.take_in, [builders.decision(number, tasks=(held,)) for number in range(1, 1000)])
    with ledger.reading() as at:
        sa.event.listen(at.engine, "before_cursor_execute", note)
        queue.tasks(at, decision_id="decision-000077")
        asked = [each for each in statements if "review_tasks" in each[0]]
        explain = "EXPLAIN" if at.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        plans = [str(at.exec_driver_sql(f"{explain} {one}", values).all()) for one, values in asked]  # type: ignore[arg-type]
    count, order, *by_key = plans
    assert "ix_review_tasks_decision_id" in count
    assert "ix_review_tasks_decision_id" in order
    for plan in (count, order, *by_key):
        assert "SCAN review_tasks" not in plan
        assert "Seq Scan on review_tasks" not in plan
