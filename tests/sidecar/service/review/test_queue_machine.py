"""Sixteen reviewers do anything in any order, the clock moves, the process dies: a model says what must come of it."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sidecar import errors
from sidecar.decision.labels import LabelState
from sidecar.decision.tasks import TaskState
from sidecar.ledger import labelled, queue
from sidecar.policy.actions import TaskKind
from sidecar.service.review.lease import LONGEST_HOLD_SECONDS

REVIEWERS = 16
WILLING = 6
"""The last of them never decline, so that every task can be done by somebody, adjudications included."""

numbers = st.integers(0, REVIEWERS - 1)


class QueueMachine(RuleBasedStateMachine):
    """What was leased to whom until when, who completed and who declined what, kept in plain dictionaries."""

    make_desk: Callable[[str], object]
    make_person: Callable[..., object]
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "ledger.db"
        shutil.copy(self.template, path)
        self.desk = self.make_desk(f"sqlite:///{path}")
        self.people = [
            self.make_person(f"reviewer-{number}", "reviewer", "lead") for number in range(REVIEWERS)
        ]
        self.kinds: dict[str, TaskKind] = {}  # of each decision
        self.overlap: dict[str, int] = {}  # of each task that was seen
        self.leases: list[tuple[int, object]] = []  # every one that was ever given, with its reviewer
        self.until: dict[tuple[str, int], float] = {}  # by task and fence, as long as it was not given back
        self.holder: dict[tuple[str, int], int] = {}  # slot -> index of the lease that has it
        self.done: dict[str, dict[int, int]] = {}  # task -> reviewer -> index of the lease
        self.declined: set[tuple[str, int]] = set()
        self.stale: set[tuple[str, int]] = set()

    def teardown(self) -> None:
        try:
            self._finish()
        finally:
            self.desk.ledger.close()
            self._folder.cleanup()

    @rule(
        kind=st.sampled_from([TaskKind.HOLD, TaskKind.BATCH, TaskKind.AUDIT, TaskKind.ESCALATION]),
        overlap=st.sampled_from([1, 1, 1, 2, 3]),
        mandatory=st.booleans(),
        due_in=st.sampled_from([0.0, 3600.0, 90000.0]),
    )
    def open(self, kind: TaskKind, overlap: int, mandatory: bool, due_in: float) -> None:
        decision_id = self.desk.open(
            kind, overlap=overlap, mandatory=mandatory, due_at=self.desk.now + due_in, principal="crm"
        )
        self.kinds[decision_id] = kind

    @rule(number=numbers, count=st.integers(1, 4), seconds=st.sampled_from([1.0, 60.0, 600.0]))
    def lease(self, number: int, count: int, seconds: float) -> None:
        offered = self._offered(number)
        held = self.desk.lease(self.people[number], count=count, lease_seconds=seconds)
        assert [each.task.task_id for each in held] == offered[:count], (
            "the most urgent, and only what may be had"
        )
        for each in held:
            task_id, slot = each.task.task_id, each.slot
            assert slot.reviewer == f"reviewer-{number}"
            assert all(
                known.slot.fence < slot.fence for _, known in self.leases if known.task.task_id == task_id
            )
            self.holder[task_id, slot.slot] = len(self.leases)
            self.until[task_id, slot.fence] = self.desk.now + seconds
            self.leases.append((number, each))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), seconds=st.sampled_from([1.0, 600.0, 3600.0]))
    def extend(self, data: st.DataObject, seconds: float) -> None:
        index, number, held = self._any_lease(data)
        task_id, fence = held.task.task_id, held.slot.fence
        if self._has(index) and self.until[task_id, fence] > self.desk.now:
            slot = self.desk.queue.extend(self.people[number], task_id, fence, seconds).slot
            expected = min(self.desk.now + seconds, held.slot.leased_at + LONGEST_HOLD_SECONDS)
            assert slot.lease_until == pytest.approx(expected, abs=0.001)
            self.until[task_id, fence] = slot.lease_until
        else:
            with pytest.raises(errors.LeaseLost):
                self.desk.queue.extend(self.people[number], task_id, fence, seconds)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), decline=st.booleans())
    def give_back(self, data: st.DataObject, decline: bool) -> None:
        index, number, held = self._any_lease(data)
        decline = decline and number < REVIEWERS - WILLING
        task_id, fence = held.task.task_id, held.slot.fence

        def give() -> object:
            if decline:
                return self.desk.queue.decline(self.people[number], task_id, fence, "no")
            return self.desk.queue.release(self.people[number], task_id, fence)

        if not self._has(index):
            with pytest.raises(errors.LeaseLost):
                give()
            return
        give()
        del self.holder[task_id, held.slot.slot]
        if decline:
            self.declined.add((task_id, number))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), correct=st.booleans())
    def complete(self, data: st.DataObject, correct: bool) -> None:
        index, _, _ = self._any_lease(data)
        self._complete(index, correct)

    @rule(seconds=st.sampled_from([0.5, 1.0, 59.0, 600.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.desk.now += seconds

    @rule()
    def crash(self) -> None:
        self.desk.crash()

    @invariant()
    def nobody_has_two_reviews_of_a_task_and_none_is_done_twice(self) -> None:
        for task in self._tasks():
            reviewers = [slot.reviewer for slot in task.slots if slot.reviewer is not None]
            assert len(set(reviewers)) == len(reviewers)
            done = {slot.completion.reviewer for slot in task.slots if slot.completion is not None}
            assert done == {f"reviewer-{number}" for number in self.done.get(task.task_id, {})}
            assert (task.state is TaskState.COMPLETED) == (len(done) == len(task.slots))

    def _complete(self, index: int, correct: bool) -> None:
        number, held = self.leases[index]
        task_id, fence = held.task.task_id, held.slot.fence
        verdict = "CORRECT" if correct else "INCORRECT"
        if self.done.get(task_id, {}).get(number) == index:
            with pytest.raises(errors.AlreadyCompleted):
                self.desk.complete(self.people[number], held, "CANNOT_TELL")
            return
        current = self._has(index)
        assert self.desk.complete(self.people[number], held, verdict) is not current
        if current:
            self.done.setdefault(task_id, {})[number] = index
        else:
            self.stale.add((task_id, fence))

    def _any_lease(self, data: st.DataObject) -> tuple[int, int, object]:
        index = data.draw(st.integers(0, len(self.leases) - 1))
        return index, *self.leases[index]

    def _has(self, index: int) -> bool:
        """Whether a lease still has its slot, ended or not, and was not completed."""
        number, held = self.leases[index]
        task_id = held.task.task_id
        return (
            self.holder.get((task_id, held.slot.slot)) == index
            and self.done.get(task_id, {}).get(number) is None
        )

    def _tasks(self) -> tuple:
        return self.desk.ledger.read(queue.tasks, states=list(TaskState), page_size=1000).items

    def _offered(self, number: int) -> list[str]:
        """What a reviewer may have, in the order of the queue, from the model's own knowledge alone."""
        offered = []
        for task in self._tasks():
            mine, free = False, 0
            for slot in range(len(task.slots)):
                index = self.holder.get((task.task_id, slot))
                if index is None:
                    free += 1
                    continue
                holder, held = self.leases[index]
                completed = self.done.get(task.task_id, {}).get(holder) == index
                if completed or self.until[task.task_id, held.slot.fence] > self.desk.now:
                    mine = mine or holder == number
                else:
                    free += 1
            judged = number in self.done.get(task.origin_task_id, {})
            if free and not mine and not judged and (task.task_id, number) not in self.declined:
                offered.append(task.task_id)
        return offered

    def _finish(self) -> None:
        """Everybody willing works on: whatever happened before, everything gets done, once."""
        self.desk.crash()
        self.desk.now += LONGEST_HOLD_SECONDS
        for _ in range(3):
            for number in range(REVIEWERS - WILLING, REVIEWERS):
                while True:
                    before = len(self.leases)
                    self.lease(number, 4, 600.0)
                    if len(self.leases) == before:
                        break
                    for index in range(before, len(self.leases)):
                        self._complete(index, True)
        tasks = self._tasks()
        assert {task.state for task in tasks} <= {TaskState.COMPLETED}, "none lost, none held for ever"
        assert {task.decision_id for task in tasks} == set(self.kinds)
        fences = {(task.task_id, slot.fence) for task in tasks for slot in task.slots}
        assert not fences & self.stale
        for decision_id, kind in self.kinds.items():
            labels = self.desk.ledger.read(labelled.resolved, decision_id)
            own = [task for task in tasks if task.decision_id == decision_id]
            stale = [fence for task_id, fence in self.stale if task_id in {task.task_id for task in own}]
            assert len(labels) == sum(len(task.slots) for task in own) + len(stale)
            states = [label.state for label in labels]
            assert states.count(LabelState.STALE) == len(stale)
            assert states.count(LabelState.COUNTED) == 1, "counted once, disagreements settled"
            outcomes = [name for name, _ in self.desk.outcomes(decision_id)]
            if kind in (TaskKind.HOLD, TaskKind.ESCALATION):
                assert len(outcomes) == 1
                assert outcomes[0] in ("RELEASED", "REFUSED")
            else:
                assert outcomes in ([], ["RECALLED"])
                assert kind is TaskKind.BATCH or not outcomes


@pytest.mark.slow
def test_the_queue_keeps_its_promises(make_desk, make_person, tmp_path):
    template = tmp_path / "template.db"
    made = make_desk(f"sqlite:///{template}")
    made.ledger.close()  # the last connection brings everything into the one file that is copied
    machine = type(
        "Machine",
        (QueueMachine,),
        {
            "make_desk": staticmethod(make_desk),
            "make_person": staticmethod(make_person),
            "template": template,
        },
    )
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
