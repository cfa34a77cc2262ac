"""What ends by itself: only where the policy says so, never a permission, never where a person is needed."""

import time

import pytest

from sidecar import errors
from sidecar.decision.labels import LabelState
from sidecar.decision.tasks import TaskState
from sidecar.ledger import intake, labelled, outcomes, queue
from sidecar.policy.actions import TaskKind
from sidecar.service.review.housekeeping import ExpiryWatch
from sidecar.service.review.lease import DEFAULT_LEASE_SECONDS


def test_a_hold_past_its_time_expires_and_permits_nothing(desk, make_person):
    decision_id = desk.open(task_expires_at=desk.now + 1000)
    desk.now += 999
    assert desk.queue.expire() == 0
    desk.now += 1
    assert desk.queue.expire() == 1
    assert desk.queue.expire() == 0
    (outcome,) = desk.ledger.read(outcomes.progress, decision_id).outcomes
    assert (outcome.kind, outcome.final_class, outcome.expires_at) == ("EXPIRED", "", None)
    assert (outcome.decided_by, outcome.by_person) == ("", False)
    (task,) = desk.ledger.read(queue.tasks, states=[TaskState.EXPIRED]).items
    assert desk.events(task.task_id) == [("EXPIRED", "")]
    assert desk.lease(make_person("ada")) == []


def test_a_breach_of_the_due_time_alone_ends_nothing(desk, make_person):
    decision_id = desk.open()
    desk.now += 365 * 86400
    assert desk.queue.expire() == 0
    assert desk.outcomes(decision_id) == []
    assert desk.lease_one(make_person("ada")).task.decision_id == decision_id


def test_a_task_at_which_somebody_is_does_not_expire(desk, make_person):
    decision_id = desk.open(task_expires_at=desk.now + 10)
    held = desk.lease_one(make_person("ada"))
    desk.now += DEFAULT_LEASE_SECONDS - 1
    assert desk.queue.expire() == 0
    assert not desk.complete(make_person("ada"), held)
    assert desk.outcomes(decision_id) == [("RELEASED", "interested")]


def test_a_half_reviewed_task_waits_for_who_is_at_it(desk, make_person):
    desk.open(overlap=2, task_expires_at=desk.now + 10)
    held = desk.lease_one(make_person("ada"))
    desk.now += 20
    assert desk.queue.expire() == 0
    desk.queue.release(make_person("ada"), held.task.task_id, held.slot.fence)
    assert desk.queue.expire() == 1


def test_a_completion_after_the_expiry_is_stale(desk, make_person):
    decision_id = desk.open(task_expires_at=desk.now + 10)
    held = desk.lease_one(make_person("ada"))
    desk.now += DEFAULT_LEASE_SECONDS
    assert desk.queue.expire() == 1
    assert desk.complete(make_person("ada"), held)
    assert desk.outcomes(decision_id) == [("EXPIRED", "")]
    (label,) = desk.ledger.read(labelled.resolved, decision_id)
    assert label.state is LabelState.STALE


def test_what_another_answer_made_mandatory_does_not_expire(desk, make_decision):
    decision_id = desk.open(task_expires_at=desk.now + 10)
    desk.ledger.write(intake.take_in, [make_decision(1, answer_id="second", mandatory=True)])
    desk.now += 20
    assert desk.queue.expire() == 0
    assert desk.outcomes(decision_id) == []


def test_the_watch_ends_what_is_due_and_outlives_failures(desk):
    decision_id = desk.open(task_expires_at=desk.now)
    failures = [errors.LedgerUnavailable("away"), RuntimeError("a bug")]
    real = desk.queue.expire

    def expire():
        if failures:
            raise failures.pop()
        return real()

    desk.queue.expire = expire
    watch = ExpiryWatch(desk.queue, interval_seconds=0.005)
    watch.start()
    try:
        while not desk.outcomes(decision_id):
            time.sleep(0.005)
    finally:
        watch.stop()
    assert desk.outcomes(decision_id) == [("EXPIRED", "")]
    assert not failures


@pytest.mark.parametrize("kind", [TaskKind.BATCH, TaskKind.AUDIT])
def test_what_cannot_expire_has_no_time_to(desk, kind):
    desk.open(kind)
    desk.now += 10**8
    assert desk.queue.expire() == 0
