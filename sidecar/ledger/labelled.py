"""Reads labels, and the labelled decisions that training fits on."""

from collections.abc import Iterable, Iterator

import msgspec
import sqlalchemy as sa

from sidecar.ledger import bodies, labels, queries, schema
from sidecar.ledger.labels import LabelState, ResolvedLabel, TaskLink
from sidecar.ledger.records import Decision, Label, LabelSubject
from sidecar.policy.actions import TaskKind


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
    connection: sa.Connection, decision_id: str, *, label_window_seconds: float
) -> tuple[ResolvedLabel, ...]:
    """The labels of one decision with their states, oldest first."""
    found = {each.decision_id: each.answers for each in queries.stored(connection, [decision_id])}
    events = _labels(connection, [decision_id]).get(decision_id, [])
    links = _links(connection, [decision_id]).get(decision_id, [])
    return labels.resolve(
        events, found.get(decision_id, ()), links, label_window_seconds=label_window_seconds
    )


def labelled(
    connection: sa.Connection,
    model: str,
    *,
    since: float | None = None,
    until: float | None = None,
    criterion: str = "correct",
    label_window_seconds: float = float("inf"),
) -> Iterator[Labelled]:
    """Every answer of a model whose correctness is settled, oldest decision first.

    Args:
        connection: in a transaction, until the last item was taken.
        model: its name.
        since: only decisions first answered at or after, in seconds since the epoch.
        until: only decisions first answered before.
        criterion: by which the labels judge.
        label_window_seconds: labels recorded longer than this after the first answer do not count.
    """
    table = schema.decisions.c
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
    for start in range(0, len(ids), queries.FEW_IDS):
        few = ids[start : start + queries.FEW_IDS]
        answers = {each.decision_id: each.answers for each in queries.stored(connection, few)}
        events, links = _labels(connection, few), _links(connection, few)
        for decision_id in few:
            states = labels.resolve(
                events[decision_id],
                answers[decision_id],
                links.get(decision_id, ()),
                label_window_seconds=label_window_seconds,
            )
            yield from _settled(states, criterion)


def _settled(states: Iterable[ResolvedLabel], criterion: str) -> Iterator[Labelled]:
    for each in states:
        if each.state is not LabelState.COUNTED or each.label.criterion != criterion:
            continue
        if each.answer is not None and each.correct is not None:
            yield Labelled(
                decision=each.answer,
                correct=each.correct,
                drawn=each.drawn,
                propensity=each.propensity,
                about=each.about,
                label=each.label,
            )


def _labels(connection: sa.Connection, decision_ids: list[str]) -> dict[str, list[Label]]:
    table = schema.labels.c
    found: dict[str, list[Label]] = {}
    for row in connection.execute(
        sa.select(table.decision_id, table.body).where(table.decision_id.in_(decision_ids))
    ):
        found.setdefault(row.decision_id, []).append(bodies.label(row.body))
    return found


def _links(connection: sa.Connection, decision_ids: list[str]) -> dict[str, list[TaskLink]]:
    table = schema.review_tasks.c
    found: dict[str, list[TaskLink]] = {}
    rows = connection.execute(
        sa.select(table.decision_id, table.task_id, table.kind, table.answer_id, table.origin_kind).where(
            table.decision_id.in_(decision_ids)
        )
    )
    for row in rows:
        link = TaskLink(
            task_id=row.task_id,
            kind=TaskKind(row.kind),
            answer_id=row.answer_id,
            origin_kind=TaskKind(row.origin_kind) if row.origin_kind else None,
        )
        found.setdefault(row.decision_id, []).append(link)
    return found
