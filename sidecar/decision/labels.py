"""What a decision's labels come to: one pure function from events to states.

Nothing depends on the order in which labels arrived; the same events give the same answer for ever, or the
version changes.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from sidecar.decision import task_links
from sidecar.decision.records import Decision, Label, LabelSubject, encode
from sidecar.decision.task_links import TaskLink
from sidecar.policy.actions import AnswerSource, TaskKind

RESOLUTION_VERSION = 2
REVIEW_SOURCE = "review"
"""The source of the labels that the review queue makes; nobody else may use it."""

_TASK_RANKS = {TaskKind.ADJUDICATION: 6, TaskKind.BATCH: 3}  # every other kind: 4
_SINGLE, _AGREED = 4, 5
# A look at the next day must not take the place of a drawn label, whose probability is known.
_RANKS = {"OUTCOME": 2, "IMPORTED": 1}  # a claim to come from a task without one is worth 0, as VOLUNTEERED
_SUBJECTS: Mapping[AnswerSource, LabelSubject] = {
    AnswerSource.PRIMARY: "PRIMARY",
    AnswerSource.SECONDARY: "SECONDARY",
    AnswerSource.RULES: "RULE",
}
_STEPS = {"SECONDARY": "secondary", "RULE": "rules"}


class LabelState(StrEnum):
    """What the ledger makes of a label; the names of the contract's enum."""

    COUNTED = "COUNTED"
    SUPERSEDED = "SUPERSEDED"
    CONFLICTING = "CONFLICTING"
    ORPHAN = "ORPHAN"
    LATE = "LATE"
    REPEATED = "REPEATED"
    NO_ANSWER = "NO_ANSWER"
    STALE = "STALE"


class ResolvedLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A label, and what became of it.

    Attributes:
        label: as recorded.
        state: what it came to.
        about: whose answer it judges: PRIMARY, SECONDARY or RULE; FINAL only where the decision is unknown.
        answer: the answer of the decision that it judges; None where the decision is unknown.
        correct: its value; None where it says nothing, or where the class to compare it with is unknown.
        drawn: whether it comes from a task of this decision, and so with a probability known before.
        propensity: that probability; None where it was not drawn, or is not known (yet). See
            `task_links.propensity`.
    """

    label: Label
    state: LabelState
    about: LabelSubject
    answer: Decision | None
    correct: bool | None
    drawn: bool
    propensity: float | None


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    """A label with what follows from it alone."""

    label: Label
    task: TaskLink | None
    answer: Decision
    about: LabelSubject
    correct: bool | None
    rank: int

    @property
    def voice(self) -> tuple[str, str]:
        """Who speaks: in the review queue each reviewer alone, elsewhere a source with one voice."""
        own = self.label.source == REVIEW_SOURCE
        return self.label.source, self.label.reviewer if own else ""


def content(label: Label) -> str:
    """A digest of what a label says, apart from when and where it was taken; equal for a label sent again."""
    observed_at = 0.0 if label.observed_at == label.recorded_at else label.observed_at
    said = msgspec.structs.replace(label, observed_at=observed_at, recorded_at=0.0, sidecar_id="")
    return hashlib.sha256(encode(said)).hexdigest()


def resolve(
    labels: Iterable[Label],
    answers: Sequence[Decision],
    tasks: Iterable[TaskLink],
    *,
    label_window_seconds: float,
) -> tuple[ResolvedLabel, ...]:
    """The state of every label of one decision, oldest first.

    An adjudication outranks what two reviewers of a task agree on, that a single reviewer of a task, that a
    look at the next day, that an outcome, that an import, and that what was volunteered; a stale label never
    counts. A label is from a task if it names one, whatever channel it claims. A source's later event takes
    the place of its earlier ones about the same answer and criterion, unless it is weaker; an explicit
    `supersedes` does so always, and a correction stands in for what it corrects: it comes from the same task.
    Of what is left the highest rank counts, once: unless its labels contradict each other, when none counts.

    Args:
        labels: of one decision, each (source, event_id) once, in any order.
        answers: of that decision, in any order; none where the ledger does not have it (yet).
        tasks: of that decision.
        label_window_seconds: a label recorded longer than this after the first answer is late.
    """
    events = sorted(labels, key=lambda label: (label.recorded_at, label.source, label.event_id))
    if not answers:
        return tuple(_resolved(label, LabelState.ORPHAN) for label in events)
    answers = sorted(answers, key=lambda answer: (answer.decided_at, answer.answer_id))
    latest = answers[0].decided_at + label_window_seconds
    in_time = {_key(label): label for label in events if label.recorded_at <= latest and not label.stale}
    links = {task.task_id: task for task in tasks}
    told = [_event(label, in_time, links, answers) for label in events if _key(label) in in_time]
    states = _states(told, in_time)
    known = {_key(event.label): event for event in told}
    kinds: dict[tuple[str, str], set[TaskKind]] = {}
    for event in told:
        if event.task is not None and event.correct is not None:
            kinds.setdefault(_group(event), set()).add(event.task.subject_kind)
    resolved = []
    for label in events:
        known_event = known.get(_key(label))
        if known_event is None:
            apart = _event(label, {}, links, answers)
            resolved.append(_resolved(label, LabelState.STALE if label.stale else LabelState.LATE, apart))
        else:
            propensity = task_links.propensity(
                known_event.task,
                known_event.answer,
                label.criterion,
                told=kinds.get(_group(known_event), set()),
                links=links.values(),
            )
            resolved.append(_resolved(label, states[_key(label)], known_event, propensity=propensity))
    return tuple(resolved)


def _key(label: Label) -> tuple[str, str]:
    return label.source, label.event_id


def _group(event: _Event) -> tuple[str, str]:
    return event.about, event.label.criterion


def _event(
    label: Label,
    in_time: Mapping[tuple[str, str], Label],
    links: Mapping[str, TaskLink],
    answers: Sequence[Decision],
) -> _Event:
    task = links.get(label.task_id)
    for corrected in () if task else _corrected(label, in_time):
        task = task or links.get(corrected.task_id)
    answer = next(
        (answer for answer in answers if task is not None and answer.answer_id == task.answer_id),
        next((answer for answer in answers if answer.may_act), answers[0]),
    )
    about = _SUBJECTS[answer.verdict.source] if label.about == "FINAL" else label.about
    return _Event(
        label=label,
        task=task,
        answer=answer,
        about=about,
        correct=correctness(label, answer),
        rank=_RANKS.get(label.channel, 0) if task is None else _TASK_RANKS.get(task.kind, _SINGLE),
    )


def _corrected(label: Label, in_time: Mapping[tuple[str, str], Label]) -> tuple[Label, ...]:
    """What a label corrects, and what that corrected in turn; nothing where that leads back to itself."""
    chain: list[Label] = []
    passed = {label.event_id}
    following = in_time.get((label.source, label.supersedes)) if label.supersedes else None
    while following is not None:
        if following.event_id in passed:
            return ()
        passed.add(following.event_id)
        chain.append(following)
        following = in_time.get((label.source, following.supersedes)) if following.supersedes else None
    return tuple(chain)


def correctness(label: Label, answer: Decision) -> bool | None:
    """Whether the label says that the answer is correct; None where it does not, or cannot be compared."""
    if label.cannot_tell:
        return None
    if label.correct is not None or label.true_class is None:
        return label.correct
    given = answer_class(answer, label.about)
    return None if given is None else label.true_class == given


def answer_class(answer: Decision, about: LabelSubject) -> str | None:
    """The class that a label about this answer is compared with; None where the ledger does not know it."""
    if about == "FINAL":
        answered = answer.final_class or answer.query.predicted_class
    elif about == "PRIMARY":
        answered = answer.query.predicted_class
    else:
        answered = next((step.answer_class for step in answer.steps if step.step == _STEPS[about]), "")
        if not answered and _SUBJECTS[answer.verdict.source] == about:
            answered = answer.final_class
    return answered or None


def _states(
    told: Sequence[_Event], in_time: Mapping[tuple[str, str], Label]
) -> dict[tuple[str, str], LabelState]:
    corrected = {_key(label) for event in told for label in _corrected(event.label, in_time)}
    states: dict[tuple[str, str], LabelState] = {}
    groups: dict[tuple[str, str], list[_Event]] = {}
    for event in told:
        if _key(event.label) in corrected:
            states[_key(event.label)] = LabelState.SUPERSEDED
        elif event.correct is None:
            states[_key(event.label)] = LabelState.NO_ANSWER
        else:
            groups.setdefault(_group(event), []).append(event)
    for group in groups.values():
        current = _not_replaced(group)
        agreed = _agreed(current.values())
        ranks = {
            key: _AGREED if event.task is not None and event.task.task_id in agreed else event.rank
            for key, event in current.items()
        }
        top = max(ranks.values())
        strongest = sorted((event for key, event in current.items() if ranks[key] == top), key=_precedence)
        conflict = len({event.correct for event in strongest}) > 1
        for key, event in ((_key(event.label), event) for event in group):
            if key not in current:
                states[key] = LabelState.SUPERSEDED
            elif conflict:
                states[key] = LabelState.CONFLICTING if ranks[key] == top else LabelState.SUPERSEDED
            elif event is strongest[0]:
                states[key] = LabelState.COUNTED
            else:
                agrees = event.correct == strongest[0].correct
                states[key] = LabelState.REPEATED if agrees else LabelState.SUPERSEDED
    return states


def _agreed(events: Iterable[_Event]) -> set[str]:
    """The tasks on which at least two reviewers say the same, and none the contrary."""
    by_task: dict[str, list[_Event]] = {}
    for event in events:
        if event.task is not None and event.rank == _SINGLE:
            by_task.setdefault(event.task.task_id, []).append(event)
    return {
        task_id
        for task_id, said in by_task.items()
        if len({event.voice for event in said}) > 1 and len({event.correct for event in said}) == 1
    }


def _not_replaced(group: Sequence[_Event]) -> dict[tuple[str, str], _Event]:
    """The events that no later and no weaker event of their own voice replaces."""
    strongest_later: dict[tuple[str, str], int] = {}
    current: dict[tuple[str, str], _Event] = {}
    for event in sorted(group, key=lambda event: _moment(event.label), reverse=True):
        rank = strongest_later.get(event.voice, -1)
        if event.rank > rank:
            current[_key(event.label)] = event
        strongest_later[event.voice] = max(rank, event.rank)
    return current


def _moment(label: Label) -> tuple[float, float, str]:
    return label.observed_at, label.recorded_at, label.event_id


def _precedence(event: _Event) -> tuple[float, float, str, str]:
    return event.label.observed_at, event.label.recorded_at, event.label.source, event.label.event_id


def _resolved(
    label: Label, state: LabelState, event: _Event | None = None, *, propensity: float | None = None
) -> ResolvedLabel:
    return ResolvedLabel(
        label=label,
        state=state,
        about=label.about if event is None else event.about,
        answer=None if event is None else event.answer,
        correct=None if event is None else event.correct,
        drawn=event is not None and event.task is not None,
        propensity=propensity,
    )
