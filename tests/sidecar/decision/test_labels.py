"""The resolution, as tables and as laws."""

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.decision import labels
from sidecar.decision.labels import LabelState, ResolvedLabel
from sidecar.decision.records import Label
from sidecar.decision.steps import FallbackStep
from sidecar.decision.task_links import TaskLink
from sidecar.policy.actions import AnswerSource, TaskKind
from tests import builders

HOLD = TaskLink(task_id="hold", kind=TaskKind.HOLD, answer_id="answer-000001")
AUDIT = TaskLink(task_id="audit", kind=TaskKind.AUDIT, answer_id="answer-000001")
BATCH = TaskLink(task_id="batch", kind=TaskKind.BATCH, answer_id="answer-000001")
TASKS = (HOLD, AUDIT, BATCH)

# Each label: source/event, what it says, and more. Then the states in the same order.
TABLE: dict[str, tuple[list[tuple[str, object, dict[str, object]]], list[str]]] = {
    "one label counts": ([("a/1", True, {})], ["COUNTED"]),
    "a look at the next day does not replace a drawn label": (
        [
            ("a/1", True, {"task_id": "audit", "channel": "AUDIT_TASK"}),
            ("b/1", False, {"task_id": "batch", "channel": "REVIEW_TASK"}),
        ],
        ["COUNTED", "SUPERSEDED"],
    ),
    "sources that agree": ([("a/1", True, {}), ("b/1", True, {})], ["COUNTED", "REPEATED"]),
    "sources that contradict": ([("a/1", True, {}), ("b/1", False, {})], ["CONFLICTING", "CONFLICTING"]),
    "two against one still conflict": (
        [("a/1", True, {}), ("b/1", False, {}), ("c/1", False, {})],
        ["CONFLICTING", "CONFLICTING", "CONFLICTING"],
    ),
    "a stronger channel settles a conflict": (
        [("a/1", True, {}), ("b/1", False, {}), ("c/1", False, {"channel": "OUTCOME"})],
        ["SUPERSEDED", "REPEATED", "COUNTED"],
    ),
    "outcome over import over volunteered": (
        [("a/1", True, {}), ("b/1", False, {"channel": "IMPORTED"}), ("c/1", True, {"channel": "OUTCOME"})],
        ["REPEATED", "SUPERSEDED", "COUNTED"],
    ),
    "a task over an outcome": (
        [
            ("a/1", True, {"channel": "OUTCOME"}),
            ("b/1", False, {"task_id": "audit", "channel": "AUDIT_TASK"}),
        ],
        ["SUPERSEDED", "COUNTED"],
    ),
    "a conflict of weak labels below a strong one": (
        [("a/1", True, {"task_id": "hold"}), ("b/1", False, {"task_id": "audit"}), ("c/1", True, {})],
        ["CONFLICTING", "CONFLICTING", "SUPERSEDED"],
    ),
    "two reviewers of a task who agree outrank one of another": (
        [
            ("a/1", True, {"task_id": "audit"}),
            ("b/1", True, {"task_id": "audit"}),
            ("c/1", False, {"task_id": "hold"}),
        ],
        ["COUNTED", "REPEATED", "SUPERSEDED"],
    ),
    "two reviewers of a task who disagree outrank nobody": (
        [
            ("a/1", True, {"task_id": "audit"}),
            ("b/1", False, {"task_id": "audit"}),
            ("c/1", False, {"task_id": "hold"}),
        ],
        ["CONFLICTING", "CONFLICTING", "CONFLICTING"],
    ),
    "two looks at the next day that agree do not replace a drawn label": (
        [
            ("a/1", True, {"task_id": "audit"}),
            ("b/1", False, {"task_id": "batch"}),
            ("c/1", False, {"task_id": "batch"}),
        ],
        ["COUNTED", "SUPERSEDED", "SUPERSEDED"],
    ),
    "one voice twice is not two": (
        [
            ("a/1", True, {"task_id": "audit", "observed_at": 1.0}),
            ("a/2", True, {"task_id": "audit", "observed_at": 2.0}),
            ("c/1", False, {"task_id": "hold"}),
        ],
        ["SUPERSEDED", "CONFLICTING", "CONFLICTING"],
    ),
    "a claimed task that does not exist is volunteered": (
        [
            ("a/1", True, {"task_id": "nope", "channel": "REVIEW_TASK"}),
            ("b/1", False, {"channel": "IMPORTED"}),
        ],
        ["SUPERSEDED", "COUNTED"],
    ),
    "a claimed channel without a task is volunteered": (
        [("a/1", True, {"channel": "AUDIT_TASK"}), ("b/1", False, {})],
        ["CONFLICTING", "CONFLICTING"],
    ),
    "the same source changes its mind": (
        [("a/1", True, {"observed_at": 1.0}), ("a/2", False, {"observed_at": 2.0})],
        ["SUPERSEDED", "COUNTED"],
    ),
    "later means later in the world": (
        [("a/1", True, {"observed_at": 2.0, "recorded_at": 1.0}), ("a/2", False, {"observed_at": 1.0})],
        ["COUNTED", "SUPERSEDED"],
    ),
    "a weaker later event of the same source changes nothing": (
        [("a/1", True, {"task_id": "hold", "observed_at": 1.0}), ("a/2", False, {"observed_at": 2.0})],
        ["COUNTED", "SUPERSEDED"],
    ),
    "an explicit correction counts even if earlier": (
        [("a/1", True, {"observed_at": 2.0}), ("a/2", False, {"observed_at": 1.0, "supersedes": "1"})],
        ["SUPERSEDED", "COUNTED"],
    ),
    "a correction stands in for the task's label": (
        [
            ("a/1", True, {"task_id": "audit"}),
            ("a/2", False, {"supersedes": "1"}),
            ("b/1", True, {"channel": "OUTCOME"}),
        ],
        ["SUPERSEDED", "COUNTED", "SUPERSEDED"],
    ),
    "a chain of corrections": (
        [("a/1", True, {}), ("a/2", False, {"supersedes": "1"}), ("a/3", True, {"supersedes": "2"})],
        ["SUPERSEDED", "SUPERSEDED", "COUNTED"],
    ),
    "corrections in a circle are none": (
        [
            ("a/1", True, {"supersedes": "2", "observed_at": 1.0}),
            ("a/2", False, {"supersedes": "1", "observed_at": 2.0}),
            ("b/1", False, {}),
        ],
        ["SUPERSEDED", "COUNTED", "REPEATED"],
    ),
    "one cannot correct itself": ([("a/1", True, {"supersedes": "1"})], ["COUNTED"]),
    "one cannot correct another source": (
        [("a/1", True, {}), ("b/2", False, {"supersedes": "1"})],
        ["CONFLICTING", "CONFLICTING"],
    ),
    "a correction of something unknown is a label": ([("a/1", True, {"supersedes": "9"})], ["COUNTED"]),
    "cannot tell is no answer": (
        [("a/1", None, {"task_id": "hold"}), ("b/1", True, {})],
        ["NO_ANSWER", "COUNTED"],
    ),
    "cannot tell takes nothing back by itself": (
        [("a/1", True, {"observed_at": 1.0}), ("a/2", None, {"observed_at": 2.0})],
        ["COUNTED", "NO_ANSWER"],
    ),
    "cannot tell can take back": (
        [("a/1", True, {}), ("a/2", None, {"supersedes": "1"})],
        ["SUPERSEDED", "NO_ANSWER"],
    ),
    "the true class is compared": (
        [("a/1", "interested", {}), ("b/1", True, {})],
        ["COUNTED", "REPEATED"],
    ),
    "two other classes both say incorrect": (
        [("a/1", "spam", {}), ("b/1", "not_now", {})],
        ["COUNTED", "REPEATED"],
    ),
    "late labels do not count": (
        [("a/1", True, {"recorded_at": 1e12}), ("b/1", False, {})],
        ["LATE", "COUNTED"],
    ),
    "a late correction corrects nothing": (
        [("a/1", True, {}), ("a/2", False, {"supersedes": "1", "recorded_at": 1e12})],
        ["COUNTED", "LATE"],
    ),
    "criteria do not mix": (
        [("a/1", True, {}), ("b/1", False, {"criterion": "tone"})],
        ["COUNTED", "COUNTED"],
    ),
    "final and primary are one answer here": (
        [("a/1", True, {"about": "FINAL"}), ("b/1", False, {"about": "PRIMARY"})],
        ["CONFLICTING", "CONFLICTING"],
    ),
    "answers do not mix": (
        [("a/1", True, {}), ("b/1", False, {"about": "SECONDARY"}), ("c/1", False, {"about": "RULE"})],
        ["COUNTED", "COUNTED", "COUNTED"],
    ),
    "a class that the ledger does not know": (
        [("a/1", "spam", {"about": "SECONDARY"})],
        ["NO_ANSWER"],
    ),
}


def build(told: Sequence[tuple[str, object, dict[str, object]]]) -> list[Label]:
    made = []
    for key, says, more in told:
        source, event_id = key.split("/")
        value: dict[str, object] = (
            {"cannot_tell": True}
            if says is None
            else {"correct": says}
            if isinstance(says, bool)
            else {"true_class": says}
        )
        made.append(builders.label(1, source=source, event_id=event_id, **(value | more)))
    return made


def states(resolved: Sequence[ResolvedLabel]) -> dict[tuple[str, str], str]:
    return {(each.label.source, each.label.event_id): each.state.value for each in resolved}


@pytest.mark.parametrize("name", TABLE)
def test_states_whatever_the_order_of_arrival(name: str) -> None:
    told, expected = TABLE[name]
    events = build(told)
    wanted = {(label.source, label.event_id): state for label, state in zip(events, expected, strict=True)}
    for order in itertools.permutations(events):
        resolved = labels.resolve(order, [builders.decision(1)], TASKS, label_window_seconds=1e6)
        assert states(resolved) == wanted


def test_without_the_decision_every_label_is_an_orphan() -> None:
    events = build([("a/1", True, {}), ("b/1", None, {}), ("c/1", True, {"task_id": "hold"})])
    for each in labels.resolve(events, [], TASKS, label_window_seconds=math.inf):
        assert (each.state, each.drawn, each.answer, each.propensity) == (
            LabelState.ORPHAN,
            False,
            None,
            None,
        )
        assert each.about == "FINAL"


def test_the_window_begins_with_the_first_answer_and_includes_its_end() -> None:
    answers = [
        builders.decision(1, answer_id="b", decided_at=50.0),
        builders.decision(1, answer_id="a", decided_at=10.0),
    ]
    events = [
        builders.label(1, event_id="1", recorded_at=110.0),
        builders.label(1, event_id="2", recorded_at=110.1),
    ]
    found = labels.resolve(events, answers, (), label_window_seconds=100.0)
    assert [each.state.value for each in found] == ["COUNTED", "LATE"]


@pytest.mark.parametrize(
    ("task_ids", "rate", "expected"),
    [
        (["hold"], 0.05, [1.0]),
        (["audit"], 0.05, [0.05]),
        (["audit"], 0.0, [None]),
        (["batch"], 0.05, [None]),
        (["hold", "audit"], 0.05, [1.0, 1.0]),
        (["audit", "batch"], 0.05, [0.05, None]),
        (["", "unknown"], 0.05, [None, None]),
    ],
)
def test_propensity(
    task_ids: list[str],
    rate: float,
    expected: list[float | None],
) -> None:
    events = [builders.label(1, source=str(index), task_id=task) for index, task in enumerate(task_ids)]
    found = labels.resolve(
        events, [builders.decision(1, audit_rate=rate)], TASKS, label_window_seconds=math.inf
    )
    assert [each.propensity for each in found] == expected
    assert [each.drawn for each in found] == [task in ("hold", "audit", "batch") for task in task_ids]


def test_a_refusal_to_judge_a_hold_does_not_make_an_audit_certain() -> None:
    events = [
        builders.label(1, source="a", task_id="hold", cannot_tell=True),
        builders.label(1, source="b", task_id="audit"),
    ]
    found = labels.resolve(events, [builders.decision(1)], TASKS, label_window_seconds=math.inf)
    assert [each.propensity for each in found if each.state is LabelState.COUNTED] == [0.05]


def test_a_label_judges_the_answer_of_its_task_or_the_one_that_acted() -> None:
    waited = builders.decision(
        1, answer_id="answer-000001", may_act=False, decided_at=1.0, final_class="spam"
    )
    acted = builders.decision(1, answer_id="acted", decided_at=2.0, final_class="interested")
    events = [
        builders.label(1, source="a", task_id="hold", true_class="spam"),
        builders.label(1, source="b", true_class="interested"),
    ]
    by_task, volunteered = labels.resolve(events, [acted, waited], TASKS, label_window_seconds=math.inf)
    assert (by_task.answer, by_task.correct) == (waited, True)
    assert (volunteered.answer, volunteered.correct) == (acted, True)


def test_each_subject_has_its_own_class() -> None:
    decision = builders.decision(
        1,
        predicted_class="interested",
        final_class="spam",
        source=AnswerSource.SECONDARY,
        steps=(
            FallbackStep(step="rules", outcome="NOT_CLEARED", answer_class="not_now"),
            FallbackStep(step="secondary", outcome="CLEARED", answer_class="spam"),
        ),
    )
    events = [
        builders.label(1, event_id=about, about=about, true_class="spam")
        for about in ("FINAL", "PRIMARY", "SECONDARY", "RULE")
    ]
    found = {
        each.label.event_id: (each.about, each.correct)
        for each in labels.resolve(events, [decision], (), label_window_seconds=math.inf)
    }
    assert found == {
        "FINAL": ("SECONDARY", True),
        "PRIMARY": ("PRIMARY", False),
        "SECONDARY": ("SECONDARY", True),
        "RULE": ("RULE", False),
    }


told = st.builds(
    lambda source, event, says, channel, task, supersedes, observed, recorded, about: {
        "source": source,
        "event_id": event,
        **says,
        "channel": channel,
        "task_id": task,
        "supersedes": supersedes,
        "observed_at": observed,
        "recorded_at": recorded,
        "about": about,
    },
    st.sampled_from("ab"),
    st.sampled_from("1234"),
    st.sampled_from(
        [
            {"correct": True},
            {"correct": False},
            {"cannot_tell": True},
            {"true_class": "spam"},
            {"true_class": "interested"},
        ]
    ),
    st.sampled_from(["REVIEW_TASK", "AUDIT_TASK", "OUTCOME", "IMPORTED", "VOLUNTEERED"]),
    st.sampled_from(["", "", "hold", "audit", "batch", "nope"]),
    st.sampled_from(["", "", "1", "2", "3"]),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.sampled_from([1.0, 2.0, 1e12]),
    st.sampled_from(["FINAL", "PRIMARY", "SECONDARY"]),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    events=st.lists(told, max_size=8, unique_by=lambda one: (one["source"], one["event_id"])), data=st.data()
)
def test_laws(events: list[dict[str, object]], data: st.DataObject) -> None:
    answers = [
        builders.decision(1, decided_at=0.0),
        builders.decision(
            1, answer_id="second", decided_at=1.0, may_act=False, source=AnswerSource.SECONDARY
        ),
    ]
    made = [builders.label(1, **event) for event in events]
    resolved = labels.resolve(made, answers, TASKS, label_window_seconds=100.0)
    shuffled = data.draw(st.permutations(made))
    assert labels.resolve(shuffled, answers[::-1], TASKS[::-1], label_window_seconds=100.0) == resolved
    assert {id(each.label) for each in resolved} == {id(label) for label in made}, "each label gets one state"

    groups: dict[tuple[str, str], list[ResolvedLabel]] = {}
    for each in resolved:
        groups.setdefault((each.about, each.label.criterion), []).append(each)
        assert (each.state is LabelState.LATE) == (each.label.recorded_at == 1e12)
        assert each.propensity is None or (each.drawn and 0.0 < each.propensity <= 1.0)
        if each.correct is None:
            assert each.state in (LabelState.NO_ANSWER, LabelState.SUPERSEDED, LabelState.LATE)
    for group in groups.values():
        counted = [each for each in group if each.state is LabelState.COUNTED]
        conflicting = {each.correct for each in group if each.state is LabelState.CONFLICTING}
        assert len(counted) <= 1
        assert not conflicting or (conflicting == {True, False} and not counted)
        for each in group:
            if each.state is LabelState.REPEATED:
                assert counted
                assert each.correct == counted[0].correct


def test_content_is_what_was_said_not_when_it_was_taken() -> None:
    base = builders.label(1, observed_at=5.0, recorded_at=7.0)
    assert labels.content(base) == labels.content(
        builders.label(1, observed_at=5.0, recorded_at=8.0, sidecar_id="b")
    )
    for change in (
        {"correct": False},
        {"observed_at": 6.0},
        {"note": "x"},
        {"task_id": "t"},
        {"reviewer": "r"},
    ):
        assert labels.content(base) != labels.content(
            builders.label(1, **({"observed_at": 5.0, "recorded_at": 7.0} | change))
        )
