"""What an audit budget samples from: the decisions of a stratum in a week, as they come in."""

import hashlib
from collections.abc import Sequence
from typing import Self

import msgspec
import sqlalchemy as sa

from sidecar.decision import audit
from sidecar.decision.records import Decision
from sidecar.ledger import audit_schema, database
from sidecar.policy.actions import Action, AnswerSource, Intent


class AuditPopulation(msgspec.Struct, frozen=True, kw_only=True):
    """A stratum in an ISO week (UTC, by the time of the decision).

    A decision is in each population that an answer of it is in: a retry in another week, or of another band,
    counts there too, and its task is the first that was opened.

    Attributes:
        week: such as `2026-W47`.
        audit_rate: the planned propensity of the draw.
        audit_budget: the most decisions that the sample may have; 0: all that the rate drew.
    """

    week: str
    model: str
    model_version: str
    source: AnswerSource
    band: str
    action: Action
    intent: Intent
    audit_rate: float
    audit_budget: int

    @classmethod
    def of(cls, answer: Decision) -> Self:
        """That of an answer."""
        return cls(
            week=audit.week_of(answer.decided_at),
            model=answer.model,
            model_version=answer.model_version,
            source=answer.source,
            band=answer.band,
            action=answer.action,
            intent=answer.intent,
            audit_rate=answer.audit_rate,
            audit_budget=answer.audit_budget,
        )

    @property
    def population_id(self) -> str:
        """A digest of the attributes."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()

    @property
    def ends_at(self) -> float:
        """When its week ends, in seconds since the epoch."""
        return audit.week_end(self.week)


def take_in(connection: sa.Connection, fresh: Sequence[Decision]) -> None:
    """Enters the answers that are under a budget into their populations; holds a transaction.

    Args:
        connection: in the transaction that takes in the answers, after that.
        fresh: answers that were not there before; those without a budget are left out.
    """
    populations: dict[str, AuditPopulation] = {}
    offered: dict[tuple[str, str], Decision] = {}
    for answer in fresh:
        if answer.audit_budget:
            population = AuditPopulation.of(answer)
            identity = population.population_id
            populations[identity] = population
            offered.setdefault((identity, answer.decision_id), answer)
    if not offered:
        return
    database.insert_new(
        connection, audit_schema.audit_populations, [_row(populations[key]) for key in sorted(populations)]
    )
    table = audit_schema.audit_populations.c
    closed = {
        row.population_id: row.closed
        for row in connection.execute(
            sa.select(table.population_id, table.closed)
            .where(table.population_id.in_(sorted(populations)))
            .order_by(table.population_id)
            .with_for_update(read=True)
        )
    }
    database.insert_new(
        connection,
        audit_schema.audit_members,
        [
            {
                "population_id": identity,
                "decision_id": decision_id,
                "answer_id": answer.answer_id,
                "key_id": answer.audit_key_id,
                "draw": answer.audit_draw if answer.drawn else None,
                "late": closed[identity],
            }
            for (identity, decision_id), answer in sorted(offered.items())
        ],
    )


def from_row(row: "sa.Row[tuple[object, ...]]") -> AuditPopulation:
    """The population in a row that has its columns."""
    return msgspec.convert(
        {name: row._mapping[name] for name in AuditPopulation.__struct_fields__}, AuditPopulation
    )


def _row(population: AuditPopulation) -> dict[str, object]:
    return {
        name: str(value) if isinstance(value, str) else value
        for name, value in msgspec.structs.asdict(population).items()
    } | {"population_id": population.population_id, "ends_at": population.ends_at, "closed": False}
