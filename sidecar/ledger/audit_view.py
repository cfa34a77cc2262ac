"""The ledger's part of auditing: closing periods, and what an auditor reads."""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import msgspec
import sqlalchemy as sa

from sidecar.decision import audit
from sidecar.decision.records import Decision
from sidecar.decision.tasks import TaskState
from sidecar.ledger import audit_periods, audit_populations, audit_schema, database, schema
from sidecar.ledger.audit_periods import AuditPeriod
from sidecar.ledger.audit_populations import AuditPopulation
from sidecar.policy.actions import Action, AnswerSource, Intent, TaskKind

ROWS_AT_ONCE = 2000


class AuditMember(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that could have been drawn.

    Attributes:
        population: the stratum and week.
        decision_id: the decision.
        key_id: of the key that drew.
        drawn: whether the rate drew it.
        draw: what was stored of the draw; under a budget, of those that the rate drew.
        late: whether it came when the period was closed.
        task: the state of the audit task on this answer; None where there is none. `elsewhere`: whether there
            is one on another answer of the decision.
    """

    population: AuditPopulation
    decision_id: str
    key_id: str
    drawn: bool
    draw: float | None
    late: bool
    task: TaskState | None
    elsewhere: bool


class AuditView:
    """The audits of one ledger. Every method raises `errors.LedgerUnavailable` if it cannot be used."""

    def __init__(self, engine: sa.Engine, clock: Callable[[sa.Connection], float]) -> None:
        """Takes the ledger's engine, and what tells the time in a transaction."""
        self._engine = engine
        self._clock = clock

    def close_due(self, *, grace_seconds: float) -> list[AuditPeriod]:
        """Closes the periods whose week has been over for longer than the grace; those that this call closed.

        Any number of sidecars may try at once, and again: each period is closed once. Each is a transaction of
        its own, so that the ledger is held up for no longer than one takes.
        """
        with database.reading(self._engine) as connection:
            waiting = audit_periods.due(connection, now=self._clock(connection), grace_seconds=grace_seconds)
        tried = [
            database.writing(self._engine, self._closing(population), own_locks=True)
            for population in waiting
        ]
        return [period for period in tried if period is not None]

    def _closing(self, population: AuditPopulation) -> Callable[[sa.Connection], AuditPeriod | None]:
        return lambda connection: audit_periods.close(connection, population, now=self._clock(connection))

    def periods(self, *, model: str = "", week: str = "", since: float | None = None) -> list[AuditPeriod]:
        """The closed periods, oldest week first; see `audit_periods.periods`."""
        with database.reading(self._engine) as connection:
            return audit_periods.periods(connection, model=model, week=week, since=since)

    def member(self, answer: Decision) -> AuditMember | None:
        """The decision of an answer in the population of that answer; None where it is under no budget."""
        wanted = audit_schema.audit_members.c
        with database.reading(self._engine) as connection:
            query = _budgeted_query().where(
                wanted.population_id == AuditPopulation.of(answer).population_id,
                wanted.decision_id == answer.decision_id,
            )
            row = connection.execute(query).one_or_none()
        return None if row is None else _budgeted_member(row, audit_populations.from_row(row))

    @contextlib.contextmanager
    def picture(
        self, *, model: str = "", week: str = ""
    ) -> Iterator[tuple[list[AuditPeriod], Iterator[AuditMember]]]:
        """The closed periods, and every decision that could have been drawn, all as of one moment.

        The decisions are read as they are taken, those under a budget first; do nothing else with the ledger
        meanwhile. Those without a budget are counted by their first answer in the stratum and week.

        Args:
            model: only of this one; empty: any.
            week: only of this one, such as `2026-W47`; empty: any.

        Raises:
            ValueError: it is no week.
        """
        with database.reading(self._engine) as connection:
            members = itertools.chain(_budgeted(connection, model, week), _others(connection, model, week))
            yield audit_periods.periods(connection, model=model, week=week), members


def _budgeted_query() -> sa.Select[tuple[object, ...]]:
    population, member = audit_schema.audit_populations, audit_schema.audit_members.c
    task = schema.review_tasks.c
    return (
        sa.select(
            population,
            member.decision_id,
            member.key_id,
            member.draw,
            member.late,
            task.state,
            (task.answer_id == member.answer_id).label("own"),
        )
        .join(audit_schema.audit_members, member.population_id == population.c.population_id)
        .outerjoin(
            schema.review_tasks,
            sa.and_(task.decision_id == member.decision_id, task.kind == TaskKind.AUDIT.value),
        )
    )


def _budgeted_member(row: "sa.Row[tuple[object, ...]]", population: AuditPopulation) -> AuditMember:
    values = row._mapping
    return AuditMember(
        population=population,
        decision_id=values["decision_id"],
        key_id=values["key_id"],
        drawn=values["draw"] is not None,
        draw=values["draw"],
        late=values["late"],
        task=TaskState(values["state"]) if values["state"] and values["own"] else None,
        elsewhere=bool(values["state"] and not values["own"]),
    )


def _budgeted(connection: sa.Connection, model: str, week: str) -> Iterator[AuditMember]:
    population = audit_schema.audit_populations.c
    query = _budgeted_query()
    if model:
        query = query.where(population.model == model)
    if week:
        query = query.where(population.week == week)
    known: dict[str, AuditPopulation] = {}
    for row in _streamed(connection, query):
        identity = row.population_id
        if identity not in known:
            known[identity] = audit_populations.from_row(row)
        yield _budgeted_member(row, known[identity])


def _others(connection: sa.Connection, model: str, week: str) -> Iterator[AuditMember]:
    answer, task = schema.answers.c, schema.review_tasks.c
    budgeted = sa.select(audit_schema.audit_members.c.decision_id)
    query = (
        sa.select(
            answer.decision_id,
            answer.decided_at,
            *(answer[name] for name in ("model", "model_version", "source", "band", "action", "intent")),
            answer.audit_rate,
            answer.audit_key_id,
            answer.drawn,
            task.state,
            (task.answer_id == answer.answer_id).label("own"),
        )
        .outerjoin(
            schema.review_tasks,
            sa.and_(task.decision_id == answer.decision_id, task.kind == TaskKind.AUDIT.value),
        )
        .where(answer.audit_rate > 0.0, answer.decision_id.not_in(budgeted))
        .order_by(answer.decision_id, answer.decided_at, answer.answer_id)
    )
    if model:
        query = query.where(answer.model == model)
    if week:
        start = audit.week_start(week)
        query = query.where(answer.decided_at >= start, answer.decided_at < start + audit.WEEK_SECONDS)
    previous, seen = "", set[AuditPopulation]()
    for row in _streamed(connection, query):
        if row.decision_id != previous:
            previous, seen = row.decision_id, set()
        population = AuditPopulation(
            week=audit.week_of(row.decided_at),
            model=row.model,
            model_version=row.model_version,
            source=AnswerSource(row.source),
            band=row.band,
            action=Action(row.action),
            intent=Intent(row.intent),
            audit_rate=row.audit_rate,
            audit_budget=0,
        )
        if population in seen:
            continue
        seen.add(population)
        yield AuditMember(
            population=population,
            decision_id=row.decision_id,
            key_id=row.audit_key_id,
            drawn=row.drawn,
            draw=None,
            late=False,
            task=TaskState(row.state) if row.state and row.own else None,
            elsewhere=bool(row.state and not row.own),
        )


def _streamed(
    connection: sa.Connection, query: sa.Select[tuple[object, ...]]
) -> "Iterator[sa.Row[tuple[object, ...]]]":
    yield from connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query)
