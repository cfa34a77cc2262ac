"""What an earlier version has written is read by this one, and decided again as it was."""

import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from sidecar import errors
from sidecar.decision import recompute, records
from sidecar.journal.forwarder import Forwarder
from sidecar.journal.journal import Journal
from sidecar.ledger import artifacts, queries
from sidecar.ledger.queries import StoredDecision
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Reason
from tests import builders
from tests.sidecar import stored_records

FORMATS = sorted(stored_records.STORED.iterdir())
every_format = pytest.mark.parametrize("stored", FORMATS, ids=lambda path: path.name)


def stored_decisions(ledger: Ledger) -> list[StoredDecision]:
    found: list[StoredDecision] = []
    token = ""
    while token or not found:
        page = ledger.read(queries.decisions, page_size=100, page_token=token)
        found += page.items
        token = page.next_page_token
    return found


def assert_recomputes(ledger: Ledger) -> int:
    """Every decision of the ledger is decided again, to the last bit; answers how many there are."""
    decisions = [answer for stored in stored_decisions(ledger) for answer in stored.answers]
    with ledger.reading() as at:
        for decision in decisions:
            of = decision.provenance
            calibrator = None if of.calibrator is None else artifacts.text_of(at, of.calibrator.digest)
            policy = artifacts.text_of(at, of.policy_digest)
            assert policy is not None
            assert recompute.differences(decision, recompute.recompute(decision, policy, calibrator)) == []
    return len(decisions)


def test_the_format_of_this_version_is_among_them() -> None:
    assert f"format_{records.FORMAT}" in {path.name for path in FORMATS}


@every_format
def test_a_stored_ledger_is_read_and_recomputed(stored: Path, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.executescript((stored / "ledger.sql").read_text(encoding="utf-8"))
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.migrate()
        assert assert_recomputes(ledger) == 147
        evidence = Counter(stored.answers[0].query.evidence.kind for stored in stored_decisions(ledger))
        assert set(evidence) == set(stored_records.KINDS)


@every_format
def test_a_stored_journal_is_read_forwarded_and_recomputed(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    number = stored.name.removeprefix("format_")
    (tmp_path / "journal" / "format").write_text(number, encoding="ascii")
    shutil.copy(
        stored / "journal.records", tmp_path / "journal" / "000000000001-00000000000000000001.journal"
    )
    with Journal(tmp_path / "journal") as journal, Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        entries, _ = journal.read(journal.start, 10_000)
        kinds = {type(records.decode(entry.body)).__name__ for entry in entries}
        assert kinds == {
            "Artifact", "Decision", "Governance", "InForce", "Label", "Resumption", "ShadowCounts", "Suspension",
        }  # fmt: skip
        forwarder = Forwarder(journal, ledger, sidecar_id=stored_records.SIDECAR)
        forwarder.start()
        assert forwarder.stop(60.0)
        assert forwarder.status().refused_records == 0
        assert assert_recomputes(ledger) == 147
        reasons = {
            reason
            for stored in stored_decisions(ledger)
            for answer in stored.answers
            for reason in answer.reasons
        }
        assert reasons >= {
            Reason.BAND, Reason.MANDATORY_REVIEW, Reason.DETECTOR, Reason.CALIBRATOR_STALE, Reason.REVIEW_DELAYED,
            Reason.OBSERVE_MODE, Reason.SHADOW, Reason.RULE, Reason.UNKNOWN_CATEGORY, Reason.TRUNCATED_GENERATION,
        }  # fmt: skip


def test_a_journal_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append([builders.decision()], durable=True)
    (tmp_path / "format").write_text(f"{records.FORMAT + 1}\n", encoding="ascii")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(errors.SettingsRefused, match="start the version that wrote it"):
        Journal(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
