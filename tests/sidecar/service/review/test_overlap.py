"""Two pairs of eyes: different ones, and a third where they disagree."""

import pytest

from sidecar.decision.labels import LabelState
from sidecar.decision.tasks import TaskState, task_id
from sidecar.ledger import intake, labelled, outcomes, queries, queue
from sidecar.policy.actions import TaskKind
from sidecar.service.review.lease import DEFAULT_LEASE_SECONDS
from tests import builders


def states(desk, decision_id):
    return {
        each.label.reviewer: (each.state, each.propensity)
        for each in desk.ledger.read(labelled.resolved, decision_id)
    }


def test_each_review_is_by_somebody_else(desk, make_person):
    desk.open(overlap=3)
    fences = []
    for name in ("ada", "bob", "carol"):
        held = desk.lease_one(make_person(name))
        fences.append(held.slot.fence)
        assert desk.lease(make_person(name)) == []
    assert sorted(fences) == [1, 2, 3]
    assert desk.lease(make_person("dave")) == []


def test_whoever_has_reviewed_a_task_is_not_offered_it_again(desk, make_person):
    desk.open(overlap=2)
    desk.complete(make_person("ada"), desk.lease_one(make_person("ada")))
    assert desk.lease(make_person("ada")) == []
    desk.now += 10 * DEFAULT_LEASE_SECONDS
    assert desk.lease(make_person("ada")) == []


def test_nobody_fills_two_reviews_by_letting_a_lease_end(desk, make_person):
    ada = make_person("ada")
    decision_id = desk.open(overlap=2)
    first = desk.lease_one(ada)
    desk.now += DEFAULT_LEASE_SECONDS
    second = desk.lease_one(ada)
    assert second.slot.slot == first.slot.slot
    assert not desk.complete(ada, second)
    assert desk.complete(ada, first), "the first one is stale"
    assert desk.outcomes(decision_id) == []
    assert desk.ledger.read(queue.task, first.task.task_id).state is TaskState.OPEN


def test_agreement_ends_the_decision_with_both_names(desk, make_person):
    decision_id = desk.open(overlap=2)
    for name in ("ada", "bob"):
        assert desk.outcomes(decision_id) == []
        desk.complete(make_person(name), desk.lease_one(make_person(name)))
    (outcome,) = desk.ledger.read(outcomes.progress, decision_id).outcomes
    assert (outcome.kind, outcome.decided_by, outcome.by_person) == ("RELEASED", "ada, bob", True)
    assert states(desk, decision_id) == {"ada": (LabelState.COUNTED, 1.0), "bob": (LabelState.REPEATED, 1.0)}
    assert desk.ledger.read(queue.tasks).total == 0


def disagree(desk, make_person, decision_id, kind):
    desk.complete(make_person("ada"), desk.lease_one(make_person("ada")), "CORRECT")
    desk.complete(make_person("bob"), desk.lease_one(make_person("bob")), "INCORRECT")
    return task_id(task_id(decision_id, kind), TaskKind.ADJUDICATION)


def test_disagreement_goes_to_a_third_who_settles_it(desk, make_person):
    decision_id = desk.open(overlap=2, category="pricing", mandatory=True, skill="legal")
    desk.policy = desk.policy.model_copy(update={"escalation_due": 60.0})
    for name, verdict in (("ada", "CORRECT"), ("bob", "INCORRECT")):
        desk.complete(make_person(name), desk.lease_one(make_person(name), skills=("legal",)), verdict)
    adjudication = task_id(task_id(decision_id, TaskKind.HOLD), TaskKind.ADJUDICATION)
    assert desk.outcomes(decision_id) == []
    assert desk.ledger.read(outcomes.progress, decision_id).waiting
    assert {each[0] for each in states(desk, decision_id).values()} == {LabelState.CONFLICTING}
    task = desk.ledger.read(queue.task, adjudication)
    assert (task.kind, task.origin_kind, task.mandatory) == (TaskKind.ADJUDICATION, TaskKind.HOLD, True)
    assert (task.due_at, task.skill) == (desk.now + 60.0, "legal")
    assert desk.lease(make_person("ada"), skills=("legal",)) == []
    assert desk.lease(make_person("bob"), skills=("legal",)) == []
    carol = make_person("carol")
    desk.complete(carol, desk.lease_one(carol, skills=("legal",)))
    assert desk.outcomes(decision_id) == [("RELEASED", "interested")]
    assert states(desk, decision_id) == {
        "ada": (LabelState.REPEATED, 1.0),
        "bob": (LabelState.SUPERSEDED, 1.0),
        "carol": (LabelState.COUNTED, 1.0),
    }
    assert desk.ledger.read(queue.tasks).total == 0


def test_an_adjudicated_audit_counts_with_the_propensity_of_the_draw_and_has_no_outcome(desk, make_person):
    decision_id = desk.open(TaskKind.AUDIT, overlap=2, audit_rate=0.05, drawn=True)
    adjudication = disagree(desk, make_person, decision_id, TaskKind.AUDIT)
    carol = make_person("carol")
    held = desk.lease_one(carol)
    assert held.task.task_id == adjudication
    desk.complete(carol, held, "INCORRECT")
    assert states(desk, decision_id)["carol"] == (LabelState.COUNTED, 0.05)
    assert desk.outcomes(decision_id) == []
    assert not desk.ledger.read(outcomes.progress, decision_id).followed
    assert {each.label.channel for each in desk.ledger.read(labelled.resolved, decision_id)} == {"AUDIT_TASK"}


@pytest.mark.parametrize(
    ("first", "second", "agreed"),
    [
        (("CORRECT", {}), ("CORRECT", {"disposition": "REFUSE"}), False),
        (("INCORRECT", {"true_class": "spam"}), ("INCORRECT", {"true_class": "ham"}), True),
        (
            ("INCORRECT", {"true_class": "spam", "disposition": "RELEASE_CORRECTED"}),
            ("INCORRECT", {"true_class": "ham", "disposition": "RELEASE_CORRECTED"}),
            False,
        ),
        (("CORRECT", {"disposition": "REFUSE"}), ("CANNOT_TELL", {}), False),
    ],
)
def test_what_counts_as_agreement_on_a_hold(desk, make_person, first, second, agreed):
    """The truth, and what may be acted on: reviewers who refuse need not name the same right class."""
    decision_id = desk.open(overlap=2)
    for name, (verdict, changes) in (("ada", first), ("bob", second)):
        desk.complete(make_person(name), desk.lease_one(make_person(name)), verdict, **changes)
    assert bool(desk.outcomes(decision_id)) is agreed
    assert desk.ledger.read(queue.tasks, kinds=[TaskKind.ADJUDICATION]).total == (0 if agreed else 1)


def test_another_answer_of_the_decision_does_not_end_a_task_that_is_half_reviewed(desk, make_person):
    decision_id = desk.open(overlap=2)
    desk.complete(make_person("ada"), desk.lease_one(make_person("ada")))
    (first,) = desk.ledger.read(queries.decision, decision_id).answers
    desk.ledger.write(intake.take_in, [builders.altered(first, answer_id="second")])
    assert desk.ledger.read(queue.tasks).total == 1
    desk.complete(make_person("bob"), desk.lease_one(make_person("bob")))
    assert desk.outcomes(decision_id) == [("RELEASED", "interested")]


def test_whoever_comes_back_gets_the_review_that_was_theirs(desk, make_person):
    """Though another one of the task is free too: with both they would be two of its reviewers."""
    ada, bob = make_person("ada"), make_person("bob")
    desk.open(overlap=2)
    first, second = desk.lease_one(ada), desk.lease_one(bob)
    desk.queue.release(ada, first.task.task_id, first.slot.fence)
    desk.now += DEFAULT_LEASE_SECONDS
    again = desk.lease_one(bob)
    assert again.slot.slot == second.slot.slot
    assert desk.complete(bob, second), "the fence of the lease that ended is old"
    assert not desk.complete(bob, again)
