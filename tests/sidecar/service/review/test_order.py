"""The order of the queue: mandatory first, then by due time, and nothing starves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decision.tasks import HEAD_START_SECONDS, rank_at
from sidecar.ledger import queue
from sidecar.policy.actions import TaskKind

DAY = 86400.0


def test_mandatory_comes_first_then_what_is_due_first(desk, make_person):
    due = {
        desk.open(due_at=desk.now + hours * 3600, mandatory=mandatory): (not mandatory, hours)
        for hours, mandatory in ((4, False), (1, False), (8, True), (2, True))
    }
    held = desk.lease(make_person("ada"), count=9)
    assert [due[each.task.decision_id] for each in held] == sorted(due.values())
    assert [task.decision_id for task in desk.ledger.read(queue.tasks).items] == [
        each.task.decision_id for each in held
    ]


@pytest.mark.slow
def test_an_ordinary_task_is_reached_under_a_stream_of_mandatory_ones(desk, make_person):
    """Each hour brings more mandatory tasks than one reviewer, who takes one an hour, can do."""
    ada = make_person("ada")
    audit = desk.open(TaskKind.AUDIT, due_at=desk.now + DAY)
    hours = 0
    while True:
        desk.open(due_at=desk.now + 4 * 3600, mandatory=True, decided_at=desk.now)
        desk.open(due_at=desk.now + 4 * 3600, mandatory=True, decided_at=desk.now)
        held = desk.lease_one(ada)
        desk.complete(ada, held)
        if held.task.decision_id == audit:
            break
        hours += 1
        desk.now += 3600
        assert hours <= 100, "starved"
    # Overdue by a day it stands before every mandatory task that came later than four hours before that.
    assert hours > 40


@given(
    st.booleans(),
    st.booleans(),
    st.floats(0, 1e9),
    st.floats(0, 1e9),
    st.floats(0, 30 * DAY),
    st.floats(0, 30 * DAY),
)
def test_whatever_comes_late_enough_stands_behind(mandatory, other, opened, later, due_in, other_due_in):
    """So only what was there before, or came within a bounded time, can be taken before a task."""
    rank = rank_at(mandatory, opened + due_in)
    bound = opened + due_in + HEAD_START_SECONDS
    if later > bound:
        assert rank_at(other, later + other_due_in) > rank


@pytest.mark.slow
def test_what_is_taken_is_passed_over_and_pages_are_left_behind(desk, make_person):
    """More tasks stand in front than one page of the search holds, all of them taken or declined."""
    ada, bob = make_person("ada"), make_person("bob")
    for number in range(120):
        desk.open(due_at=desk.now + number)
    taken = desk.lease(ada, count=60)
    assert len(taken) == 60
    last = desk.lease(bob, count=100)
    assert [each.task.due_at - desk.now for each in last] == [float(number) for number in range(60, 120)]
