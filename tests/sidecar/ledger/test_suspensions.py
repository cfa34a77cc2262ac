"""What the ledger tells a sidecar about the brakes of the others."""

import pytest

from sidecar import errors
from sidecar.decision.suspensions import Resumption, Scope, Suspension
from sidecar.ledger import governance, intake, schema
from sidecar.policy.actions import AnswerSource

A, B = "a" * 32, "b" * 32


def suspension(suspension_id=A, **changes):
    fields = {
        "suspension_id": suspension_id,
        "scope": Scope(tenant="", model="leads", source=AnswerSource.SECONDARY),
        "explanation": "a complaint\nof a customer",
        "suspended_by": "ada",
        "suspended_at": 0.1 + 0.2,
        "sidecar_id": "s1",
    }
    return Suspension(**(fields | changes))


def resumption(suspension_id=A, **changes):
    fields = {
        "suspension_id": suspension_id,
        "explanation": "looked at",
        "resumed_by": "bob",
        "resumed_at": 5.0,
        "sidecar_id": "s2",
    }
    return Resumption(**(fields | changes))


def test_what_is_suspended_is_told_as_it_was_recorded(ledger):
    assert ledger.read(governance.suspensions) == ()
    ledger.write(intake.take_in, [suspension(), suspension(B, suspended_at=9.0)])
    assert ledger.read(governance.suspensions) == (suspension(), suspension(B, suspended_at=9.0))


def test_a_record_that_comes_again_changes_nothing(ledger):
    for _ in range(2):
        ledger.write(intake.take_in, [suspension(), resumption(B)])
    assert ledger.read(governance.suspensions, [B]) == (suspension(), resumption(B))


def test_what_was_lifted_is_told_only_to_whoever_holds_it(ledger):
    ledger.write(intake.take_in, [suspension()])
    ledger.write(intake.take_in, [resumption()])
    assert ledger.read(governance.suspensions) == ()
    assert ledger.read(governance.suspensions, [B]) == ()
    assert ledger.read(governance.suspensions, [A]) == (resumption(),)


def test_a_lifting_may_arrive_before_what_it_lifts(ledger):
    ledger.write(intake.take_in, [resumption()])
    ledger.write(intake.take_in, [suspension()])
    assert ledger.read(governance.suspensions) == ()
    assert ledger.read(governance.suspensions, [A]) == (resumption(),)


def test_two_who_lift_the_same_are_both_kept(ledger):
    both = (resumption(), resumption(resumed_by="eve", sidecar_id="s1"))
    ledger.write(intake.take_in, [suspension(), *both])
    assert set(ledger.read(governance.suspensions, [A])) == set(both)


def test_a_suspension_of_a_newer_version_is_not_taken_for_none(ledger):
    ledger.write(intake.take_in, [suspension()])
    with ledger._engine.begin() as connection:
        connection.execute(schema.suspensions.update().values(body='{"type":"suspended","region":"eu"}'))
    with pytest.raises(errors.LedgerUnavailable, match="suspension"):
        ledger.read(governance.suspensions)


def test_a_ledger_without_tables_is_away(tmp_path):
    from sidecar.ledger.store import Ledger

    with Ledger(f"sqlite:///{tmp_path}/empty.db") as empty, pytest.raises(errors.LedgerUnavailable):
        empty.read(governance.suspensions)
