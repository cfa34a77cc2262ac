"""What became of a decision after its answer, for `explain`: tasks, who had them, outcomes, labels."""

from collections.abc import Iterator, Sequence

from sidecar import times
from sidecar.decision.labels import LabelState, ResolvedLabel
from sidecar.decision.tasks import Completion, Task, TaskState
from sidecar.ledger import labelled, leases, queue
from sidecar.ledger.database import Connection
from sidecar.ledger.leases import ReviewEvent
from sidecar.ledger.outcomes import Outcome, Progress
from sidecar.ledger.queries import StoredDecision
from sidecar.shell import printable

_ACTIONS = {
    "LEASED": "taken by",
    "EXTENDED": "kept longer by",
    "COMPLETED": "judged by",
    "COMPLETED_LATE": "judged too late by",
    "DECLINED": "declined by",
    "RELEASED": "given back by",
    "DISAGREED": "the reviewers disagree; settled by task",
    "EXPIRED": "ended: nobody had decided in time",
}
_PERMITS = {"RELEASED": "may be acted on", "CORRECTED": "may be acted on in its place"}
_STATES = {
    LabelState.SUPERSEDED: "counts for nothing: a later or stronger label took its place",
    LabelState.CONFLICTING: "counts for nothing: an equally strong label says the opposite",
    LabelState.ORPHAN: "counts for nothing: the ledger does not have the decision",
    LabelState.LATE: "counts for nothing: it came after the label window",
    LabelState.REPEATED: "adds nothing: it agrees with the label that counts",
    LabelState.NO_ANSWER: "counts as no answer: it does not say whether the answer was right",
    LabelState.STALE: "counts for nothing: the lease was over and the task somebody else's",
}


def state(stored: StoredDecision, progress: Progress | None) -> str:
    """How a decision stands, in a few words."""
    began = "acted" if stored.acted else "held" if stored.held else "did not act"
    if progress is None or not (progress.outcomes or progress.waiting):
        return began
    if not progress.outcomes:
        return f"{began}; waits for a person" if stored.held else f"{began}; a review waits"
    last = progress.outcomes[-1]
    return f"{began}; {last.kind} {_decider(last)}at {times.utc(last.decided_at)}"


def lines(stored: StoredDecision, progress: Progress | None, at: Connection) -> Iterator[str]:
    """The tasks, outcomes and labels of a decision, each with who and when."""
    events = leases.events_of_decision(at, stored.decision_id)
    for task in _tasks(at, stored.decision_id):
        yield from _task(task, [each for each in events if each.task_id == task.task_id])
    callers = sorted({_line(each.query.principal) for each in stored.answers if each.query.principal})
    for outcome in () if progress is None else progress.outcomes:
        yield from _outcome(outcome, callers)
    for label in labelled.resolved(at, stored.decision_id):
        yield from _label(label)


def worth(label: ResolvedLabel) -> str:
    """What a label counts for, in words."""
    if label.state is not LabelState.COUNTED:
        return _STATES[label.state]
    if label.propensity is not None:
        return f"counts in fits and in estimates, planned with probability {label.propensity:g}"
    if label.drawn:
        return "counts in fits, and in no estimate as long as the probability with which it was planned is not known"
    stray = f": this decision has no task {_line(label.label.task_id)}" if label.label.task_id else ""
    return f"counts in fits alone: nobody planned it, so that it enters no estimate{stray}"


def _tasks(at: Connection, decision_id: str) -> Iterator[Task]:
    token = ""
    while True:
        page = queue.tasks(at, decision_id=decision_id, states=tuple(TaskState), page_token=token)
        yield from page.items
        token = page.next_page_token
        if not token:
            return


def _task(task: Task, events: Sequence[ReviewEvent]) -> Iterator[str]:
    of = f" of {task.origin_kind.value}" if task.origin_kind else ""
    needs = ", needs a person" if task.mandatory else ""
    yield f"task        {task.task_id}: {task.kind.value}{of}{needs}, {task.state.value}"
    yield f"  {times.utc(task.created_at)}  opened, due {times.utc(task.due_at)}"
    judged: dict[int, Completion] = {
        each.slot: each.completion for each in task.slots if each.completion is not None
    }
    for event in events:
        who = f" {_line(event.principal)}" if event.principal else ""
        if event.action == "DISAGREED":
            yield f"  {times.utc(event.happened_at)}  {_ACTIONS[event.action]} {event.note}"
            continue
        said = _judgement(judged[event.slot]) if event.action == "COMPLETED" and event.slot in judged else ""
        yield f"  {times.utc(event.happened_at)}  {_ACTIONS[event.action]}{who}{said}{_words(event.note)}"
    ended_elsewhere = task.state is TaskState.COMPLETED and not judged
    if ended_elsewhere and task.completed_at is not None:
        yield f"  {times.utc(task.completed_at)}  ended by a label"


def _judgement(found: Completion) -> str:
    parts: list[str] = [
        found.verdict or ("" if found.correct is None else "CORRECT" if found.correct else "INCORRECT")
    ]
    if found.true_class:
        parts.append(f"right is {_line(found.true_class)}")
    if found.true_category is not None:
        parts.append(f"of category {_line(found.true_category)}")
    if found.disposition is not None:
        parts.append(found.disposition)
    return f": {', '.join(part for part in parts if part)}"


def _outcome(outcome: Outcome, callers: Sequence[str]) -> Iterator[str]:
    permitted = ""
    if outcome.kind in _PERMITS:
        permitted = f", {_line(outcome.final_class) or 'the answer'} {_PERMITS[outcome.kind]}"
        if outcome.expires_at is not None:
            permitted += f" until {times.utc(outcome.expires_at)}"
    yield (
        f"outcome     {outcome.kind} {_decider(outcome)}at {times.utc(outcome.decided_at)}{permitted}"
        f"{_words(outcome.explanation)}"
    )
    yield f"  told to   whoever asks for it as {' or '.join(callers) or 'the caller'}"
    if outcome.shown_digest:
        yield f"  seen      {outcome.shown_digest}"


def _decider(outcome: Outcome) -> str:
    if not outcome.decided_by:
        return ""
    return f"by {_line(outcome.decided_by)}{'' if outcome.by_person else ', not known to be a person,'} "


def _label(resolved: ResolvedLabel) -> Iterator[str]:
    label = resolved.label
    if label.cannot_tell:
        said = "cannot tell"
    elif label.true_class is not None:
        said = f"right is {_line(label.true_class)}"
        if resolved.correct is not None:
            said += f", so the answer was {'correct' if resolved.correct else 'incorrect'}"
    else:
        said = "correct" if label.correct else "incorrect"
    by = f" by {_line(label.reviewer)}" if label.reviewer else ""
    yield (
        f"label       {said}; from {_line(label.source)}{by}, {label.channel}, "
        f"{times.utc(label.recorded_at)}{_words(label.note)}"
    )
    yield f"  {resolved.state.value:9} {worth(resolved)}"


def _words(text: str) -> str:
    return f': "{_line(text)}"' if text.strip() else ""


def _line(text: str) -> str:
    return printable(" ".join(text.split()))
