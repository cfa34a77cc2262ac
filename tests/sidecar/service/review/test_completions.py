"""The contract of completions, for every database: label, outcome, task and audit row change together, once."""

import pytest

from sidecar import errors
from sidecar.decision.labels import LabelState
from sidecar.decision.tasks import TaskState, task_id
from sidecar.ledger import intake, labelled, queries, queue
from sidecar.ledger import outcomes as ledger_outcomes
from sidecar.policy.actions import TaskKind
from sidecar.service.review import queue as queues
from sidecar.service.review import screen
from sidecar.service.review.completion import ReviewFinding
from sidecar.service.review.lease import DEFAULT_LEASE_SECONDS
from tests import builders


@pytest.mark.parametrize(
    ("finding", "outcome", "correct"),
    [
        ({"verdict": "CORRECT", "disposition": "RELEASE"}, ("RELEASED", "interested"), True),
        ({"verdict": "CORRECT", "disposition": "REFUSE"}, ("REFUSED", ""), True),
        (
            {"verdict": "CORRECT", "disposition": "RELEASE_CORRECTED", "true_class": "interested"},
            ("RELEASED", "interested"),
            True,
        ),
        ({"verdict": "INCORRECT", "disposition": "REFUSE"}, ("REFUSED", ""), False),
        ({"verdict": "INCORRECT", "disposition": "REFUSE", "true_class": "spam"}, ("REFUSED", ""), False),
        (
            {"verdict": "INCORRECT", "disposition": "RELEASE_CORRECTED", "true_class": "spam"},
            ("CORRECTED", "spam"),
            False,
        ),
        ({"verdict": "CANNOT_TELL", "disposition": "REFUSE"}, ("REFUSED", ""), None),
        ({"verdict": "CANNOT_TELL", "disposition": "RELEASE"}, ("RELEASED", "interested"), None),
    ],
)
@pytest.mark.parametrize("kind", [TaskKind.HOLD, TaskKind.ESCALATION])
def test_truth_and_permission_are_told_apart(desk, make_person, kind, finding, outcome, correct):
    lead = make_person("ada", "lead")
    decision_id = desk.open(kind)
    held = desk.lease_one(lead)
    assert not desk.complete(lead, held, **finding)
    assert desk.outcomes(decision_id) == [outcome]
    (label,) = desk.ledger.read(labelled.resolved, decision_id)
    assert label.correct is correct
    assert label.state is (LabelState.NO_ANSWER if correct is None else LabelState.COUNTED)
    assert (label.drawn, label.propensity) == (True, None if correct is None else 1.0)
    assert (label.label.source, label.label.channel, label.label.reviewer) == ("review", "REVIEW_TASK", "ada")
    assert label.label.event_id == f"{held.task.task_id}:0:1"
    task = desk.ledger.read(queue.task, held.task.task_id)
    assert task is not None
    assert (task.state, task.completed_at) == (TaskState.COMPLETED, desk.now)
    assert desk.events(task.task_id) == [("LEASED", "ada"), ("COMPLETED", "ada")]


def test_an_outcome_says_who_what_was_shown_and_until_when(desk, make_person):
    decision_id = desk.open(decided_at=desk.now, expires_at=desk.now + 1800)
    held = desk.lease_one(make_person("ada"))
    desk.now += 60
    desk.complete(make_person("ada"), held, explanation="looks right")
    (outcome,) = desk.ledger.read(ledger_outcomes.progress, decision_id).outcomes
    assert (outcome.decided_by, outcome.by_person, outcome.explanation) == ("ada", True, "looks right")
    assert (outcome.decided_at, outcome.expires_at) == (desk.now, desk.now + 1800)
    assert outcome.shown_digest == screen.digest(screen.shown(held.task))


def test_what_a_service_releases_says_that_it_was_no_person(desk, make_service):
    decision_id = desk.open()
    held = desk.lease_one(make_service("robot"))
    desk.complete(make_service("robot"), held)
    (outcome,) = desk.ledger.read(ledger_outcomes.progress, decision_id).outcomes
    assert (outcome.decided_by, outcome.by_person) == ("robot", False)


@pytest.mark.parametrize(
    ("finding", "outcomes"),
    [
        ({"verdict": "CORRECT"}, []),
        ({"verdict": "CANNOT_TELL"}, []),
        ({"verdict": "INCORRECT"}, [("RECALLED", "")]),
        ({"verdict": "INCORRECT", "true_class": "spam"}, [("RECALLED", "")]),
        ({"verdict": "CORRECT", "disposition": "REFUSE"}, [("RECALLED", "")]),
    ],
)
def test_a_flagged_answer_is_recalled_where_it_was_wrong_or_refused(desk, make_person, finding, outcomes):
    decision_id = desk.open(TaskKind.BATCH)
    desk.complete(make_person("ada"), desk.lease_one(make_person("ada")), **finding)
    assert desk.outcomes(decision_id) == outcomes
    assert not desk.ledger.read(ledger_outcomes.progress, decision_id).waiting


@pytest.mark.parametrize("verdict", ["CORRECT", "INCORRECT", "CANNOT_TELL"])
def test_an_audit_ends_nothing_and_nobody_can_tell_it_from_an_outcome(desk, make_person, verdict):
    drawn, plain = desk.open(TaskKind.AUDIT), desk.open(tasks=())
    before = desk.ledger.read(ledger_outcomes.progress, drawn)
    assert before == desk.ledger.read(ledger_outcomes.progress, plain)
    desk.complete(make_person("ada"), desk.lease_one(make_person("ada")), verdict)
    assert desk.ledger.read(ledger_outcomes.progress, drawn) == before
    assert desk.ledger.read(ledger_outcomes.feed, tenant="", principal=None, after=0, count=9) == []
    (label,) = desk.ledger.read(labelled.resolved, drawn)
    assert label.label.channel == "AUDIT_TASK"


REFUSED = [
    (TaskKind.HOLD, {"verdict": None, "disposition": "RELEASE"}, "verdict"),
    (TaskKind.HOLD, {"verdict": "CORRECT", "disposition": None}, "disposition"),
    (TaskKind.HOLD, {"verdict": "INCORRECT", "disposition": "RELEASE"}, "disposition"),
    (TaskKind.HOLD, {"verdict": "INCORRECT", "disposition": "RELEASE_CORRECTED"}, "true_class"),
    (
        TaskKind.HOLD,
        {"verdict": "INCORRECT", "disposition": "REFUSE", "true_class": "interested"},
        "true_class",
    ),
    (TaskKind.HOLD, {"verdict": "CORRECT", "disposition": "RELEASE", "true_class": "spam"}, "true_class"),
    (TaskKind.HOLD, {"verdict": "CANNOT_TELL", "disposition": "REFUSE", "true_class": "spam"}, "true_class"),
    (TaskKind.BATCH, {"verdict": "CORRECT", "disposition": "RELEASE"}, "disposition"),
    (TaskKind.AUDIT, {"verdict": "CORRECT", "disposition": "RELEASE"}, "disposition"),
    (TaskKind.AUDIT, {"verdict": "INCORRECT", "disposition": "REFUSE"}, "disposition"),
]


@pytest.mark.parametrize(("kind", "finding", "field"), REFUSED)
def test_a_contradiction_is_refused_by_its_field_and_changes_nothing(desk, make_person, kind, finding, field):
    decision_id = desk.open(kind)
    held = desk.lease_one(make_person("ada"))
    with pytest.raises(errors.InvalidRequest) as caught:
        desk.complete(make_person("ada"), held, **finding)
    assert [each.field for each in caught.value.violations] == [field]
    assert desk.ledger.read(labelled.resolved, decision_id) == ()
    assert desk.outcomes(decision_id) == []
    assert desk.events(held.task.task_id) == [("LEASED", "ada")]


@pytest.mark.parametrize(
    ("finding", "problem"),
    [
        ({"verdict": None, "disposition": "REFUSE"}, "true_class"),
        ({"verdict": "CORRECT", "disposition": "REFUSE"}, "verdict"),
        ({"verdict": "INCORRECT", "true_class": "spam", "disposition": "REFUSE"}, "verdict"),
        ({"verdict": None, "true_class": "spam", "disposition": "RELEASE"}, "disposition"),
        ({"verdict": "CANNOT_TELL", "true_class": "spam", "disposition": "REFUSE"}, "true_class"),
    ],
)
def test_nobody_judges_an_answer_that_was_hidden(desk, make_person, finding, problem):
    desk.open(blind=True)
    held = desk.lease_one(make_person("ada"))
    with pytest.raises(errors.InvalidRequest) as caught:
        desk.complete(make_person("ada"), held, **finding)
    assert problem in [each.field for each in caught.value.violations]


@pytest.mark.parametrize(
    ("true_class", "correct", "outcome"),
    [("interested", True, ("RELEASED", "interested")), ("spam", False, ("CORRECTED", "spam"))],
)
def test_a_blind_reviewer_says_what_is_right_and_is_compared(desk, make_person, true_class, correct, outcome):
    decision_id = desk.open(blind=True)
    held = desk.lease_one(make_person("ada"))
    desk.complete(make_person("ada"), held, None, true_class=true_class, disposition="RELEASE_CORRECTED")
    assert desk.outcomes(decision_id) == [outcome]
    (label,) = desk.ledger.read(labelled.resolved, decision_id)
    assert label.correct is correct


def test_a_class_that_cannot_be_compared_is_kept_in_words(desk, make_person):
    decision_id = desk.open(predicted_class="", final_class="")
    held = desk.lease_one(make_person("ada"))
    finding = {"true_class": "spam", "explanation": "clearly", "disposition": "REFUSE"}
    desk.complete(make_person("ada"), held, "INCORRECT", **finding)
    (label,) = desk.ledger.read(labelled.resolved, decision_id)
    assert (label.correct, label.state) == (False, LabelState.COUNTED)
    assert label.label.note == "true class: spam\nclearly"


def test_the_label_is_by_the_criterion_of_the_model_and_keeps_the_true_category(desk, make_person):
    decision_id = desk.open(TaskKind.AUDIT, criterion="helpful")
    held = desk.lease_one(make_person("ada"))
    desk.complete(make_person("ada"), held, true_category="pricing")
    (label,) = desk.ledger.read(labelled.resolved, decision_id)
    assert (label.label.criterion, label.label.true_category) == ("helpful", "pricing")
    assert [each.correct for each in desk.ledger.read(labelled.labelled, "leads", criterion="helpful")] == [
        True
    ]


def test_the_same_completion_again_changes_nothing_and_another_one_is_refused(desk, make_person):
    ada = make_person("ada")
    decision_id = desk.open()
    held = desk.lease_one(ada)
    for _ in range(3):
        assert not desk.complete(ada, held)
        desk.now += 5000
        desk.crash()
    with pytest.raises(errors.AlreadyCompleted):
        desk.complete(ada, held, "INCORRECT")
    assert desk.outcomes(decision_id) == [("RELEASED", "interested")]
    assert len(desk.ledger.read(labelled.resolved, decision_id)) == 1
    assert desk.events(held.task.task_id) == [("LEASED", "ada"), ("COMPLETED", "ada")]


def test_a_late_completion_is_taken_while_nobody_else_has_the_task(desk, make_person):
    decision_id = desk.open()
    held = desk.lease_one(make_person("ada"))
    desk.now += 10 * DEFAULT_LEASE_SECONDS
    assert not desk.complete(make_person("ada"), held)
    assert desk.outcomes(decision_id) == [("RELEASED", "interested")]


@pytest.mark.parametrize("second_first", [True, False])
def test_a_completion_with_an_old_fence_is_kept_and_never_counted(desk, make_person, second_first):
    ada, bob = make_person("ada"), make_person("bob")
    decision_id = desk.open()
    old = desk.lease_one(ada)
    desk.now += DEFAULT_LEASE_SECONDS
    new = desk.lease_one(bob)
    steps = [(bob, new, "CORRECT", False), (ada, old, "INCORRECT", True)]
    for who, held, verdict, stale in steps if second_first else steps[::-1]:
        assert desk.complete(who, held, verdict) is stale
    for _ in range(2):
        assert desk.complete(ada, old, "INCORRECT"), "sent again, it is the same"
    assert desk.outcomes(decision_id) == [("RELEASED", "interested")]
    states = {
        each.label.reviewer: (each.state, each.correct)
        for each in desk.ledger.read(labelled.resolved, decision_id)
    }
    assert states == {"bob": (LabelState.COUNTED, True), "ada": (LabelState.STALE, False)}
    assert sorted(desk.events(old.task.task_id)) == sorted(
        [("LEASED", "ada"), ("LEASED", "bob"), ("COMPLETED", "bob"), ("COMPLETED_LATE", "ada")]
    )
    assert [each.correct for each in desk.ledger.read(labelled.labelled, "leads")] == [True]


def test_a_stale_label_does_not_end_the_task(desk, make_person):
    ada = make_person("ada")
    decision_id = desk.open()
    held = desk.lease_one(ada)
    desk.queue.release(ada, held.task.task_id, held.slot.fence)
    assert desk.complete(ada, held)
    assert desk.ledger.read(queue.task, held.task.task_id).state is TaskState.OPEN
    assert desk.outcomes(decision_id) == []
    # Nor does it when the journal brings something about the same decision later.
    desk.ledger.write(intake.take_in, [desk.ledger.read(queries.decision, decision_id).answers[0]])
    assert desk.lease_one(ada).slot.fence == 2


def test_nobody_completes_a_lease_that_they_never_had(desk, make_person):
    decision_id = desk.open()
    held = desk.lease_one(make_person("ada"))
    for who, fence in ((make_person("bob"), 1), (make_person("ada"), 2), (make_person("ada"), 0)):
        with pytest.raises(errors.LeaseLost):
            desk.queue.complete(
                who, held.task.task_id, fence, ReviewFinding(verdict="CORRECT", disposition="RELEASE")
            )
    assert desk.ledger.read(labelled.resolved, decision_id) == ()


def test_in_a_mandatory_category_a_person_releases_but_not_their_own(desk, make_person, make_service):
    changes = {"mandatory": True, "category": "pricing", "principal": "ada"}
    decision_id = desk.open(**changes)
    bob = make_person("bob")
    held = desk.lease_one(bob)
    # Another answer of the same decision, that bob asked for.
    (first,) = desk.ledger.read(queries.decision, decision_id).answers
    second = builders.altered(first, answer_id="second", principal="bob")
    desk.ledger.write(intake.take_in, [second])
    with pytest.raises(errors.NotPermitted, match="bob asked for this decision"):
        desk.complete(bob, held)
    desk.queue.release(bob, held.task.task_id, held.slot.fence)
    carol = make_person("carol")
    held = desk.lease_one(carol)
    assert not desk.complete(carol, held)
    (outcome,) = desk.ledger.read(ledger_outcomes.progress, decision_id).outcomes
    assert (outcome.kind, outcome.decided_by, outcome.by_person) == ("RELEASED", "carol", True)


def test_who_asked_may_refuse_their_own(desk, make_person):
    decision_id = desk.open(mandatory=False, category="pricing", principal="ada")
    held = desk.lease_one(make_person("ada"))
    (first,) = desk.ledger.read(queries.decision, decision_id).answers
    desk.ledger.write(intake.take_in, [builders.altered(first, answer_id="second", mandatory=True)])
    with pytest.raises(errors.NotPermitted):
        desk.complete(make_person("ada"), held)
    desk.complete(make_person("ada"), held, "INCORRECT")
    assert desk.outcomes(decision_id) == [("REFUSED", "")]


@pytest.mark.parametrize("disposition", ["RELEASE", "REFUSE"])
def test_a_service_ends_no_mandatory_hold_even_where_another_answer_made_it_so(
    desk, make_service, disposition
):
    decision_id = desk.open()
    robot = make_service("robot")
    held = desk.lease_one(robot)
    (first,) = desk.ledger.read(queries.decision, decision_id).answers
    desk.ledger.write(intake.take_in, [builders.altered(first, answer_id="second", mandatory=True)])
    with pytest.raises(errors.NotPermitted, match="always needs a person, and robot is none"):
        desk.complete(robot, held, disposition=disposition)
    assert desk.outcomes(decision_id) == []


def test_a_label_from_elsewhere_ends_nothing_and_permits_nothing(desk, make_person):
    decision_id = desk.open()
    label = builders.label(
        decision_id=decision_id,
        task_id=task_id(decision_id, TaskKind.HOLD),
        channel="REVIEW_TASK",
        observed_at=desk.now,
        recorded_at=desk.now,
    )
    held = desk.lease_one(make_person("ada"))
    desk.ledger.write(intake.take_in, [label])
    assert desk.outcomes(decision_id) == []
    assert desk.ledger.read(ledger_outcomes.progress, decision_id).waiting
    assert desk.ledger.read(queue.task, held.task.task_id).state is TaskState.LEASED
    assert not desk.complete(make_person("ada"), held)
    assert desk.outcomes(decision_id) == [("RELEASED", "interested")]
    assert [each.state for each in desk.ledger.read(labelled.resolved, decision_id)].count(
        LabelState.COUNTED
    ) == 1


def test_a_completion_that_fails_at_its_end_changes_nothing(desk, make_person, monkeypatch):
    decision_id = desk.open()
    held = desk.lease_one(make_person("ada"))

    def fail(*_, **__):
        raise errors.LedgerUnavailable("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(queues.completion, "outcome", fail)
        with pytest.raises(errors.LedgerUnavailable):
            desk.complete(make_person("ada"), held)
    desk.crash()
    assert desk.ledger.read(labelled.resolved, decision_id) == ()
    assert desk.events(held.task.task_id) == [("LEASED", "ada")]
    assert desk.ledger.read(queue.task, held.task.task_id).state is TaskState.LEASED
    assert not desk.complete(make_person("ada"), held)
    assert desk.outcomes(decision_id) == [("RELEASED", "interested")]
