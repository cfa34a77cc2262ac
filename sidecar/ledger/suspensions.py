"""Keeps what was suspended and resumed, so that every sidecar over this ledger hears of it."""

from collections.abc import Collection, Iterable

import msgspec
import sqlalchemy as sa

from sidecar import errors
from sidecar.decision.records import Record, encode
from sidecar.decision.suspensions import Event, Resumption, Suspension
from sidecar.ledger import schema

SUSPENDED, RESUMED = "suspended", "resumed"

_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def rows(records: Iterable[Record]) -> list[dict[str, object]]:
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


def events(connection: sa.Connection, held: Collection[str]) -> tuple[Event, ...]:
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
        return tuple(_events.decode(body) for body in bodies)
    except msgspec.DecodeError as error:
        raise errors.LedgerUnavailable(
            f"a suspension in the ledger cannot be read by this version: run the one that wrote it ({error})"
        ) from error
