"""Many reviewers at once: every task completed exactly once, none lost, none with two people."""

import random
import threading
from collections import Counter

import pytest

from sidecar import errors
from sidecar.decision.labels import LabelState
from sidecar.decision.tasks import TaskState
from sidecar.ledger import labelled, queue
from sidecar.policy.actions import TaskKind

REVIEWERS = 16


def run(work):
    """Runs the work once for each reviewer, at the same time; raises what any of them raised."""
    ready, failures = threading.Barrier(REVIEWERS), []

    def start(number):
        ready.wait()
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(REVIEWERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.slow
def test_sixteen_who_take_at_once_share_the_tasks(desk, make_person):
    count = 100
    for _ in range(count):
        desk.open()
    got: list[tuple[str, int]] = []

    def take(number):
        rng = random.Random(number)
        while held := desk.lease(make_person(f"reviewer-{number}"), count=rng.randint(1, 7)):
            got.extend((each.task.task_id, each.slot.fence) for each in held)

    run(take)
    assert len(got) == len(set(got)) == count
    assert all(fence == 1 for _, fence in got)
    assert desk.ledger.read(queue.tasks, states=[TaskState.LEASED]).total == count


@pytest.mark.slow
def test_sixteen_at_work_complete_everything_once(desk, make_person):
    """They take, decline, give back and complete at random, two by two on some tasks."""
    decisions = [desk.open(overlap=2 if number % 3 == 0 else 1) for number in range(45)]
    decisions += [desk.open(TaskKind.AUDIT, overlap=2) for _ in range(5)]
    completed: Counter[str] = Counter()

    def work(number):
        rng, who = random.Random(number), make_person(f"reviewer-{number}")
        while held := desk.lease(who, count=2):
            for each in held:
                task_id, fence = each.task.task_id, each.slot.fence
                what = rng.random()
                if what < 0.05 and number < 8:
                    desk.queue.decline(who, task_id, fence, "")
                elif what < 0.15:
                    desk.queue.release(who, task_id, fence)
                else:
                    verdict = "CORRECT" if rng.random() < 0.8 else "INCORRECT"
                    assert not desk.complete(who, each, verdict)
                    completed[task_id] += 1

    run(work)
    # Whoever found nothing left while others still worked has gone home; the rest is for one more round.
    for number in range(REVIEWERS):
        work(number)
    tasks = desk.ledger.read(queue.tasks, states=list(TaskState), page_size=1000).items
    assert {task.state for task in tasks} == {TaskState.COMPLETED}
    assert len(tasks) == len(decisions) + sum(task.kind is TaskKind.ADJUDICATION for task in tasks)
    for task in tasks:
        assert completed[task.task_id] == len(task.slots)
        reviewers = [slot.completion.reviewer for slot in task.slots]
        assert len(set(reviewers)) == len(reviewers)
        assert [action for action, _ in desk.events(task.task_id)].count("COMPLETED") == len(task.slots)
    for number, decision_id in enumerate(decisions):
        assert len(desk.outcomes(decision_id)) == (1 if number < 45 else 0)
        counted = [each.state for each in desk.ledger.read(labelled.resolved, decision_id)].count(
            LabelState.COUNTED
        )
        assert counted == 1


def test_of_many_who_complete_the_same_lease_one_label_is_kept(desk, make_person):
    ada = make_person("ada")
    decision_id = desk.open()
    held = desk.lease_one(ada)
    answers: list[str] = []

    def complete(number):
        try:
            answers.append(str(desk.complete(ada, held, "CORRECT" if number % 2 else "INCORRECT")))
        except errors.AlreadyCompleted:
            answers.append("refused")

    run(complete)
    assert Counter(answers) == {"False": REVIEWERS // 2, "refused": REVIEWERS // 2}
    assert len(desk.ledger.read(labelled.resolved, decision_id)) == len(desk.outcomes(decision_id)) == 1
