"""The next-day batches: whether all that was flagged on a day has been reviewed."""

import sqlalchemy as sa

from sidecar.decision.tasks import TaskState
from sidecar.ledger import schema
from sidecar.policy.actions import TaskKind

BatchKey = tuple[str, float]
"""A batch is what of one model is due at the end of one business day: the model, and that time."""


def unfinished(connection: sa.Connection, model: str, *, as_of: float | None = None) -> set[BatchKey]:
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


def _not_completed(table: sa.FromClause, as_of: float | None) -> sa.ColumnElement[bool]:
    column = table.c
    waiting = [state.value for state in TaskState if state is not TaskState.COMPLETED]
    if as_of is None:
        return column.state.in_(waiting)
    later = sa.or_(column.state.in_(waiting), column.completed_at > as_of)
    return sa.and_(column.created_at <= as_of, later)
