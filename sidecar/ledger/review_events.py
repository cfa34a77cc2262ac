"""Reads who did what with the review tasks of a decision."""

import msgspec
import sqlalchemy as sa

from sidecar.ledger import schema
from sidecar.ledger.leases import EventAction


class ReviewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did with a task, and when, by the database's clock; `slot` is which of its reviews it was."""

    task_id: str
    slot: int
    action: EventAction
    principal: str
    by_person: bool
    happened_at: float
    note: str


def of_decision(connection: sa.Connection, decision_id: str) -> list[ReviewEvent]:
    """The events of all tasks of a decision, oldest first."""
    event, task = schema.review_events.c, schema.review_tasks.c
    rows = connection.execute(
        sa.select(*(event[name] for name in ReviewEvent.__struct_fields__))
        .join(schema.review_tasks, task.task_id == event.task_id)
        .where(task.decision_id == decision_id)
        .order_by(event.event_number)
    )
    return [
        msgspec.convert({str(name): value for name, value in row._mapping.items()}, ReviewEvent)
        for row in rows
    ]
