"""Counts what a model decided in a window, exactly, and finds what decided it.

A window is half open: decided at or after `since` and before `until`, in seconds since the epoch; None: open.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import get_args

import msgspec
import sqlalchemy as sa

from sidecar import dialect, times
from sidecar.decision.records import InForce
from sidecar.ledger import schema
from sidecar.policy.actions import Action, AnswerSource, Intent


class Stratum(msgspec.Struct, frozen=True, kw_only=True):
    """Exact counts of the answers of one UTC day that are alike.

    Attributes:
        audit_rate: the planned propensity of the audit draw.
        n: answers. `n_drawn`: those drawn for audit. `n_acted`: those that were permitted to act.
    """

    day: date
    model: str
    model_version: str
    source: AnswerSource
    band: str
    action: Action
    intent: Intent
    audit_rate: float
    n: int
    n_drawn: int
    n_acted: int


class AnswerCount(msgspec.Struct, frozen=True, kw_only=True):
    """Exact counts of answers that are alike.

    Attributes:
        category: in its normal form.
        mandatory: whether only a person could let them act.
        n: answers. `n_drawn`: those drawn for audit.
        n_calibrated: those with a calibrated confidence of the primary model's answer.
        calibrated_sum: the sum of those confidences.
    """

    model_version: str
    source: AnswerSource
    band: str
    action: Action
    category: str
    intent: Intent
    may_act: bool
    enforced: bool
    mandatory: bool
    audit_rate: float
    policy_digest: str
    calibrator_digest: str
    n: int
    n_drawn: int
    n_calibrated: int
    calibrated_sum: float


def answers(
    connection: sa.Connection, model: str, since: float | None, until: float | None
) -> list[AnswerCount]:
    """Counts of a model's answers in a window."""
    table = schema.answered.c
    names = (
        *(
            "model_version",
            "source",
            "band",
            "action",
            "category",
            "intent",
            "may_act",
            "enforced",
            "mandatory",
        ),
        *("audit_rate", "policy_digest", "calibrator_digest"),
    )
    keys = [table[name] for name in names]
    query = (
        sa.select(
            *keys,
            sa.func.count().label("n"),
            _count_of(table.drawn, "n_drawn"),
            sa.func.count(table.calibrated).label("n_calibrated"),
            sa.func.coalesce(sa.func.sum(table.calibrated), 0.0).label("calibrated_sum"),
        )
        .where(*in_window(model, since, until))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [msgspec.convert(_values(row._mapping), AnswerCount) for row in connection.execute(query)]


def strata(connection: sa.Connection, model: str, since: float | None, until: float | None) -> list[Stratum]:
    """The counts of a model's strata per UTC day.

    Of whole days they are the ledger's own counts, which it always keeps exactly. Of a day that the window
    cuts, the answers are counted.
    """
    first = None if since is None else times.day_of(since) + timedelta(days=since % times.DAY_SECONDS != 0)
    last = None if until is None else times.day_of(until)
    if first is not None and last is not None and first > last:
        return _counted(connection, model, since, until)
    table = schema.strata.c
    keys = [column for column in schema.strata.primary_key if column.name != "sidecar_id"]
    numbers = ("n", "n_drawn", "n_acted")
    query = sa.select(*keys, *(sa.func.sum(table[name]).label(name) for name in numbers))
    query = query.where(table.model == model).group_by(*keys).order_by(*keys)
    if first is not None:
        query = query.where(table.day >= first)
    if last is not None:
        query = query.where(table.day < last)
    whole = [
        msgspec.convert(_values(row._mapping) | {name: int(row._mapping[name]) for name in numbers}, Stratum)
        for row in connection.execute(query)
    ]
    before = _counted(connection, model, since, _start(first)) if since != _start(first) else []
    behind = _counted(connection, model, _start(last), until) if until != _start(last) else []
    return [*before, *whole, *behind]


def repeated(connection: sa.Connection, model: str, since: float | None, until: float | None) -> int:
    """How many answers of a window are further answers of a decision that another one of it answered."""
    table = schema.answered.c
    query = sa.select(sa.func.count() - sa.func.count(sa.distinct(table.decision_id))).where(
        *in_window(model, since, until)
    )
    found: int = connection.execute(query).scalar_one()
    return found


def in_force(
    connection: sa.Connection, model: str, since: float | None, until: float | None
) -> list[InForce]:
    """Which calibrators a model's sidecars decided with, or evaluated beside those, in a window; oldest first.

    What was in force when the window began is in it, with the time since when it was. An empty digest says that
    nothing was any more.
    """
    table = schema.in_force.c
    slots = [dialect.slot_name(role, model) for role in get_args(dialect.SlotRole)]
    own = sa.or_(
        table.slot.in_(slots), *(table.slot.startswith(f"{slot}:", autoescape=True) for slot in slots)
    )
    query = sa.select(table.sidecar_id, table.slot, table.digest, table.name, table.version, table.since)
    query = query.where(own).order_by(table.since, table.row_id)
    if until is not None:
        query = query.where(table.since < until)
    found = [msgspec.convert(_values(row._mapping), InForce) for row in connection.execute(query)]
    return list(_still_in_force(found, since))


def in_window(model: str, since: float | None, until: float | None) -> list[sa.ColumnElement[bool]]:
    """The conditions that an answer is a model's and of a window."""
    table = schema.answered.c
    wanted = [table.model == model]
    if since is not None:
        wanted.append(table.decided_at >= since)
    if until is not None:
        wanted.append(table.decided_at < until)
    return wanted


def _still_in_force(records: list[InForce], since: float | None) -> Iterator[InForce]:
    """Those of the window, and of each sidecar's slot the last one before it."""
    latest: dict[tuple[str, str], InForce] = {}
    for record in records:
        if since is not None and record.since <= since:
            latest[record.sidecar_id, record.slot] = record
    for record in records:
        before = since is not None and record.since <= since
        if not before or latest[record.sidecar_id, record.slot] is record:
            yield record


def _counted(
    connection: sa.Connection, model: str, since: float | None, until: float | None
) -> list[Stratum]:
    """Strata of a span within one UTC day, from the answers."""
    if since is None or until is None:
        return []
    table = schema.answered.c
    names = ("model", "model_version", "source", "band", "action", "intent", "audit_rate")
    keys = [table[name] for name in names]
    query = (
        sa.select(
            *keys,
            sa.func.count().label("n"),
            _count_of(table.drawn, "n_drawn"),
            _count_of(table.may_act, "n_acted"),
        )
        .where(*in_window(model, since, until))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [
        msgspec.convert(_values(row._mapping) | {"day": times.day_of(since)}, Stratum)
        for row in connection.execute(query)
    ]


def _count_of(flag: sa.ColumnElement[bool], name: str) -> sa.Label[int]:
    return sa.func.sum(sa.case((flag, 1), else_=0)).label(name)


def _values(row: sa.RowMapping) -> dict[str, object]:
    return {str(name): value for name, value in row.items()}


def _start(day: date | None) -> float | None:
    return None if day is None else times.start_of(day)
