"""Keeps who changed what decides, and what was suspended and resumed, so that every sidecar hears of it."""

from collections.abc import Collection, Iterable

import msgspec
import sqlalchemy as sa

from sidecar import errors
from sidecar.decision.records import Governance, Record, encode
from sidecar.decision.suspensions import Event, Resumption, Suspension
from sidecar.ledger import schema

TraceEvent = Governance | Suspension | Resumption

SUSPENDED, RESUMED = "suspended", "resumed"

_events: msgspec.json.Decoder[TraceEvent] = msgspec.json.Decoder(TraceEvent)
_suspension_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def change_rows(records: Iterable[Record]) -> list[dict[str, object]]:
    """The rows of the governance events among these records."""
    return [
        {
            "event_id": record.event_id,
            "kind": record.kind,
            "subject": record.subject,
            "happened_at": record.happened_at,
            "sidecar_id": record.sidecar_id,
            "body": encode(record).decode(),
        }
        for record in records
        if isinstance(record, Governance)
    ]


def suspension_rows(records: Iterable[Record]) -> list[dict[str, object]]:
    """The rows of the suspensions and resumptions among these records."""
    return [
        {
            "suspension_id": record.suspension_id,
            "event": SUSPENDED if isinstance(record, Suspension) else RESUMED,
            "happened_at": record.suspended_at if isinstance(record, Suspension) else record.resumed_at,
            "sidecar_id": record.sidecar_id,
            "body": encode(record).decode(),
        }
        for record in records
        if isinstance(record, Suspension | Resumption)
    ]


def changes(connection: sa.Connection, since: float | None = None, *, subject: str = "") -> list[Governance]:
    """Every change of what decides, oldest first.

    Args:
        connection: in a transaction.
        since: that happened at or after, in seconds since the epoch; None: all.
        subject: only about it; empty: any.

    Raises:
        errors.LedgerUnavailable: a newer version wrote one of them.
    """
    table = schema.governance.c
    query = sa.select(table.body).order_by(table.happened_at, table.event_id)
    if since is not None:
        query = query.where(table.happened_at >= since)
    if subject:
        query = query.where(table.subject == subject)
    found = [_decoded(body) for body in connection.execute(query).scalars()]
    return [event for event in found if isinstance(event, Governance)]


def suspensions(connection: sa.Connection, held: Collection[str] = ()) -> tuple[Event, ...]:
    """What a sidecar that holds these suspensions must hear: those not lifted, and who lifted its own.

    Raises:
        errors.LedgerUnavailable: a newer version wrote one of them.
    """
    table = schema.suspensions.c
    lifted = sa.select(table.suspension_id).where(table.event == RESUMED)
    wanted = sa.or_(
        sa.and_(table.event == SUSPENDED, table.suspension_id.not_in(lifted)),
        sa.and_(table.event == RESUMED, table.suspension_id.in_(list(held))),
    )
    bodies = connection.execute(sa.select(table.body).where(wanted).order_by(table.happened_at)).scalars()
    try:
        return tuple(_suspension_events.decode(body) for body in bodies)
    except msgspec.DecodeError as error:
        raise errors.LedgerUnavailable(
            f"a suspension in the ledger cannot be read by this version: run the one that wrote it ({error})"
        ) from error


def history(connection: sa.Connection, since: float | None = None) -> list[TraceEvent]:
    """Every change of what decides, and everything that was suspended or resumed, oldest first.

    A suspension that was told of more than once is in it once, with its first account.

    Raises:
        errors.LedgerUnavailable: a newer version wrote one of them.
    """
    table = schema.suspensions.c
    query = sa.select(table.body).order_by(table.happened_at, table.sidecar_id)
    if since is not None:
        query = query.where(table.happened_at >= since)
    braked: dict[tuple[str, str], TraceEvent] = {}
    for body in connection.execute(query).scalars():
        event = _decoded(body)
        if isinstance(event, Suspension | Resumption):
            braked.setdefault((type(event).__name__, event.suspension_id), event)
    return sorted([*changes(connection, since), *braked.values()], key=moment)


def moment(event: TraceEvent) -> float:
    """When it happened, in seconds since the epoch."""
    if isinstance(event, Governance):
        return event.happened_at
    return event.suspended_at if isinstance(event, Suspension) else event.resumed_at


def _decoded(body: str) -> TraceEvent:
    try:
        return _events.decode(body)
    except msgspec.DecodeError as error:
        raise errors.LedgerUnavailable(
            f"an event in the ledger cannot be read by this version: run the one that wrote it ({error})"
        ) from error
