"""Reads labels, and the labelled decisions that training fits on. Says which next-day batches are done."""

from collections.abc import Iterable, Iterator, Sequence, Set

import msgspec
import sqlalchemy as sa

from sidecar.decision import labels
from sidecar.decision.labels import LabelState, ResolvedLabel
from sidecar.decision.records import Decision, Label, LabelSubject
from sidecar.decision.task_links import TaskLink
from sidecar.decision.tasks import TaskState
from sidecar.ledger import audit_periods, database, queries, schema
from sidecar.ledger.queries import StoredDecision
from sidecar.policy.actions import TaskKind

BatchKey = tuple[str, float]
"""A batch is what of one model is due at the end of one business day: the model, and that time."""


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of which it is known whether it was correct.

    Attributes:
        decision: the answer of the decision that the label judges.
        correct: whether the answer of `about` was correct.
        drawn: whether the label was planned, with a known probability.
        propensity: that probability, in (0, 1]; None where there is none. `labels.ResolvedLabel` says when.
        about: who gave the judged answer: PRIMARY, SECONDARY or RULE.
        label: the label that counts.
    """

    decision: Decision
    correct: bool
    drawn: bool
    propensity: float | None
    about: LabelSubject
    label: Label


def resolved(
    connection: sa.Connection,
    decision_id: str,
    *,
    label_window_seconds: float = float("inf"),
    as_of: float | None = None,
) -> tuple[ResolvedLabel, ...]:
    """The labels of one decision with their states, oldest first; the arguments as in `labelled`."""
    answers = queries.stored(connection, [decision_id])
    model = answers[0].answers[0].query.model if answers else ""
    states_by_decision = resolved_many(
        connection,
        [decision_id],
        model,
        now=database.now(connection),
        label_window_seconds=label_window_seconds,
        as_of=as_of,
    )
    return next(states_by_decision)[1]


def labelled(
    connection: sa.Connection,
    model: str,
    *,
    since: float | None = None,
    until: float | None = None,
    criterion: str = "correct",
    label_window_seconds: float = float("inf"),
    as_of: float | None = None,
) -> list[Labelled]:
    """Every answer of a model whose correctness is settled, oldest decision first.

    A next-day batch counts as reviewed once its day is over, when nothing comes to it any more.

    Args:
        connection: in a transaction.
        model: its name.
        since: only decisions first answered at or after, in seconds since the epoch.
        until: only decisions first answered before.
        criterion: by which the labels judge.
        label_window_seconds: labels recorded longer than this after the first answer do not count.
        as_of: only what was known then: answers given, and labels recorded, at or before; None: all.
    """
    table, now = schema.decisions.c, database.now(connection)
    if as_of is not None:
        now = min(now, as_of)
    judged = sa.select(schema.labels.c.decision_id).where(schema.labels.c.criterion == criterion)
    query = (
        sa.select(table.decision_id)
        .where(table.model == model, table.decision_id.in_(judged))
        .order_by(table.first_decided_at, table.decision_id)
    )
    if since is not None:
        query = query.where(table.first_decided_at >= since)
    if until is not None:
        query = query.where(table.first_decided_at < until)
    ids = list(connection.execute(query).scalars())
    told = resolved_many(
        connection, ids, model, now=now, label_window_seconds=label_window_seconds, as_of=as_of
    )
    return [settled for _, states in told for settled in _settled(states, criterion)]


def resolved_many(
    connection: sa.Connection,
    decision_ids: Sequence[str],
    model: str,
    *,
    now: float,
    label_window_seconds: float,
    as_of: float | None = None,
) -> Iterator[tuple[str, tuple[ResolvedLabel, ...]]]:
    """Many decisions of one model, each with what `resolved` says of it, in the order given."""
    unfinished = unfinished_batches(connection, model, as_of=as_of)
    for start in range(0, len(decision_ids), queries.FEW_IDS):
        few = list(decision_ids[start : start + queries.FEW_IDS])
        found = _stored(connection, few, as_of)
        answers = {each.decision_id: each.answers for each in found}
        events, links = _labels(connection, few, as_of), _links(connection, found, now, unfinished)
        for decision_id in few:
            yield (
                decision_id,
                labels.resolve(
                    events.get(decision_id, ()),
                    answers.get(decision_id, ()),
                    links.get(decision_id, ()),
                    label_window_seconds=label_window_seconds,
                ),
            )


def unfinished_batches(connection: sa.Connection, model: str, *, as_of: float | None = None) -> set[BatchKey]:
    """The batches of a model in which something was not reviewed to the end, at a moment (None: now).

    That is a task that is not completed, or a disagreement on one that nobody has settled.
    """
    task = schema.review_tasks.c
    own = sa.select(task.model, task.due_at).where(
        task.model == model, task.kind == TaskKind.BATCH.value, _not_completed(schema.review_tasks, as_of)
    )
    settling = schema.review_tasks.alias("settling")
    disagreed = (
        sa.select(task.model, task.due_at)
        .join(settling, settling.c.origin_task_id == task.task_id)
        .where(
            settling.c.model == model,
            settling.c.origin_kind == TaskKind.BATCH.value,
            _not_completed(settling, as_of),
        )
    )
    return {(row.model, row.due_at) for row in connection.execute(sa.union(own, disagreed))}


def _settled(states: Iterable[ResolvedLabel], criterion: str) -> Iterator[Labelled]:
    for resolution in states:
        if resolution.state is not LabelState.COUNTED or resolution.label.criterion != criterion:
            continue
        if resolution.answer is not None and resolution.correct is not None:
            yield Labelled(
                decision=resolution.answer,
                correct=resolution.correct,
                drawn=resolution.drawn,
                propensity=resolution.propensity,
                about=resolution.about,
                label=resolution.label,
            )


def _stored(connection: sa.Connection, decision_ids: list[str], as_of: float | None) -> list[StoredDecision]:
    decisions = queries.stored(connection, decision_ids)
    if as_of is None:
        return decisions
    known = (
        msgspec.structs.replace(
            each, answers=tuple(answer for answer in each.answers if answer.decided_at <= as_of)
        )
        for each in decisions
    )
    return [each for each in known if each.answers]


def _labels(
    connection: sa.Connection, decision_ids: list[str], as_of: float | None
) -> dict[str, list[Label]]:
    table = schema.labels.c
    query = sa.select(table.decision_id, table.body).where(table.decision_id.in_(decision_ids))
    if as_of is not None:
        query = query.where(table.recorded_at <= as_of)
    found: dict[str, list[Label]] = {}
    for row in connection.execute(query):
        found.setdefault(row.decision_id, []).append(queries.decoded_label(row.body))
    return found


def _links(
    connection: sa.Connection, decided: Sequence[StoredDecision], now: float, unfinished: Set[BatchKey]
) -> dict[str, list[TaskLink]]:
    """The tasks of decisions, with what the ledger knows of their inclusion probabilities."""
    table = schema.review_tasks.c
    inclusions = audit_periods.inclusions(connection, (answer for each in decided for answer in each.answers))
    links: dict[str, list[TaskLink]] = {}
    rows = connection.execute(
        sa.select(
            table.decision_id,
            table.task_id,
            table.kind,
            table.answer_id,
            table.origin_kind,
            table.criterion,
            table.model,
            table.due_at,
        ).where(table.decision_id.in_([each.decision_id for each in decided]))
    )
    for row in rows:
        kind, inclusion = TaskKind(row.kind), None
        if kind is TaskKind.AUDIT:
            inclusion = inclusions.get(row.answer_id)
        elif kind is TaskKind.BATCH and row.due_at <= now and (row.model, row.due_at) not in unfinished:
            inclusion = 1.0
        link = TaskLink(
            task_id=row.task_id,
            kind=kind,
            answer_id=row.answer_id,
            origin_kind=TaskKind(row.origin_kind) if row.origin_kind else None,
            criterion=row.criterion,
            inclusion=inclusion,
        )
        links.setdefault(row.decision_id, []).append(link)
    return links


def _not_completed(table: sa.FromClause, as_of: float | None) -> sa.ColumnElement[bool]:
    column = table.c
    waiting = [state.value for state in TaskState if state is not TaskState.COMPLETED]
    if as_of is None:
        return column.state.in_(waiting)
    later = sa.or_(column.state.in_(waiting), column.completed_at > as_of)
    return sa.and_(column.created_at <= as_of, later)
