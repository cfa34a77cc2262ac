"""Keeps where challengers would have put the answers that champions gave."""

from collections.abc import Iterable
from datetime import date

import msgspec
import sqlalchemy as sa

from sidecar import times
from sidecar.decision.records import Record, ShadowCounts
from sidecar.ledger import database, schema


class ShadowCount(msgspec.Struct, frozen=True, kw_only=True):
    """Answers of one UTC day that the champion put in one band and the challenger in another.

    Attributes:
        champion: digest of the calibrator that decided.
        challenger: digest of the one that was evaluated beside it.
        band: of the primary model's answer under the champion; empty: none, since something stood in the way
            of its confidence.
        shadow_band: the same under the challenger.
        n: answers, over all sidecars. A sidecar under pressure leaves some out, and its metrics count those.
    """

    day: date
    model: str
    champion: str
    challenger: str
    band: str
    shadow_band: str
    n: int


def take_in(connection: sa.Connection, records: Iterable[Record]) -> None:
    """Raises each process's totals to what these records say; a total that is known already stays."""
    totals: dict[tuple[date | str, ...], int] = {}
    for record in records:
        if not isinstance(record, ShadowCounts):
            continue
        day = times.numbered_day(record.day)
        for pair in record.pairs:
            key = (
                day,
                record.sidecar_id,
                record.run_id,
                record.model,
                record.champion,
                record.challenger,
                pair.band,
                pair.shadow_band,
            )
            totals[key] = max(totals.get(key, 0), pair.n)
    if not totals:
        return
    keys = [column.name for column in schema.shadow_counts.primary_key]
    statement = database.insert(connection, schema.shadow_counts)
    old, new = schema.shadow_counts.c.n, statement.excluded.n
    larger = statement.on_conflict_do_update(
        index_elements=keys,
        set_={"n": sa.case((new > old, new), else_=old)},
    )
    rows = [dict(zip(keys, key, strict=True)) | {"n": n} for key, n in totals.items()]
    connection.execute(larger, rows)


def counts(connection: sa.Connection, model: str = "", since: float | None = None) -> list[ShadowCount]:
    """The counts from the UTC day of a moment on (None: all), over all sidecars, by day.

    Args:
        connection: in a transaction.
        model: only of this one; empty: any.
        since: in seconds since the epoch.
    """
    table = schema.shadow_counts.c
    keys = [table.day, table.model, table.champion, table.challenger, table.band, table.shadow_band]
    query = sa.select(*keys, sa.func.sum(table.n).label("n")).group_by(*keys).order_by(*keys)
    if model:
        query = query.where(table.model == model)
    if since is not None:
        query = query.where(table.day >= times.day_of(since))
    return [
        ShadowCount(
            day=row.day,
            model=row.model,
            champion=row.champion,
            challenger=row.challenger,
            band=row.band,
            shadow_band=row.shadow_band,
            n=int(row.n),
        )
        for row in connection.execute(query)
    ]
