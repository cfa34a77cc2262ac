"""Closes audit periods: counts a population once its week is over, takes the sample, opens its tasks."""

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from sidecar.decision import audit, tasks
from sidecar.decision.audit import BottomK
from sidecar.decision.records import Decision
from sidecar.ledger import audit_populations, audit_schema, bodies, opening, schema
from sidecar.ledger.audit_populations import AuditPopulation
from sidecar.policy.actions import TaskKind

FEW_TASKS = 500
"""How many are opened with one statement; databases bound the number of parameters."""


class AuditPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """What the closing of a population's week found; written once and never changed.

    A decision that comes later is late. It was never sampled, and had no chance to be: estimates are about
    those that had come, and the number of late ones is reported beside them.

    Attributes:
        population: what was sampled.
        n: its decisions. `n_drawn`: those that the rate drew. `n_sampled`: those in the sample.
        tau: the smallest draw that the budget left out; the rate, where it left out none. The sample is every
            decision whose draw is below it.
        key_ids: of the keys that drew, sorted.
        closed_at: in seconds since the epoch, by the database's clock.
    """

    population: AuditPopulation
    n: int
    n_drawn: int
    n_sampled: int
    tau: float
    key_ids: tuple[str, ...]
    closed_at: float

    @property
    def inclusion(self) -> float:
        """The inclusion probability of each sampled decision; see `audit.inclusion`."""
        return audit.inclusion(self.population.audit_rate, self.tau)


def due(connection: sa.Connection, *, now: float, grace_seconds: float) -> list[AuditPopulation]:
    """The populations whose week has been over for longer than the grace, and whose period is not closed."""
    table = audit_schema.audit_populations
    rows = connection.execute(
        sa.select(table)
        .where(table.c.ends_at <= now - grace_seconds, ~table.c.closed)
        .order_by(table.c.ends_at, table.c.population_id)
    )
    return [audit_populations.from_row(row) for row in rows]


def close(connection: sa.Connection, population: AuditPopulation, *, now: float) -> AuditPeriod | None:
    """Closes a period and opens the tasks of its sample, in a transaction that may lock what it reads.

    Returns:
        The period; None where it was closed already.
    """
    identity = population.population_id
    own = audit_schema.audit_populations
    locked = sa.select(own.c.closed).where(own.c.population_id == identity).with_for_update()
    if connection.execute(locked).scalar_one():
        return None
    connection.execute(sa.update(own).where(own.c.population_id == identity).values(closed=True))
    member = audit_schema.audit_members.c
    in_time = sa.and_(member.population_id == identity, ~member.late)
    n, n_drawn = connection.execute(
        sa.select(sa.func.count(), sa.func.count(member.draw)).where(in_time)
    ).one()
    smallest = connection.execute(
        sa.select(member.draw, member.decision_id, member.answer_id)
        .where(in_time, member.draw.is_not(None))
        .order_by(member.draw, member.decision_id)
        .limit(population.audit_budget + 1)
    ).all()
    sample = BottomK.of(
        ((row.draw, row.decision_id) for row in smallest),
        rate=population.audit_rate,
        budget=population.audit_budget,
    )
    answers = {row.decision_id: row.answer_id for row in smallest}
    keys = connection.execute(sa.select(member.key_id).where(in_time).distinct()).scalars()
    closed = AuditPeriod(
        population=population,
        n=n,
        n_drawn=n_drawn,
        n_sampled=len(sample.sampled),
        tau=sample.tau,
        key_ids=tuple(sorted(keys)),
        closed_at=now,
    )
    connection.execute(sa.insert(audit_schema.audit_periods), [_row(closed)])
    _open_tasks(connection, [answers[decision_id] for decision_id in sample.sampled], now)
    return closed


def _open_tasks(connection: sa.Connection, answer_ids: list[str], now: float) -> None:
    """Opens the audit tasks that these answers planned."""
    table = schema.answers.c
    for start in range(0, len(answer_ids), FEW_TASKS):
        few = answer_ids[start : start + FEW_TASKS]
        found = connection.execute(sa.select(table.body).where(table.answer_id.in_(few))).scalars()
        opened = {
            tasks.task_id(answer.decision_id, TaskKind.AUDIT): (answer, planned)
            for answer in map(bodies.decision, found)
            for planned in answer.tasks
            if planned.kind is TaskKind.AUDIT
        }
        opening.open_tasks(connection, opened, created_at=now)
        opening.end_labelled(connection, set(opened))


def periods(
    connection: sa.Connection, *, model: str = "", week: str = "", since: float | None = None
) -> list[AuditPeriod]:
    """The closed periods, oldest week first.

    Args:
        connection: in a transaction.
        model: only of this one; empty: any.
        week: only this one, such as `2026-W47`; empty: any.
        since: only of weeks that ended after; seconds since the epoch.
    """
    table, period = audit_schema.audit_populations, audit_schema.audit_periods
    query = sa.select(
        table,
        *(column for column in period.c if column.name != "population_id"),
    ).join(period, period.c.population_id == table.c.population_id)
    if model:
        query = query.where(table.c.model == model)
    if week:
        query = query.where(table.c.week == week)
    if since is not None:
        query = query.where(table.c.ends_at > since)
    rows = connection.execute(query.order_by(table.c.ends_at, table.c.population_id))
    return [_from_row(row) for row in rows]


def inclusions(connection: sa.Connection, answers: Iterable[Decision]) -> dict[str, float]:
    """The inclusion probabilities of these answers, by answer id, as far as their period is closed.

    Only for answers under a budget; it is that of a sampled one, whether or not they are in the sample.
    """
    wanted = {answer.answer_id: AuditPopulation.of(answer) for answer in answers if answer.audit_budget}
    if not wanted:
        return {}
    identities = {population: population.population_id for population in set(wanted.values())}
    period = audit_schema.audit_periods.c
    taus: dict[str, float] = {
        row.population_id: row.tau
        for row in connection.execute(
            sa.select(period.population_id, period.tau).where(
                period.population_id.in_(sorted(identities.values()))
            )
        )
    }
    return {
        answer_id: audit.inclusion(population.audit_rate, taus[identities[population]])
        for answer_id, population in wanted.items()
        if identities[population] in taus
    }


def _row(closed: AuditPeriod) -> dict[str, object]:
    return {
        "population_id": closed.population.population_id,
        "n": closed.n,
        "n_drawn": closed.n_drawn,
        "n_sampled": closed.n_sampled,
        "tau": closed.tau,
        "key_ids": msgspec.json.encode(closed.key_ids).decode(),
        "closed_at": closed.closed_at,
    }


def _from_row(row: "sa.Row[tuple[object, ...]]") -> AuditPeriod:
    values = row._mapping
    return AuditPeriod(
        population=audit_populations.from_row(row),
        n=values["n"],
        n_drawn=values["n_drawn"],
        n_sampled=values["n_sampled"],
        tau=values["tau"],
        key_ids=msgspec.json.decode(values["key_ids"], type=tuple[str, ...]),
        closed_at=values["closed_at"],
    )
