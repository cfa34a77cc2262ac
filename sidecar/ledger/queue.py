"""Reads the review queue."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from sidecar.decision.records import Decision
from sidecar.decision.tasks import CLOCK_STEP_SECONDS, WAITING, Completion, Slot, Task, TaskState
from sidecar.ledger import database, pages, queries, schema
from sidecar.ledger.pages import Page
from sidecar.policy.actions import TaskKind

_completions: msgspec.json.Decoder[Completion] = msgspec.json.Decoder(Completion)


def tasks(
    connection: sa.Connection,
    *,
    kinds: Sequence[TaskKind] = (),
    states: Sequence[TaskState] = (),
    model: str = "",
    category: str = "",
    decision_id: str = "",
    without_audits_of: str = "",
    page_size: int = 0,
    page_token: str = "",
) -> Page[Task]:
    """A page of tasks in the order in which they should be done, and how many match altogether.

    Args:
        connection: in a transaction.
        kinds: only these; empty: any.
        states: only these; empty: those that wait for somebody.
        model: only this one's; empty: any.
        category: only this one's, in normal form; empty: any.
        decision_id: only this one's; empty: any.
        without_audits_of: a principal that routes, and must not learn what of it was drawn; empty: nobody.
        page_size: at most this many, and fewer where they are long; 0 asks for the default.
        page_token: from the previous page.

    Raises:
        errors.InvalidRequest: the size or the token cannot be used.
    """
    table, count, now = schema.review_tasks.c, pages.size(page_size), database.now(connection)
    wanted = [_in_states(set(states or WAITING), now)]
    if kinds:
        wanted.append(table.kind.in_([kind.value for kind in kinds]))
    for column, value in ((table.model, model), (table.category, category), (table.decision_id, decision_id)):
        if value:
            wanted.append(column == value)
    if without_audits_of:
        wanted.append(~audits(without_audits_of))
    question = (sorted(kinds), sorted(states), model, category, decision_id)
    total = connection.execute(sa.select(sa.func.count()).where(*wanted)).scalar_one()
    if page_token:
        rank_at, last = pages.keys(question, page_token, float, str)
        wanted.append(behind(float(rank_at), str(last)))
    length = sa.func.length(schema.answers.c.body).label("length")
    ordered = (
        _select(table.rank_at, table.task_id, length)
        .where(*wanted)
        .order_by(table.rank_at, table.task_id)
        .limit(count + 1)
    )
    listed = connection.execute(ordered).all()
    chosen = pages.within(listed[:count], lambda row: int(row.length), pages.MOST_READ)
    rows = connection.execute(
        _select(*table, schema.answers.c.body)
        .where(table.task_id.in_([row.task_id for row in chosen]))
        .order_by(table.rank_at, table.task_id)
    ).all()
    items = _from_rows(connection, rows, now)
    tokens = tuple(pages.token(question, [each.rank_at, each.task_id]) for each in items)
    following = tokens[-1] if len(listed) > len(items) else ""
    return Page(items=items, next_page_token=following, total=total, tokens=tokens)


def task(connection: sa.Connection, task_id: str) -> Task | None:
    """The task of that id as of now, or None."""
    now = database.now(connection)
    wanted = _select(*schema.review_tasks.c, schema.answers.c.body)
    rows = connection.execute(wanted.where(schema.review_tasks.c.task_id == task_id)).all()
    return next(iter(_from_rows(connection, rows, now)), None)


def audits(principal: str) -> sa.ColumnElement[bool]:
    """The condition that a task says that an answer to a principal was drawn for audit."""
    task, audit = schema.review_tasks.c, TaskKind.AUDIT.value
    return sa.and_(task.principal == principal, sa.or_(task.kind == audit, task.origin_kind == audit))


def is_open(now: float) -> sa.ColumnElement[bool]:
    """The condition that a task has a review that nobody is at."""
    return sa.and_(schema.review_tasks.c.state == TaskState.OPEN.value, _has_free_slot(now))


def behind(rank_at: float, task_id: str) -> sa.ColumnElement[bool]:
    """The condition that a task stands behind another one in the queue."""
    table = schema.review_tasks.c
    return sa.or_(table.rank_at > rank_at, sa.and_(table.rank_at == rank_at, table.task_id > task_id))


def _has_free_slot(now: float) -> sa.ColumnElement[bool]:
    slot = schema.review_slots.c
    free = sa.or_(slot.reviewer.is_(None), slot.lease_until <= now, slot.leased_at > now + CLOCK_STEP_SECONDS)
    return sa.exists(
        sa.select(slot.slot).where(
            slot.task_id == schema.review_tasks.c.task_id, slot.completion.is_(None), free
        )
    )


def _in_states(states: set[TaskState], now: float) -> sa.ColumnElement[bool]:
    table = schema.review_tasks.c
    stored = states - {TaskState.LEASED}
    if {TaskState.OPEN, TaskState.LEASED} <= states or not states & set(WAITING):
        return table.state.in_([state.value for state in stored])
    leased = sa.and_(table.state == TaskState.OPEN.value, ~_has_free_slot(now))
    waiting = leased if TaskState.LEASED in states else is_open(now)
    ended = [state.value for state in stored - {TaskState.OPEN}]
    return sa.or_(waiting, table.state.in_(ended)) if ended else waiting


def _select(*columns: sa.ColumnElement[Any]) -> sa.Select[tuple[Any, ...]]:
    return (
        sa.select(*columns)
        .select_from(schema.review_tasks)
        .join(schema.answers, schema.answers.c.answer_id == schema.review_tasks.c.answer_id)
    )


def _from_rows(
    connection: sa.Connection, rows: "Sequence[sa.Row[tuple[object, ...]]]", now: float
) -> tuple[Task, ...]:
    slots = _slots(connection, [str(row._mapping["task_id"]) for row in rows])
    read = queries.decision_reader(connection)
    return tuple(_from_row(row, slots, now, read) for row in rows)


def _slots(connection: sa.Connection, task_ids: Iterable[str]) -> dict[str, list[Slot]]:
    table = schema.review_slots.c
    slots: dict[str, list[Slot]] = {}
    rows = connection.execute(
        sa.select(schema.review_slots).where(table.task_id.in_(list(task_ids))).order_by(table.slot)
    )
    for row in rows:
        slot = Slot(
            slot=row.slot,
            reviewer=row.reviewer,
            fence=row.fence,
            leased_at=row.leased_at,
            lease_until=row.lease_until,
            completion=None if row.completion is None else _completions.decode(row.completion),
        )
        slots.setdefault(row.task_id, []).append(slot)
    return slots


def _from_row(
    row: "sa.Row[tuple[object, ...]]",
    slots: dict[str, list[Slot]],
    now: float,
    read: Callable[[str], Decision],
) -> Task:
    # SQLAlchemy's names are a kind of str that msgspec does not take for one.
    values: dict[str, object] = {str(name): value for name, value in row._mapping.items()}
    own = tuple(slots.get(str(values["task_id"]), ()))
    if values["state"] == TaskState.OPEN and not any(slot.is_free(now) for slot in own):
        values["state"] = TaskState.LEASED
    values |= {"decision": read(str(values.pop("body"))), "slots": own}
    values["origin_kind"] = values["origin_kind"] or None
    return msgspec.convert(values, Task)
