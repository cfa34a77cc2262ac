"""Next-day batches: a census where all of a day was reviewed, no sample at all where only a part was."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from sidecar.decision.records import PlannedTask
from sidecar.decision.tasks import TaskState, task_id
from sidecar.ledger import intake, labelled, schema
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Action, TaskKind
from tests import builders

TUESDAY, WEDNESDAY = 1_000.0, 2_000.0


class Clock:
    now = TUESDAY

    def __call__(self, _: sa.Connection) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(ledger_url: str, clock: Clock):
    with Ledger(ledger_url, clock=clock) as made:
        made.migrate()
        yield made


@pytest.fixture
def flag(ledger: Ledger) -> Callable[..., None]:
    """Takes in a flagged answer of a number whose batch is due at a time."""

    def take(number: int, due_at: float = TUESDAY, *, audit: bool = False, **changes: object) -> None:
        kinds = (TaskKind.BATCH, TaskKind.AUDIT) if audit else (TaskKind.BATCH,)
        planned = tuple(PlannedTask(kind=kind, due_at=due_at, criterion="correct") for kind in kinds)
        fields: dict[str, object] = {
            "action": Action.AUTO_ROUTE_FLAGGED,
            "tasks": planned,
            "drawn": audit,
            "audit_rate": 0.125,
        }
        ledger.write(intake.take_in, [builders.decision(number, **(fields | changes))])

    return take


@pytest.fixture
def review(ledger: Ledger) -> Callable[..., None]:
    """Takes in a label from the task of a kind on the answer of a number, which completes the task."""

    def take(number: int, kind: TaskKind = TaskKind.BATCH, **changes: object) -> None:
        fields: dict[str, object] = {
            "task_id": task_id(f"decision-{number:06d}", kind),
            "channel": "REVIEW_TASK",
            "event_id": f"{kind}-{number}",
        }
        ledger.write(intake.take_in, [builders.label(number, **(fields | changes))])

    return take


def propensities(ledger: Ledger, criterion: str = "correct") -> dict[int, float | None]:
    return {
        int(each.decision.decision_id[-6:]): each.propensity
        for each in ledger.read(labelled.labelled, "lead-classifier", criterion=criterion)
    }


def test_a_batch_that_was_reviewed_whole_is_a_census(ledger: Ledger, flag, review) -> None:
    for number in (1, 2, 3):
        flag(number)
    for number in (4, 5):
        flag(number, WEDNESDAY)
    for number in (1, 2, 3, 4):
        review(number)
    assert propensities(ledger) == {1: 1.0, 2: 1.0, 3: 1.0, 4: None}


def test_a_batch_with_one_task_left_is_no_sample(ledger: Ledger, flag, review) -> None:
    for number in (1, 2, 3):
        flag(number)
    review(1)
    review(2)
    assert propensities(ledger) == {1: None, 2: None}
    assert ledger.read(labelled.resolved, "decision-000001")[0].propensity is None
    review(3, correct=False)
    assert propensities(ledger) == {1: 1.0, 2: 1.0, 3: 1.0}
    assert ledger.read(labelled.resolved, "decision-000001")[0].propensity == 1.0


def test_what_came_late_makes_a_batch_incomplete_again(ledger: Ledger, flag, review) -> None:
    flag(1)
    review(1)
    assert propensities(ledger) == {1: 1.0}
    flag(2)
    assert propensities(ledger) == {1: None}


def test_before_its_day_is_over_more_may_come_to_a_batch(ledger: Ledger, clock: Clock, flag, review) -> None:
    flag(1)
    review(1)
    clock.now = TUESDAY - 0.001
    assert propensities(ledger) == {1: None}
    clock.now = TUESDAY
    assert propensities(ledger) == {1: 1.0}


def test_a_review_that_cannot_tell_is_done_and_leaves_no_label(ledger: Ledger, flag, review) -> None:
    """As with an audit: the report counts it as an answer that is missing."""
    for number in (1, 2):
        flag(number)
    review(1)
    review(2, correct=None, cannot_tell=True)
    assert propensities(ledger) == {1: 1.0}


def test_batches_of_another_model_do_not_matter(ledger: Ledger, flag, review) -> None:
    flag(1)
    flag(2, model="other")
    review(1)
    assert propensities(ledger) == {1: 1.0}


@pytest.mark.parametrize("state", [TaskState.WITHDRAWN, TaskState.EXPIRED])
def test_a_task_that_ended_otherwise_was_not_reviewed(ledger: Ledger, flag, review, state: TaskState) -> None:
    flag(1)
    flag(2)
    review(1)
    with ledger._engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE review_tasks SET state = :state WHERE decision_id = :decision"),
            {"state": state.value, "decision": schema.packed("decision-000002")},
        )
    assert propensities(ledger) == {1: None}


def test_a_disagreement_that_nobody_settled_leaves_a_batch_open(ledger: Ledger, flag, review) -> None:
    flag(1)
    flag(2)
    review(1)
    review(2)
    with ledger._engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO review_tasks SELECT 'settling', 'ADJUDICATION', 'OPEN', decision_id, answer_id, tenant, "
                "model, category, principal, skill, criterion, task_id, 'BATCH', mandatory, blind, rank_at, "
                "due_at + 3600, created_at, expires_at, NULL, fence FROM review_tasks "
                "WHERE decision_id = :decision"
            ),
            {"decision": schema.packed("decision-000002")},
        )
    assert propensities(ledger) == {1: None, 2: None}
    with ledger._engine.begin() as connection:
        connection.execute(sa.text("UPDATE review_tasks SET state = 'COMPLETED' WHERE task_id = 'settling'"))
    assert propensities(ledger) == {1: 1.0, 2: 1.0}


def test_an_audit_in_a_whole_batch_weighs_no_more_than_its_neighbours(ledger: Ledger, flag, review) -> None:
    """Its review told nothing; without the audit's label it would be missing, and with it it counts once."""
    flag(1, audit=True)
    flag(2)
    review(1, correct=None, cannot_tell=True)
    review(1, TaskKind.AUDIT, channel="AUDIT_TASK")
    assert propensities(ledger) == {1: 0.125}
    review(2)
    assert propensities(ledger) == {1: 1.0, 2: 1.0}


def test_by_another_criterion_a_batch_was_not_reviewed(ledger: Ledger, flag, review) -> None:
    flag(1, audit=True)
    review(1)
    review(1, TaskKind.AUDIT, channel="AUDIT_TASK", criterion="tone")
    assert propensities(ledger, "tone") == {1: 0.125}
    assert propensities(ledger) == {1: 1.0}
