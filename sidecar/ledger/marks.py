"""Up to where journals have been taken in, and what of them was set aside on the way."""

import msgspec
import sqlalchemy as sa

from sidecar.ledger import database, schema


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where a journal has been taken in: the place, and the number of the last record before it."""

    segment: int
    offset: int
    sequence: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be taken in: its number in the journal, its bytes, and why."""

    sequence: int
    body: bytes
    error: str
    set_aside_at: float


def mark(connection: sa.Connection, sidecar_id: str, journal_id: str) -> Mark | None:
    """Up to where a journal has been taken in; None: nothing of it."""
    table = schema.journal_positions.c
    row = connection.execute(
        sa.select(table.segment, table.byte_offset, table.sequence).where(
            table.sidecar_id == sidecar_id, table.journal_id == journal_id
        )
    ).one_or_none()
    return None if row is None else Mark(segment=row[0], offset=row[1], sequence=row[2])


def refused(connection: sa.Connection, sidecar_id: str | None) -> list[tuple[str, str, Refused]]:
    """What was set aside, with its sidecar and journal; None: by any sidecar."""
    table = schema.set_aside.c
    query = sa.select(schema.set_aside).order_by(table.sidecar_id, table.journal_id, table.sequence)
    if sidecar_id is not None:
        query = query.where(table.sidecar_id == sidecar_id)
    return [
        (
            row.sidecar_id,
            row.journal_id,
            Refused(
                sequence=row.sequence, body=bytes(row.body), error=row.error, set_aside_at=row.set_aside_at
            ),
        )
        for row in connection.execute(query)
    ]


def keep(connection: sa.Connection, sidecar_id: str, journal_id: str, mark: Mark) -> None:
    """Notes up to where a journal is taken in, in the transaction that takes it in."""
    statement = database.insert(connection, schema.journal_positions)
    place = {
        "segment": mark.segment,
        "byte_offset": mark.offset,
        "sequence": mark.sequence,
    }
    connection.execute(
        statement.on_conflict_do_update(index_elements=["sidecar_id", "journal_id"], set_=place),
        [{"sidecar_id": sidecar_id, "journal_id": journal_id} | place],
    )


def set_aside(connection: sa.Connection, sidecar_id: str, journal_id: str, refused: Refused) -> None:
    """Keeps a record that could not be taken in."""
    row = msgspec.structs.asdict(refused) | {"sidecar_id": sidecar_id, "journal_id": journal_id}
    database.insert_new(connection, schema.set_aside, [row])


def strike_off(connection: sa.Connection, sidecar_id: str, journal_id: str, sequence: int) -> None:
    """Forgets a record that was set aside."""
    table = schema.set_aside.c
    own = (table.sidecar_id == sidecar_id, table.journal_id == journal_id, table.sequence == sequence)
    connection.execute(sa.delete(schema.set_aside).where(*own))
