"""What an audit budget samples from: the decisions of a stratum in a week, as they come in, and their sample.

Once a population's week is over its period is closed: the population is counted, the sample taken, and its tasks
opened.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import msgspec
import sqlalchemy as sa

from sidecar.decision import audit, tasks
from sidecar.decision.audit import BottomK
from sidecar.decision.records import Decision
from sidecar.ledger import database, opening, queries, schema
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Action, AnswerSource, Intent, TaskKind

FEW_TASKS = 500
"""How many are opened with one statement; databases bound the number of parameters."""


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
            model=answer.query.model,
            model_version=answer.query.model_version,
            source=answer.verdict.source,
            band=answer.verdict.band,
            action=answer.action,
            intent=answer.query.intent,
            audit_rate=answer.verdict.audit_rate,
            audit_budget=answer.verdict.audit_budget,
        )

    @property
    def population_id(self) -> str:
        """A digest of the attributes."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()

    @property
    def ends_at(self) -> float:
        """When its week ends, in seconds since the epoch."""
        return audit.week_end(self.week)


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


def take_members(connection: sa.Connection, fresh: Sequence[Decision], key_ids: Mapping[str, str]) -> None:
    """Enters the answers that are under a budget into their populations; holds a transaction.

    Args:
        connection: in the transaction that takes in the answers, after that.
        fresh: answers that were not there before; those without a budget are left out.
        key_ids: of the keys that drew, by the digest of the answers' provenance.
    """
    populations: dict[str, AuditPopulation] = {}
    offered: dict[tuple[str, str], Decision] = {}
    for answer in fresh:
        if answer.verdict.audit_budget:
            population = AuditPopulation.of(answer)
            identity = population.population_id
            populations[identity] = population
            offered.setdefault((identity, answer.decision_id), answer)
    if not offered:
        return
    database.insert_new(
        connection,
        schema.audit_populations,
        [_population_row(populations[key]) for key in sorted(populations)],
    )
    table = schema.audit_populations.c
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
        schema.audit_members,
        [
            {
                "population_id": identity,
                "decision_id": decision_id,
                "answer_id": answer.answer_id,
                "key_id": key_ids.get(answer.provenance.digest, ""),
                "draw": answer.audit_draw if answer.drawn else None,
                "late": closed[identity],
            }
            for (identity, decision_id), answer in sorted(offered.items())
        ],
    )


def close_due(ledger: Ledger, *, grace_seconds: float) -> list[AuditPeriod]:
    """Closes the periods whose week has been over for longer than the grace; those that this call closed.

    Any number of sidecars may try at once, and again: each period is closed once. Each is a transaction of its own,
    so that the ledger is held up for no longer than one takes.
    """
    tried = [
        ledger.write_locking(close, population)
        for population in ledger.read(due, grace_seconds=grace_seconds)
    ]
    return [period for period in tried if period is not None]


def due(connection: sa.Connection, *, grace_seconds: float) -> list[AuditPopulation]:
    """The populations whose week has been over for longer than the grace, and whose period is not closed."""
    table = schema.audit_populations
    rows = connection.execute(
        sa.select(table)
        .where(table.c.ends_at <= database.now(connection) - grace_seconds, ~table.c.closed)
        .order_by(table.c.ends_at, table.c.population_id)
    )
    return [population_of(row) for row in rows]


def close(connection: sa.Connection, population: AuditPopulation) -> AuditPeriod | None:
    """Closes a period and opens the tasks of its sample, in a transaction that may lock what it reads.

    Returns:
        The period; None where it was closed already.
    """
    identity, now = population.population_id, database.now(connection)
    own = schema.audit_populations
    locked = sa.select(own.c.closed).where(own.c.population_id == identity).with_for_update()
    if connection.execute(locked).scalar_one():
        return None
    connection.execute(sa.update(own).where(own.c.population_id == identity).values(closed=True))
    member = schema.audit_members.c
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
    connection.execute(sa.insert(schema.audit_periods), [_period_row(closed)])
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
            for answer in map(queries.decision_reader(connection), found)
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
    table, period = schema.audit_populations, schema.audit_periods
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
    return [_period_of(row) for row in rows]


def inclusions(connection: sa.Connection, answers: Iterable[Decision]) -> dict[str, float]:
    """The inclusion probabilities of these answers, by answer id, as far as their period is closed.

    Only for answers under a budget; it is that of a sampled one, whether or not they are in the sample.
    """
    wanted = {
        answer.answer_id: AuditPopulation.of(answer) for answer in answers if answer.verdict.audit_budget
    }
    if not wanted:
        return {}
    identities = {population: population.population_id for population in set(wanted.values())}
    period = schema.audit_periods.c
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


def population_of(row: "sa.Row[tuple[object, ...]]") -> AuditPopulation:
    """The population in a row that has its columns."""
    return msgspec.convert(
        {name: row._mapping[name] for name in AuditPopulation.__struct_fields__}, AuditPopulation
    )


def _period_row(closed: AuditPeriod) -> dict[str, object]:
    return {
        "population_id": closed.population.population_id,
        "n": closed.n,
        "n_drawn": closed.n_drawn,
        "n_sampled": closed.n_sampled,
        "tau": closed.tau,
        "key_ids": msgspec.json.encode(closed.key_ids).decode(),
        "closed_at": closed.closed_at,
    }


def _period_of(row: "sa.Row[tuple[object, ...]]") -> AuditPeriod:
    values = row._mapping
    return AuditPeriod(
        population=population_of(row),
        n=values["n"],
        n_drawn=values["n_drawn"],
        n_sampled=values["n_sampled"],
        tau=values["tau"],
        key_ids=msgspec.json.decode(values["key_ids"], type=tuple[str, ...]),
        closed_at=values["closed_at"],
    )


def _population_row(population: AuditPopulation) -> dict[str, object]:
    return {
        name: str(value) if isinstance(value, str) else value
        for name, value in msgspec.structs.asdict(population).items()
    } | {"population_id": population.population_id, "ends_at": population.ends_at, "closed": False}
