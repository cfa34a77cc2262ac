"""What labels of the review queue come to: stale ones, several voices, adjudications."""

import math

import msgspec
import pytest

from sidecar.decision import labels
from sidecar.decision.labels import LabelState
from sidecar.decision.records import Decision, Label
from sidecar.decision.task_links import TaskLink
from sidecar.policy.actions import TaskKind
from tests import builders

TASKS = [
    TaskLink(task_id="hold", kind=TaskKind.HOLD, answer_id="answer-000001"),
    TaskLink(task_id="audit", kind=TaskKind.AUDIT, answer_id="answer-000001"),
    TaskLink(
        task_id="third",
        kind=TaskKind.ADJUDICATION,
        answer_id="answer-000001",
        origin_kind=TaskKind.AUDIT,
    ),
]


def resolved(events: list[Label], decision: Decision, window: float = math.inf) -> dict[str, str]:
    found = labels.resolve(events, [decision], TASKS, label_window_seconds=window)
    return {each.label.event_id: each.state.value for each in found}


def review(event_id: str, reviewer: str, **changes: object) -> Label:
    fields = {"source": labels.REVIEW_SOURCE, "event_id": event_id, "reviewer": reviewer, "task_id": "hold"}
    return builders.label(1, **(fields | changes))


def test_reviewers_speak_each_for_themselves() -> None:
    events = [review("1", "ada"), review("2", "bob", correct=False)]
    assert resolved(events, builders.decision(1)) == {"1": "CONFLICTING", "2": "CONFLICTING"}
    again = [*events, review("3", "bob", recorded_at=1e10, observed_at=1e10)]
    assert resolved(again, builders.decision(1)) == {"1": "COUNTED", "2": "SUPERSEDED", "3": "REPEATED"}


def test_elsewhere_a_source_has_one_voice() -> None:
    events = [
        builders.label(1, event_id="1", reviewer="ada"),
        builders.label(1, event_id="2", reviewer="bob", correct=False, recorded_at=1e10, observed_at=1e10),
    ]
    assert resolved(events, builders.decision(1)) == {"1": "SUPERSEDED", "2": "COUNTED"}


@pytest.mark.parametrize("correct", [True, False])
def test_an_adjudication_settles_a_conflict_with_the_propensity_of_its_origin(correct: bool) -> None:
    events = [
        review("1", "ada", task_id="audit"),
        review("2", "bob", task_id="audit", correct=False),
        review("3", "carol", task_id="third", correct=correct),
    ]
    found = labels.resolve(events, [builders.decision(1)], TASKS, label_window_seconds=math.inf)
    by_event = {each.label.event_id: each for each in found}
    assert (by_event["3"].state, by_event["3"].propensity) == (LabelState.COUNTED, 0.05)
    assert [each.state for each in found].count(LabelState.COUNTED) == 1


@pytest.mark.parametrize("inclusion", [None, 0.0125])
def test_under_a_budget_the_closed_period_says_the_propensity_of_an_audit_and_its_adjudication(
    inclusion: float | None,
) -> None:
    events = [
        review("1", "ada", task_id="audit"),
        review("2", "bob", task_id="audit", correct=False),
        review("3", "carol", task_id="third"),
    ]
    tasks = [
        msgspec.structs.replace(task, inclusion=inclusion) if task.kind is TaskKind.AUDIT else task
        for task in TASKS
    ]
    answer = builders.decision(1, audit_rate=0.05, audit_budget=100)
    found = labels.resolve(events, [answer], tasks, label_window_seconds=math.inf)
    assert [(each.drawn, each.propensity) for each in found] == [(True, inclusion)] * 3


def test_a_stale_label_counts_for_nothing_and_supersedes_nothing() -> None:
    stale = review("2", "ada", correct=False, stale=True, recorded_at=1e10, supersedes="1")
    assert resolved([stale], builders.decision(1)) == {"2": "STALE"}
    assert resolved([review("1", "ada"), stale], builders.decision(1)) == {
        "1": "COUNTED",
        "2": "STALE",
    }
    assert resolved([stale], builders.decision(1), window=1.0) == {"2": "STALE"}
    correction = review("3", "ada", task_id="", supersedes="2")
    found = labels.resolve([stale, correction], [builders.decision(1)], TASKS, label_window_seconds=math.inf)
    assert [each.drawn for each in found if each.label.event_id == "3"] == [False]
