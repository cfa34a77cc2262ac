"""The trace of who changed what decides: kept once for each event, told oldest first."""

import json

import msgspec
import pytest

from sidecar import errors
from sidecar.decision import records
from sidecar.decision.records import Governance
from sidecar.decision.suspensions import Resumption, Scope, Suspension
from sidecar.ledger import governance, intake
from sidecar.ledger.store import Ledger

PROMOTED = Governance(
    event_id="e1",
    kind="PROMOTED",
    subject="leads@champion",
    from_="1",
    to="2",
    by="ada",
    reason="better",
    evidence="run-7",
    happened_at=100.0,
    seen_at=104.0,
    sidecar_id="sidecar-a",
)
CHANGED = msgspec.structs.replace(
    PROMOTED, event_id="e2", kind="POLICY_CHANGED", subject="policy", happened_at=50.0
)
SUSPENDED = Suspension(
    suspension_id="s1",
    scope=Scope(model="leads"),
    explanation="odd",
    suspended_by="grace",
    suspended_at=75.0,
    sidecar_id="sidecar-a",
)
RESUMED = Resumption(
    suspension_id="s1", explanation="mended", resumed_by="ada", resumed_at=120.0, sidecar_id="sidecar-b"
)


def test_a_record_survives_the_journal() -> None:
    assert records.decode(records.encode(PROMOTED)) == PROMOTED
    assert json.loads(records.encode(PROMOTED))["from"] == "1"


def test_events_are_told_by_time_and_by_subject(ledger: Ledger) -> None:
    ledger.write(intake.take_in, [PROMOTED, CHANGED])
    assert ledger.read(governance.changes) == [CHANGED, PROMOTED]
    assert ledger.read(governance.changes, since=100.0) == [PROMOTED]
    assert ledger.read(governance.changes, since=100.5) == []
    assert ledger.read(governance.changes, subject="policy") == [CHANGED]


def test_what_many_sidecars_see_is_one_event_and_the_first_account_stays(ledger: Ledger) -> None:
    ledger.write(intake.take_in, [PROMOTED, PROMOTED])
    ledger.write(intake.take_in, [msgspec.structs.replace(PROMOTED, sidecar_id="sidecar-b", seen_at=109.0)])
    assert ledger.read(governance.changes) == [PROMOTED]


def test_the_history_holds_the_brake_too(ledger: Ledger) -> None:
    again = msgspec.structs.replace(SUSPENDED, sidecar_id="sidecar-b")
    ledger.write(intake.take_in, [PROMOTED, RESUMED, CHANGED, SUSPENDED])
    ledger.write(intake.take_in, [again])
    assert ledger.read(governance.history) == [CHANGED, SUSPENDED, PROMOTED, RESUMED]
    assert ledger.read(governance.history, since=100.0) == [PROMOTED, RESUMED]


def test_an_event_of_a_newer_version_is_said_to_be_one(ledger: Ledger) -> None:
    ledger.write(intake.take_in, [PROMOTED])
    with ledger._engine.begin() as connection:
        connection.exec_driver_sql("""UPDATE governance SET body = '{"type":"governance","kind":"LATER"}'""")
    with pytest.raises(errors.LedgerUnavailable, match="cannot be read by this version"):
        ledger.read(governance.changes)
