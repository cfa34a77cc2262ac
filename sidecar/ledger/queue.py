"""Reads the review queue."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from sidecar.ledger import bodies, pages, schema
from sidecar.ledger.pages import Page
from sidecar.ledger.tasks import WAITING, Task, TaskState
from sidecar.policy.actions import TaskKind


def tasks(
    connection: sa.Connection,
    *,
    kinds: Sequence[TaskKind] = (),
    states: Sequence[TaskState] = (),
    model: str = "",
    category: str = "",
    decision_id: str = "",
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
        page_size: at most this many; 0 asks for the default.
        page_token: from the previous page.

    Raises:
        errors.InvalidRequest: the size or the token cannot be used.
    """
    table, count = schema.review_tasks.c, pages.size(page_size)
    wanted: list[sa.ColumnElement[bool]] = [table.state.in_([state.value for state in states or WAITING])]
    if kinds:
        wanted.append(table.kind.in_([kind.value for kind in kinds]))
    for column, value in ((table.model, model), (table.category, category), (table.decision_id, decision_id)):
        if value:
            wanted.append(column == value)
    question = (sorted(kinds), sorted(states), model, category, decision_id)
    total = connection.execute(sa.select(sa.func.count()).where(*wanted)).scalar_one()
    if page_token:
        mandatory, due_at, last = pages.keys(question, page_token, bool, float, str)
        wanted.append(_behind(bool(mandatory), float(due_at), str(last)))
    rows = connection.execute(
        _select()
        .where(*wanted)
        .order_by(table.mandatory.desc(), table.due_at, table.task_id)
        .limit(count + 1)
    ).all()
    items = tuple(_from_row(row) for row in rows[:count])
    following = ""
    if len(rows) > count:
        following = pages.token(question, [items[-1].mandatory, items[-1].due_at, items[-1].task_id])
    return Page(items=items, next_page_token=following, total=total)


def task(connection: sa.Connection, task_id: str) -> Task | None:
    """The task of that id, or None."""
    row = connection.execute(_select().where(schema.review_tasks.c.task_id == task_id)).one_or_none()
    return None if row is None else _from_row(row)


def _behind(mandatory: bool, due_at: float, task_id: str) -> sa.ColumnElement[bool]:
    table = schema.review_tasks.c
    later = sa.or_(table.due_at > due_at, sa.and_(table.due_at == due_at, table.task_id > task_id))
    same = sa.and_(table.mandatory.is_(sa.true()) if mandatory else table.mandatory.is_(sa.false()), later)
    return sa.or_(table.mandatory.is_(sa.false()), same) if mandatory else same


def _select() -> sa.Select[tuple[object, ...]]:
    return sa.select(*schema.review_tasks.c, schema.answers.c.body).join(
        schema.answers, schema.answers.c.answer_id == schema.review_tasks.c.answer_id
    )


def _from_row(row: sa.Row[tuple[object, ...]]) -> Task:
    # SQLAlchemy's names are a kind of str that msgspec does not take for one.
    values: dict[str, object] = {str(name): value for name, value in row._mapping.items()}
    return msgspec.convert(values | {"decision": bodies.decision(str(values.pop("body")))}, Task)
