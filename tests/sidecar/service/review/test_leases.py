"""The contract of leases, for every database: who gets what, for how long, and how it goes back."""

import pytest

from sidecar import errors
from sidecar.decision.tasks import TaskState
from sidecar.ledger import pages, queue
from sidecar.policy.actions import TaskKind
from sidecar.service.principals import ANONYMOUS
from sidecar.service.review.completion import ReviewFinding
from sidecar.service.review.lease import DEFAULT_LEASE_SECONDS, LONGEST_HOLD_SECONDS


def state(desk, held):
    task = desk.ledger.read(queue.task, held.task.task_id)
    assert task is not None
    return task.state


def test_a_lease_names_the_reviewer_a_fence_and_an_end(desk, make_person):
    desk.open()
    held = desk.lease_one(make_person("ada"))
    assert (held.slot.reviewer, held.slot.fence) == ("ada", 1)
    assert held.slot.lease_until == desk.now + DEFAULT_LEASE_SECONDS
    assert held.task.state is TaskState.LEASED
    assert desk.events(held.task.task_id) == [("LEASED", "ada")]


def test_no_task_is_with_two_reviewers(desk, make_person):
    desk.open()
    desk.lease_one(make_person("ada"))
    assert desk.lease(make_person("bob")) == []
    assert desk.lease(make_person("ada")) == [], "nor twice with one"


def test_a_lease_ends_by_itself_and_the_fence_grows(desk, make_person):
    desk.open()
    first = desk.lease_one(make_person("ada"))
    desk.now += DEFAULT_LEASE_SECONDS - 1
    assert desk.lease(make_person("bob")) == []
    assert state(desk, first) is TaskState.LEASED
    desk.now += 1
    assert state(desk, first) is TaskState.OPEN
    second = desk.lease_one(make_person("bob"))
    assert second.slot.fence == first.slot.fence + 1


def test_a_lease_survives_the_death_of_the_process(desk, make_person):
    desk.open()
    held = desk.lease_one(make_person("ada"))
    desk.crash()
    assert desk.lease(make_person("bob")) == []
    assert not desk.complete(make_person("ada"), held)


def test_an_extension_counts_from_now_and_stops_an_hour_after_the_lease_began(desk, make_person):
    ada = make_person("ada")
    desk.open()
    held = desk.lease_one(ada)
    task_id, fence, began = held.task.task_id, held.slot.fence, desk.now
    desk.now += 300
    assert desk.queue.extend(ada, task_id, fence, 600.0).slot.lease_until == began + 900
    while desk.now + 500 < began + LONGEST_HOLD_SECONDS:
        desk.now += 500
        until = desk.queue.extend(ada, task_id, fence, 600.0).slot.lease_until
        assert until is not None
        assert until <= began + LONGEST_HOLD_SECONDS
    desk.now = began + LONGEST_HOLD_SECONDS
    with pytest.raises(errors.LeaseLost, match="has ended"):
        desk.queue.extend(ada, task_id, fence, 600.0)
    assert desk.lease_one(make_person("bob")).task.task_id == task_id, "nobody holds a task for ever"


@pytest.mark.parametrize("step", [61.0, 3600.0, 86400.0])
def test_a_clock_that_is_set_back_prolongs_no_lease(desk, make_person, step):
    desk.open()
    held = desk.lease_one(make_person("ada"))
    desk.now -= 59.0
    assert desk.lease(make_person("bob")) == [], "a small step is none"
    desk.now += 59.0 - step
    assert desk.ledger.read(queue.task, held.task.task_id).state is TaskState.OPEN
    with pytest.raises(errors.LeaseLost):
        desk.queue.extend(make_person("ada"), held.task.task_id, held.slot.fence, 600.0)
    assert desk.lease_one(make_person("bob")).task.task_id == held.task.task_id


def test_only_the_holder_with_the_current_fence_may_touch_a_lease(desk, make_person):
    ada, bob = make_person("ada"), make_person("bob")
    desk.open()
    old = desk.lease_one(ada)
    desk.now += DEFAULT_LEASE_SECONDS
    new = desk.lease_one(bob)
    task_id = old.task.task_id
    for who, fence in (
        (ada, old.slot.fence),
        (ada, new.slot.fence),
        (bob, old.slot.fence),
        (bob, 0),
        (bob, 99),
    ):
        with pytest.raises(errors.LeaseLost):
            desk.queue.extend(who, task_id, fence, 60.0)
        with pytest.raises(errors.LeaseLost):
            desk.queue.decline(who, task_id, fence, "")
        with pytest.raises(errors.LeaseLost):
            desk.queue.release(who, task_id, fence)
    assert desk.queue.extend(bob, task_id, new.slot.fence, 60.0).slot.lease_until == desk.now + 60


def test_a_released_task_is_for_anybody_again(desk, make_person):
    ada = make_person("ada")
    desk.open()
    held = desk.lease_one(ada)
    task = desk.queue.release(ada, held.task.task_id, held.slot.fence)
    assert task.state is TaskState.OPEN
    assert desk.lease_one(ada).slot.fence == 2
    assert desk.events(task.task_id) == [("LEASED", "ada"), ("RELEASED", "ada"), ("LEASED", "ada")]


def test_whoever_declined_is_not_offered_the_task_again(desk, make_person):
    ada, bob = make_person("ada"), make_person("bob")
    desk.open()
    held = desk.lease_one(ada)
    desk.queue.decline(ada, held.task.task_id, held.slot.fence, "a friend of mine")
    desk.crash()
    desk.now += 10 * DEFAULT_LEASE_SECONDS
    assert desk.lease(ada) == []
    assert desk.lease_one(bob).task.task_id == held.task.task_id


def test_a_lease_may_be_given_back_after_its_end(desk, make_person):
    ada = make_person("ada")
    desk.open()
    held = desk.lease_one(ada)
    desk.now += DEFAULT_LEASE_SECONDS
    desk.queue.decline(ada, held.task.task_id, held.slot.fence, "")
    assert desk.lease(ada) == []


def test_tasks_are_taken_by_kind_model_category_and_count(desk, make_person):
    lead = make_person("ada", "lead")
    desk.open(TaskKind.HOLD)
    desk.open(TaskKind.BATCH, TaskKind.AUDIT)
    desk.open(TaskKind.ESCALATION, model="mail")
    desk.open(TaskKind.HOLD, category="refunds")

    def numbers(**wanted):
        held = desk.lease(lead, **wanted)
        for each in held:
            desk.queue.release(lead, each.task.task_id, each.slot.fence)
        return sorted((int(each.task.decision_id[-6:]), each.task.kind.value) for each in held)

    assert numbers(kinds=(TaskKind.BATCH, TaskKind.AUDIT), count=9) == [(2, "AUDIT"), (2, "BATCH")]
    assert numbers(models=("mail",), count=9) == [(3, "ESCALATION")]
    assert numbers(categories=("refunds",), count=9) == [(4, "HOLD")]
    assert numbers(kinds=(TaskKind.HOLD,), models=("mail",), count=9) == []
    assert len(numbers(count=3)) == 3
    assert len(numbers(count=100)) == 5


def test_a_skill_that_a_task_asks_for_must_be_there(desk, make_person):
    desk.open(skill="legal")
    assert desk.lease(make_person("ada")) == []
    assert desk.lease(make_person("ada"), skills=("tax",)) == []
    assert desk.lease_one(make_person("ada"), skills=("tax", "legal")).task.skill == "legal"


def test_escalations_are_for_leads(desk, make_person):
    desk.open(TaskKind.ESCALATION)
    assert desk.lease(make_person("ada")) == []
    with pytest.raises(errors.NotPermitted, match="role lead"):
        desk.lease(make_person("ada"), kinds=(TaskKind.ESCALATION,))
    assert desk.lease_one(make_person("bob", "lead")).task.kind is TaskKind.ESCALATION


def test_what_only_a_person_can_end_is_not_offered_to_a_service_nor_to_who_asked(
    desk, make_person, make_service
):
    desk.open(mandatory=True, category="pricing", principal="carol")
    assert desk.lease(make_service("robot")) == []
    assert desk.lease(make_person("carol")) == []
    assert desk.lease_one(make_person("ada")).task.mandatory


def test_a_service_may_judge_what_needs_no_person(desk, make_service):
    desk.open(principal="robot")
    desk.open(TaskKind.AUDIT, mandatory=True)
    held = desk.lease(make_service("robot"), count=9)
    assert {each.task.kind for each in held} == {TaskKind.HOLD, TaskKind.AUDIT}


def test_without_principals_everything_is_shown(desk):
    desk.open(mandatory=True, category="pricing", principal="anonymous")
    held = desk.lease_one(ANONYMOUS)
    finding = ReviewFinding(verdict="CORRECT", disposition="RELEASE")
    with pytest.raises(errors.NotPermitted, match="TRUEBAND_PRINCIPALS"):
        desk.queue.complete(ANONYMOUS, held.task.task_id, held.slot.fence, finding)
    assert desk.outcomes(held.task.decision_id) == []
    assert state(desk, held) is TaskState.LEASED


@pytest.mark.parametrize(("field", "wanted"), [("count", {"count": 0}), ("count", {"count": 101})])
def test_a_count_out_of_range_is_refused(desk, make_person, field, wanted):
    with pytest.raises(errors.InvalidRequest) as caught:
        desk.lease(make_person("ada"), **wanted)
    assert caught.value.violations[0].field == field


@pytest.mark.parametrize("seconds", [0.0, 0.9, -1.0, LONGEST_HOLD_SECONDS + 1, float("nan"), float("inf")])
def test_a_lease_of_a_length_out_of_range_is_refused(desk, make_person, seconds):
    desk.open()
    with pytest.raises(errors.InvalidRequest, match="lease_duration"):
        desk.lease(make_person("ada"), lease_seconds=seconds)
    held = desk.lease_one(make_person("ada"))
    with pytest.raises(errors.InvalidRequest, match="lease_duration"):
        desk.queue.extend(make_person("ada"), held.task.task_id, held.slot.fence, seconds)


def test_a_task_that_does_not_exist_is_not_found(desk, make_person):
    with pytest.raises(errors.NotFound, match="no task 'x'"):
        desk.queue.release(make_person("ada"), "x", 1)


def test_the_queue_can_be_listed_by_what_is_free_and_what_is_taken(desk, make_person):
    desk.open()
    desk.open()
    held = desk.lease_one(make_person("ada"))

    def listed(*states):
        page = desk.ledger.read(queue.tasks, states=states)
        assert page.total == len(page.items)
        assert all(task.state in states or not states for task in page.items)
        return len(page.items)

    assert (listed(TaskState.OPEN), listed(TaskState.LEASED), listed()) == (1, 1, 2)
    assert listed(TaskState.OPEN, TaskState.COMPLETED) == 1
    assert listed(TaskState.LEASED, TaskState.COMPLETED) == 1
    desk.complete(make_person("ada"), held)
    assert (listed(TaskState.OPEN), listed(TaskState.LEASED), listed(TaskState.COMPLETED)) == (1, 0, 1)
    assert listed(TaskState.LEASED, TaskState.COMPLETED) == 1
    assert listed(TaskState.EXPIRED, TaskState.WITHDRAWN) == 0


def test_what_cannot_be_handed_over_is_not_leased(desk, make_person):
    for _ in range(5):
        desk.open()
    desk.size_of = lambda _: pages.MOST_BYTES // 2
    assert len(desk.lease(make_person("ada"), count=5)) == 2
    assert desk.ledger.read(queue.tasks, states=[TaskState.OPEN]).total == 3
    desk.size_of = lambda _: 2 * pages.MOST_BYTES
    assert len(desk.lease(make_person("bob"), count=5)) == 1, "one always comes, or nothing ever would"
