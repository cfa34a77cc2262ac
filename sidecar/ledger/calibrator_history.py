"""The calibrators that were in force: which of them the ledger has, and where each of them came after which."""

import sqlalchemy as sa

from sidecar.decision.records import InForce
from sidecar.ledger import database, schema


class CalibratorHistory:
    """Reads it. Every method raises `errors.LedgerUnavailable` as those of `store.Ledger` do."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def digests(self, prefix: str) -> list[str]:
        """The digests of calibrators that begin so, with or without `sha256:`, in order."""
        wanted = f"sha256:{prefix.lower().removeprefix('sha256:')}"
        table = schema.artifacts.c
        with database.reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(table.digest)
                .where(table.kind == "calibrator", table.digest.startswith(wanted, autoescape=True))
                .order_by(table.digest)
            )
            return list(rows.scalars())

    def slots(self, digest: str) -> dict[str, tuple[InForce, ...]]:
        """Everything that was put in force in the slots in which a calibrator decided, oldest first, by slot.

        All sidecars together: one that is new has no history of its own.
        """
        table = schema.in_force.c
        held = sa.select(table.slot).where(table.digest == digest, table.slot.startswith("calibrator:"))
        found: dict[str, list[InForce]] = {}
        with database.reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(schema.in_force).where(table.slot.in_(held)).order_by(table.since, table.row_id)
            )
            for row in rows:
                entry = InForce(
                    sidecar_id=row.sidecar_id,
                    slot=row.slot,
                    digest=row.digest,
                    name=row.name,
                    version=row.version,
                    since=row.since,
                )
                found.setdefault(row.slot, []).append(entry)
        return {slot: tuple(entries) for slot, entries in found.items()}
