"""Training sees the ledger as of one moment, and disturbs nobody."""

import sqlite3
from pathlib import Path

import pytest

from sidecar import errors
from sidecar.ledger import database, intake, labelled, queries, snapshot
from sidecar.ledger.snapshot import open_in_place, open_snapshot
from sidecar.ledger.store import Ledger
from tests import builders


def test_reads_what_was_there_and_not_what_came_later(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    with Ledger(url) as ledger:
        ledger.migrate()
        ledger.write(intake.take_in, [builders.decision(1), builders.label(1)])
        with open_snapshot(url) as still:
            ledger.write(intake.take_in, [builders.decision(2), builders.label(2)])  # the sidecar goes on
            found = still.read(labelled.labelled, "lead-classifier")
            assert [each.decision.decision_id for each in found] == ["decision-000001"]
        with open_snapshot(url) as still:
            assert len(still.read(labelled.labelled, "lead-classifier")) == 2


def test_every_database_can_be_read(ledger: Ledger, ledger_url: str) -> None:
    ledger.write(intake.take_in, [builders.decision(1), builders.label(1)])
    with open_snapshot(ledger_url) as still:
        assert len(still.read(labelled.labelled, "lead-classifier")) == 1


def test_what_is_done_to_the_copy_stays_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    with Ledger(url) as ledger:
        ledger.migrate()
    with open_snapshot(url) as still:
        still.write(intake.take_in, [builders.decision(1)])
        assert still.read(queries.decision, "decision-000001") is not None
    with Ledger(url) as ledger:
        assert ledger.read(queries.decision, "decision-000001") is None


@pytest.mark.parametrize("name", ["l.db", "with space & 100%.db", "què?.db"])
def test_a_ledger_at_rest_can_be_read_wherever_it_lies(tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path}/{name}"
    with Ledger(url) as ledger:
        ledger.migrate()
        ledger.write(intake.take_in, [builders.decision(1)])
    for opened in (open_snapshot, open_in_place):
        with opened(url) as ledger:
            assert ledger.read(queries.decision, "decision-000001") is not None


def test_in_place_nothing_is_copied(ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.write(intake.take_in, [builders.decision(1)])
    monkeypatch.setattr(snapshot, "_copy", None)
    with open_in_place(ledger_url) as here, here.reading() as at:
        assert queries.decision(at, "decision-000001") is not None
        ledger.write(intake.take_in, [builders.decision(2)])  # the sidecar goes on
        assert queries.decision(at, "decision-000002") is None, "a reading sees one moment"
    with open_in_place(ledger_url) as here:
        assert here.read(queries.decision, "decision-000002") is not None


def test_in_place_sqlite_cannot_be_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    with Ledger(url) as ledger:
        ledger.migrate()
    with open_in_place(url) as here, pytest.raises(errors.LedgerUnavailable, match="readonly"):
        here.write(intake.take_in, [builders.decision(1)])


def test_in_place_there_must_be_a_ledger_of_this_version(tmp_path: Path) -> None:
    with (
        pytest.raises(errors.LedgerUnavailable, match="no ledger at"),
        open_in_place(f"sqlite:///{tmp_path}/l.db"),
    ):
        pass
    with Ledger(f"sqlite:///{tmp_path}/l.db") as ledger, pytest.raises(errors.LedgerUnavailable):
        ledger.read(queries.decision, "x")
    with (
        pytest.raises(errors.LedgerUnavailable, match="empty or of an older"),
        open_in_place(f"sqlite:///{tmp_path}/l.db"),
    ):
        pass


def test_an_older_ledger_is_upgraded_in_the_copy_alone(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "l.db").close()
    (tmp_path / "l.db").touch()
    with open_snapshot(f"sqlite:///{tmp_path}/l.db") as still:
        assert still.read(labelled.labelled, "lead-classifier") == []
    assert (tmp_path / "l.db").stat().st_size == 0


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    with Ledger(url) as ledger:
        ledger.migrate()
        with ledger._engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'f00'")
    with pytest.raises(database.LedgerTooNew, match="f00"), open_snapshot(url):
        pass


def test_what_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    with (
        pytest.raises(errors.LedgerUnavailable, match="no ledger at"),
        open_snapshot(f"sqlite:///{tmp_path}/l.db"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_ledger_is_said(tmp_path: Path) -> None:
    (tmp_path / "l.db").write_text("a text, and a long enough one to be looked at as a database header" * 20)
    with (
        pytest.raises(errors.LedgerUnavailable, match="cannot be copied"),
        open_snapshot(f"sqlite:///{tmp_path}/l.db"),
    ):
        pass


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "nonsense", "mysql://h/d"])
def test_a_url_that_cannot_be_read_from_outside_is_refused(url: str) -> None:
    with pytest.raises(errors.SettingsRefused), open_snapshot(url):
        pass
