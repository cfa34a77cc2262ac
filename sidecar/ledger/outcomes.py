"""How decisions that wait for a person ended: written once, read one by one or as a feed."""

from collections.abc import Iterable
from typing import Literal

import msgspec
import sqlalchemy as sa

from sidecar.decision.tasks import BLOCKING_KINDS, WAITING
from sidecar.ledger import schema
from sidecar.policy.actions import TaskKind

OutcomeKind = Literal["RELEASED", "CORRECTED", "REFUSED", "EXPIRED", "RECALLED"]
FOLLOWED_KINDS = BLOCKING_KINDS | {TaskKind.BATCH}
"""The kinds of task that can change what the caller may do. An audit is not among them, and nothing that is
read here depends on one: who waits for an outcome must not learn what was drawn."""

_LOCK_KEY = 7_239_481_563_010_428


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a decision ended.

    Attributes:
        final_class: what may be acted on; empty where nothing may.
        decided_by: names of the principals; `by_person`: whether all of them are persons.
        shown_digest: of what they were shown.
        expires_at: until when the permission holds; None where there is none.
    """

    decision_id: str
    tenant: str
    task_id: str
    kind: OutcomeKind
    final_class: str = ""
    decided_by: str = ""
    by_person: bool = False
    shown_digest: str = ""
    decided_at: float
    expires_at: float | None = None
    explanation: str = ""


class NumberedOutcome(msgspec.Struct, frozen=True):
    """An outcome and its number in the feed."""

    sequence: int
    outcome: Outcome


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the end of a decision.

    Attributes:
        followed: whether it ever waited for a person, or was flagged for one.
        waiting: whether somebody is still to look at it for that.
        outcomes: oldest first.
    """

    followed: bool
    waiting: bool
    outcomes: tuple[Outcome, ...]


def add(connection: sa.Connection, outcome: Outcome) -> None:
    """Writes an outcome, numbered in the order of commits, so that no reader of the feed can overtake one."""
    if connection.dialect.name == "postgresql":
        # Until the commit nobody else takes a number; SQLite has one writer anyway.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))
    last = connection.execute(sa.select(sa.func.max(schema.outcomes.c.sequence))).scalar_one()
    row = msgspec.structs.asdict(outcome) | {"sequence": (last or 0) + 1}
    connection.execute(sa.insert(schema.outcomes), [row])


def progress(connection: sa.Connection, decision_id: str, *, principal: str | None = None) -> Progress | None:
    """What is known about the end of a decision; None: the ledger does not have it.

    Args:
        connection: in a transaction.
        decision_id: the decision.
        principal: as if there were no other answers than those that this one got; None: of all.
    """
    answer, table = schema.answered.c, schema.outcomes.c
    own: list[sa.ColumnElement[bool]] = [answer.decision_id == decision_id]
    if principal is not None:
        own.append(answer.principal == principal)
    if connection.execute(sa.select(answer.answer_id).where(*own).limit(1)).first() is None:
        return None
    states = _followed_states(connection, decision_id, principal)
    rows = connection.execute(
        sa.select(schema.outcomes)
        .where(table.decision_id == decision_id, *_ends_answer_of(principal))
        .order_by(table.sequence)
    )
    return Progress(
        followed=bool(states),
        waiting=any(state in WAITING for state in states),
        outcomes=tuple(each.outcome for each in _numbered(rows)),
    )


def feed(
    connection: sa.Connection, *, tenant: str, principal: str | None, after: int, count: int
) -> list[NumberedOutcome]:
    """Outcomes in the order in which they were committed.

    Args:
        connection: in a transaction.
        tenant: only this one's.
        principal: only of answers that this one got; None: of all.
        after: only those with a higher number.
        count: at most this many.
    """
    table = schema.outcomes.c
    query = sa.select(schema.outcomes).where(
        table.tenant == tenant, table.sequence > after, *_ends_answer_of(principal)
    )
    return _numbered(connection.execute(query.order_by(table.sequence).limit(count)))


def _ends_answer_of(principal: str | None) -> list[sa.ColumnElement[bool]]:
    """The conditions that an outcome came from a task on an answer that a principal got; None: whoever got it."""
    if principal is None:
        return []
    task = schema.review_tasks.c
    own = sa.select(task.task_id).where(
        task.task_id == schema.outcomes.c.task_id, task.principal == principal
    )
    return [sa.exists(own)]


def _followed_states(connection: sa.Connection, decision_id: str, principal: str | None) -> list[str]:
    table = schema.review_tasks.c
    own = [] if principal is None else [table.principal == principal]
    kinds = [kind.value for kind in FOLLOWED_KINDS]
    return list(
        connection.execute(
            sa.select(table.state).where(
                table.decision_id == decision_id,
                *own,
                sa.or_(table.kind.in_(kinds), table.origin_kind.in_(kinds)),
            )
        ).scalars()
    )


def _numbered(rows: "Iterable[sa.Row[tuple[object, ...]]]") -> list[NumberedOutcome]:
    found = []
    for row in rows:
        values: dict[str, object] = {str(name): value for name, value in row._mapping.items()}
        sequence = values.pop("sequence")
        found.append(msgspec.convert({"sequence": sequence, "outcome": values}, NumberedOutcome))
    return found
