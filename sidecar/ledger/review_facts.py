"""Counts what people made of a model's decisions: reviews that were planned, answered, or never came."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
import sqlalchemy as sa

from sidecar.decision.labels import LabelState, ResolvedLabel
from sidecar.decision.tasks import BLOCKING_KINDS, WAITING, Completion, TaskState
from sidecar.ledger import audit_periods, facts, labelled, queries, schema
from sidecar.ledger.outcomes import OutcomeKind
from sidecar.policy.actions import Action, AnswerSource, Intent, TaskKind

_completions: msgspec.json.Decoder[Completion] = msgspec.json.Decoder(Completion)
JUDGED_KINDS = (TaskKind.HOLD, TaskKind.BATCH, TaskKind.AUDIT)


class PlannedReview(msgspec.Struct, frozen=True, kw_only=True):
    """A review that the policy planned, and the answer that it is about.

    Attributes:
        state: at the moment that was asked for; never LEASED.
        ended_at: when it was completed, expired or was withdrawn; None: it waits.
        declined: by how many reviewers.
        certain: whether every such answer is reviewed: of a hold or an escalation always, of a next-day review
            where its whole batch was reviewed, of an audit never.
    """

    task_id: str
    kind: TaskKind
    state: TaskState
    decision_id: str
    answer_id: str
    created_at: float
    ended_at: float | None
    declined: int
    certain: bool
    model_version: str
    source: AnswerSource
    band: str
    action: Action
    category: str
    intent: Intent
    may_act: bool
    enforced: bool
    audit_rate: float
    decided_at: float


class Silence(StrEnum):
    """Why a decision whose review ended has no label that counts."""

    CANNOT_TELL = "CANNOT_TELL"
    CONFLICTING = "CONFLICTING"
    UNUSABLE = "UNUSABLE"


class Unlabelled(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a decision that no label tells of.

    Attributes:
        silence: what its labels come to, as if its review had ended.
        propensities: of its answers, by id, the inclusion probability that the audit gave them; those without
            one are left out.
    """

    silence: Silence
    propensities: dict[str, float]


class QueueCount(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks of one kind that wait: how many, how many beyond their time, and their ages in seconds."""

    kind: TaskKind
    waiting: int
    overdue: int
    median_age_seconds: float
    oldest_age_seconds: float


class EndingCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many held decisions ended in one way; `kind` is None for those that wait."""

    kind: OutcomeKind | None
    by_person: bool
    n: int


class Judgements(msgspec.Struct, frozen=True, kw_only=True):
    """What reviewers said, who saw the answer and who did not.

    Attributes:
        blind, seen: judgements of tasks whose answer was hidden, and of the others; only those that say
            whether the answer was right.
        blind_disagree, seen_disagree: those of them that say wrong.
        doubled: tasks that at least two reviewers judged; `agreed`: those on which all said the same.
    """

    blind: int
    blind_disagree: int
    seen: int
    seen_disagree: int
    doubled: int
    agreed: int


def reviews(
    connection: sa.Connection, model: str, since: float | None, until: float | None, *, as_of: float
) -> list[PlannedReview]:
    """The reviews that were planned for a window's answers, as they stood at a moment, oldest first.

    Adjudications are left out: they follow from a review, and were not planned.
    """
    task, answer, event = schema.review_tasks.c, schema.answered.c, schema.review_events.c
    declined = (
        sa.select(sa.func.count())
        .where(event.task_id == task.task_id, event.action == "DECLINED", event.happened_at <= as_of)
        .scalar_subquery()
    )
    names = (
        *("model_version", "source", "band", "action", "category", "intent", "may_act", "enforced"),
        *("audit_rate", "decided_at"),
    )
    query = (
        sa.select(
            *(task.task_id, task.kind, task.state, task.decision_id, task.answer_id, task.created_at),
            *(task.due_at, task.completed_at),
            declined.label("declined"),
            *(answer[name] for name in names),
        )
        .join(schema.answered, answer.answer_id == task.answer_id)
        .where(
            *facts.in_window(model, since, until),
            task.kind != TaskKind.ADJUDICATION.value,
            task.created_at <= as_of,
        )
        .order_by(answer.decided_at, task.task_id)
    )
    unfinished = labelled.unfinished_batches(connection, model, as_of=as_of)
    blocking = {kind.value for kind in BLOCKING_KINDS}
    planned = []
    for row in connection.execute(query):
        values = {str(name): value for name, value in row._mapping.items()}
        due_at, ended_at = values.pop("due_at"), values.pop("completed_at")
        if ended_at is not None and ended_at > as_of:
            values["state"], ended_at = TaskState.OPEN.value, None
        batch_is_whole = due_at <= as_of and (model, due_at) not in unfinished
        values["certain"] = values["kind"] in blocking or (
            values["kind"] == TaskKind.BATCH.value and batch_is_whole
        )
        planned.append(msgspec.convert(values | {"ended_at": ended_at}, PlannedReview))
    return planned


def unlabelled(
    connection: sa.Connection,
    model: str,
    decision_ids: Sequence[str],
    *,
    criterion: str,
    label_window_seconds: float,
    as_of: float,
) -> dict[str, Unlabelled]:
    """What is known of decisions of a model of which no label says whether they were right, by id."""
    silent: dict[str, Unlabelled] = {}
    states_by_decision = labelled.resolved_many(
        connection,
        decision_ids,
        model,
        now=as_of,
        label_window_seconds=label_window_seconds,
        as_of=as_of,
    )
    silences = {
        decision_id: _silence([state for state in states if state.label.criterion == criterion])
        for decision_id, states in states_by_decision
    }
    for start in range(0, len(decision_ids), queries.FEW_IDS):
        stored = queries.stored(connection, decision_ids[start : start + queries.FEW_IDS])
        answers = [answer for each in stored for answer in each.answers]
        inclusions = audit_periods.inclusions(connection, answers)
        for each in stored:
            propensities = {
                answer.answer_id: answer.verdict.audit_rate
                for answer in each.answers
                if answer.verdict.audit_rate > 0.0 and not answer.verdict.audit_budget
            }
            propensities |= {
                answer.answer_id: inclusions[answer.answer_id]
                for answer in each.answers
                if answer.answer_id in inclusions
            }
            silent[each.decision_id] = Unlabelled(
                silence=silences[each.decision_id], propensities=propensities
            )
    return silent


def queue(connection: sa.Connection, model: str, *, as_of: float) -> list[QueueCount]:
    """The tasks of a model that waited at a moment, by kind."""
    task = schema.review_tasks.c
    waiting = sa.or_(task.state.in_([state.value for state in WAITING]), task.completed_at > as_of)
    rows = connection.execute(
        sa.select(task.kind, task.created_at, task.due_at).where(
            task.model == model, task.created_at <= as_of, waiting
        )
    ).all()
    counts = []
    for kind in TaskKind:
        ages = sorted(as_of - row.created_at for row in rows if row.kind == kind.value)
        if ages:
            counts.append(
                QueueCount(
                    kind=kind,
                    waiting=len(ages),
                    overdue=sum(row.due_at < as_of for row in rows if row.kind == kind.value),
                    median_age_seconds=(ages[len(ages) // 2] + ages[(len(ages) - 1) // 2]) / 2.0,
                    oldest_age_seconds=ages[-1],
                )
            )
    return counts


def endings(
    connection: sa.Connection, model: str, since: float | None, until: float | None, *, as_of: float
) -> list[EndingCount]:
    """How a window's decisions that were held for a person ended, by the latest outcome of each."""
    outcome, answer, task = schema.outcomes.c, schema.answered.c, schema.review_tasks.c
    blocking = [kind.value for kind in BLOCKING_KINDS]
    held = (
        sa.select(task.decision_id)
        .join(schema.answered, answer.answer_id == task.answer_id)
        .where(*facts.in_window(model, since, until), task.kind.in_(blocking), task.created_at <= as_of)
        .distinct()
    )
    latest: dict[str, tuple[OutcomeKind, bool]] = {}
    for row in connection.execute(
        sa.select(outcome.decision_id, outcome.kind, outcome.by_person)
        .where(outcome.decision_id.in_(held), outcome.decided_at <= as_of)
        .order_by(outcome.sequence)
    ):
        latest[row.decision_id] = (row.kind, row.by_person)
    total: int = connection.execute(sa.select(sa.func.count()).select_from(held.subquery())).scalar_one()
    ended = [
        EndingCount(kind=kind, by_person=by_person, n=list(latest.values()).count((kind, by_person)))
        for kind, by_person in sorted(set(latest.values()))
    ]
    waiting = total - len(latest)
    return [*ended, EndingCount(kind=None, by_person=False, n=waiting)] if waiting else ended


def judgements(
    connection: sa.Connection, model: str, since: float | None, until: float | None, *, as_of: float
) -> Judgements:
    """What reviewers said about a window's answers; adjudications, which know what others said, are left out."""
    slot, task, answer = schema.review_slots.c, schema.review_tasks.c, schema.answered.c
    rows = connection.execute(
        sa.select(task.task_id, task.blind, slot.completion)
        .join(schema.review_tasks, task.task_id == slot.task_id)
        .join(schema.answered, answer.answer_id == task.answer_id)
        .where(
            *facts.in_window(model, since, until),
            task.kind.in_([kind.value for kind in JUDGED_KINDS]),
            slot.completion.is_not(None),
        )
    )
    said: dict[str, list[bool]] = {}
    hidden: dict[str, bool] = {}
    for row in rows:
        completion = _completions.decode(row.completion)
        if completion.correct is not None and completion.completed_at <= as_of:
            said.setdefault(row.task_id, []).append(completion.correct)
            hidden[row.task_id] = row.blind
    doubled = [opinions for opinions in said.values() if len(opinions) > 1]
    blind = [correct for task_id, opinions in said.items() for correct in opinions if hidden[task_id]]
    seen = [correct for task_id, opinions in said.items() for correct in opinions if not hidden[task_id]]
    return Judgements(
        blind=len(blind),
        blind_disagree=blind.count(False),
        seen=len(seen),
        seen_disagree=seen.count(False),
        doubled=len(doubled),
        agreed=sum(len(set(opinions)) == 1 for opinions in doubled),
    )


def _silence(states: Sequence[ResolvedLabel]) -> Silence:
    if any(each.state is LabelState.CONFLICTING for each in states):
        return Silence.CONFLICTING
    if any(each.label.cannot_tell and each.state is LabelState.NO_ANSWER for each in states):
        return Silence.CANNOT_TELL
    return Silence.UNUSABLE
