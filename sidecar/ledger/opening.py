"""Opens review tasks for what was decided, and ends those that a label from elsewhere answers."""

from collections.abc import Mapping

import sqlalchemy as sa

from sidecar.decision import labels, tasks
from sidecar.decision.records import Decision, PlannedTask
from sidecar.ledger import database, schema


def open_tasks(
    connection: sa.Connection,
    opened: Mapping[str, tuple[Decision, PlannedTask]],
    *,
    created_at: float | None = None,
) -> None:
    """Opens the tasks of these ids that are not there yet, with a slot for each review that they ask for.

    They are created when their decisions were made, if not at `created_at`.
    """
    rows = [_task_row(task_id, *opened[task_id]) for task_id in sorted(opened)]
    if created_at is not None:
        rows = [row | {"created_at": created_at} for row in rows]
    present = set(
        connection.execute(
            sa.select(schema.review_tasks.c.task_id).where(schema.review_tasks.c.task_id.in_(opened))
        ).scalars()
    )
    fresh = [row for row in rows if row["task_id"] not in present]
    database.insert_new(connection, schema.review_tasks, fresh)
    slots = [
        {"task_id": row["task_id"], "slot": slot, "fence": 0}
        for row in fresh
        for slot in range(opened[str(row["task_id"])][1].overlap)
    ]
    database.insert_new(connection, schema.review_slots, slots)


def _task_row(task_id: str, decision: Decision, planned: PlannedTask) -> dict[str, object]:
    return {
        "task_id": task_id,
        "kind": planned.kind.value,
        "state": tasks.TaskState.OPEN.value,
        "decision_id": decision.decision_id,
        "answer_id": decision.answer_id,
        "tenant": decision.query.tenant,
        "model": decision.query.model,
        "category": decision.query.category,
        "principal": decision.query.principal,
        "skill": planned.skill,
        "criterion": planned.criterion,
        "origin_task_id": "",
        "origin_kind": "",
        "mandatory": decision.verdict.mandatory,
        "blind": planned.blind,
        "rank_at": tasks.rank_at(decision.verdict.mandatory, planned.due_at),
        "due_at": planned.due_at,
        "created_at": decision.decided_at,
        "expires_at": planned.expires_at,
        "completed_at": None,
        "fence": 0,
    }


def end_labelled(connection: sa.Connection, task_ids: set[str]) -> None:
    """Completes the audits and next-day reviews among these that a label of their own decision names.

    Whichever came first. Where somebody waits for a permission, or reviewers disagree, only a completion ends the
    task: a label permits nothing, and whoever sent it had no lease.
    """
    task, label = schema.review_tasks.c, schema.labels.c
    ended = connection.execute(
        sa.select(task.task_id, sa.func.min(label.recorded_at))
        .join(schema.labels, sa.and_(label.task_id == task.task_id, label.decision_id == task.decision_id))
        .where(
            task.task_id.in_(sorted(task_ids)),
            task.state.in_([state.value for state in tasks.WAITING]),
            task.kind.not_in([kind.value for kind in tasks.COMPLETED_KINDS]),
            label.source
            != labels.REVIEW_SOURCE,  # a review ends its task itself, once all its slots are done
        )
        .group_by(task.task_id)
    ).all()
    if ended:
        connection.execute(
            sa.update(schema.review_tasks)
            .where(task.task_id == sa.bindparam("ended_id"))
            .values(state=tasks.TaskState.COMPLETED.value, completed_at=sa.bindparam("ended_at")),
            [{"ended_id": task_id, "ended_at": moment} for task_id, moment in ended],
        )
