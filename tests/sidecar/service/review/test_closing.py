"""The thread that closes audit periods: it closes what is over, says so, and outlives whatever happens."""

import logging
import time

import pytest

from sidecar import errors
from sidecar.decision import audit
from sidecar.decision.records import PlannedTask
from sidecar.ledger import audit_periods, intake, labelled, queue
from sidecar.policy.actions import TaskKind
from sidecar.service.review.housekeeping import ClosingWatch


def test_the_watch_closes_what_is_over_and_outlives_failures(
    desk, make_decision, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    decided_at = desk.now
    drawn = [
        make_decision(
            number,
            (),
            decided_at=decided_at,
            audit_rate=0.5,
            audit_budget=2,
            audit_key_id="k1",
            drawn=True,
            audit_draw=number / 100,
            tasks=(PlannedTask(kind=TaskKind.AUDIT, due_at=decided_at),),
        )
        for number in range(1, 6)
    ]
    desk.ledger.write(intake.take_in, drawn)
    desk.now = audit.week_end(audit.week_of(decided_at)) + 99.0
    grace = [1000.0]
    failures = [errors.LedgerUnavailable("away"), errors.LedgerUnavailable("away"), RuntimeError("a bug")]
    real = desk.ledger.read

    def read(query, *arguments, **more):
        if failures:
            raise failures.pop()
        return real(query, *arguments, **more)

    monkeypatch.setattr(desk.ledger, "read", read)
    watch = ClosingWatch(desk.ledger, grace_seconds=lambda: grace[0], interval_seconds=0.005)
    with caplog.at_level(logging.INFO):
        watch.start()
        try:
            while failures:
                time.sleep(0.005)
            time.sleep(0.05)
            assert desk.ledger.read(audit_periods.periods) == [], "the policy's grace is read anew each time"
            grace[0] = 99.0
            while not desk.ledger.read(audit_periods.periods):
                time.sleep(0.005)
        finally:
            watch.stop()
    tasks = desk.ledger.read(queue.tasks, kinds=[TaskKind.AUDIT]).items
    assert {task.decision_id for task in tasks} == {"decision-000001", "decision-000002"}
    told = [record for record in caplog.records if record.getMessage() == "audit_period_closed"]
    assert [(each.fields["decisions"], each.fields["sampled"]) for each in told] == [(5, 2)]  # type: ignore[attr-defined]
    failed = [each for each in caplog.records if each.getMessage() == "audit_closing_failed"]
    assert [each.levelname for each in failed] == ["ERROR", "WARNING"], "the same failure is told once"


def test_a_reviewer_gets_the_sample_and_nothing_before(desk, make_decision, make_person):
    drawn = make_decision(
        1,
        (),
        audit_rate=0.5,
        audit_budget=2,
        drawn=True,
        audit_draw=0.25,
        tasks=(PlannedTask(kind=TaskKind.AUDIT, due_at=desk.now, overlap=2),),
    )
    desk.ledger.write(intake.take_in, [drawn])
    assert desk.lease(make_person("ada")) == []
    desk.now += 14 * 86400
    (period,) = audit_periods.close_due(desk.ledger, grace_seconds=0.0)
    assert (period.n_sampled, period.tau) == (1, 0.5)
    for name in ("ada", "bob"):
        assert not desk.complete(make_person(name), desk.lease_one(make_person(name)))
    counted = [
        each for each in desk.ledger.read(labelled.resolved, "decision-000001") if each.state == "COUNTED"
    ]
    assert [(each.drawn, each.propensity) for each in counted] == [(True, 0.5)]
