"""What an auditor reads: every decision that could have been drawn, counted again, and drawn again from the keys."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec
import sqlalchemy as sa

from sidecar.decision import audit, draws
from sidecar.decision.audit import BottomK
from sidecar.decision.records import Decision
from sidecar.decision.tasks import TaskState
from sidecar.ledger import audit_periods, schema
from sidecar.ledger.audit_periods import AuditPeriod, AuditPopulation
from sidecar.policy.actions import Action, AnswerSource, Intent, TaskKind

ROWS_AT_ONCE = 2000
BATCH = 10_000
"""Draws that are gathered before the smallest of them are kept."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationCount:
    """A population as it stands: what was counted, and what of it was drawn again.

    Attributes:
        population: the stratum and week.
        period: what its closing wrote; None before that, and where there is no budget.
        n: decisions that came in time. `n_drawn`: those of them that the rate drew. `n_late`: the others.
        n_tasks: audit tasks of its answers. `n_completed`: those that are done.
        disagreements: what the keys, or a count, say otherwise, a sentence each; empty if nothing was drawn again.
        n_unchecked: decisions whose draw could not be made again, since their key is not known.
    """

    population: AuditPopulation
    period: AuditPeriod | None
    n: int
    n_drawn: int
    n_late: int
    n_tasks: int
    n_completed: int
    disagreements: tuple[str, ...]
    n_unchecked: int


def member(connection: sa.Connection, answer: Decision) -> AuditMember | None:
    """The decision of an answer in the population of that answer; None where it is under no budget."""
    wanted = schema.audit_members.c
    query = _budgeted_query().where(
        wanted.population_id == AuditPopulation.of(answer).population_id,
        wanted.decision_id == answer.decision_id,
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _budgeted_member(row, audit_periods.population_of(row))


def members(connection: sa.Connection, *, model: str = "", week: str = "") -> Iterator[AuditMember]:
    """Every decision that could have been drawn.

    They are read as they are taken, those under a budget first; do nothing else over the connection meanwhile. Those
    without a budget are counted by their first answer in the stratum and week.

    Args:
        connection: in a transaction, until the last one was taken.
        model: only of this one; empty: any.
        week: only of this one, such as `2026-W47`; empty: any.

    Raises:
        ValueError: it is no week.
    """
    yield from _budgeted(connection, model, week)
    yield from _others(connection, model, week)


def _budgeted_query() -> sa.Select[tuple[object, ...]]:
    population, member = schema.audit_populations, schema.audit_members.c
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
        .join(schema.audit_members, member.population_id == population.c.population_id)
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
    population = schema.audit_populations.c
    query = _budgeted_query()
    if model:
        query = query.where(population.model == model)
    if week:
        query = query.where(population.week == week)
    known: dict[str, AuditPopulation] = {}
    for row in _streamed(connection, query):
        identity = row.population_id
        if identity not in known:
            known[identity] = audit_periods.population_of(row)
        yield _budgeted_member(row, known[identity])


def _others(connection: sa.Connection, model: str, week: str) -> Iterator[AuditMember]:
    answer, task = schema.answered.c, schema.review_tasks.c
    budgeted = sa.select(schema.audit_members.c.decision_id)
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


def recount(
    members: Iterable[AuditMember], periods: Iterable[AuditPeriod], keys: Mapping[str, bytes] | None
) -> list[PopulationCount]:
    """The count of every population that has a member, by week and stratum.

    Args:
        members: in any order, each decision once for each of its populations.
        periods: the closed ones, of all these populations.
        keys: that draw, by id; None: count only.
    """
    closed = {period.population: period for period in periods}
    tallies: dict[AuditPopulation, _Tally] = {}
    tally: _Tally | None = None
    for member in members:
        if tally is None or tally.population is not member.population:
            tally = tallies.get(member.population)
        if tally is None:
            tally = tallies[member.population] = _Tally(
                member.population, closed.get(member.population), keys
            )
        tally.add(member)
    found = [tally.standing() for tally in tallies.values()]
    found.sort(key=lambda each: _order(each.population))
    return found


def _order(population: AuditPopulation) -> tuple[object, ...]:
    return tuple(getattr(population, name) for name in AuditPopulation.__struct_fields__)


@dataclass(slots=True)
class _Tally:
    """The counts of one population while its members go by."""

    population: AuditPopulation
    period: AuditPeriod | None
    keys: Mapping[str, bytes] | None
    counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    said: list[str] = field(default_factory=list)
    with_task: set[str] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)
    waiting: list[tuple[float, str]] = field(default_factory=list)
    sample: BottomK | None = None

    def add(self, member: AuditMember) -> None:
        """Counts a member, and draws again."""
        counts = self.counts
        counts["late" if member.late else "n"] += 1
        counts["drawn"] += member.drawn and not member.late
        if member.task is not None:
            counts["tasks"] += 1
            counts["completed"] += member.task is TaskState.COMPLETED
            self.with_task.add(member.decision_id)
        if member.elsewhere:
            self.elsewhere.add(member.decision_id)
        if self.keys is not None:
            self._draw_again(member, self.keys)

    def _draw_again(self, member: AuditMember, keys: Mapping[str, bytes]) -> None:
        key = keys.get(member.key_id)
        if key is None:
            self.counts["unchecked"] += 1
            return
        name, rate = f"decision {member.decision_id}", self.population.audit_rate
        draw = draws.audit_draw(key, member.decision_id)
        if member.drawn != (draw < rate):
            said = "drawn" if member.drawn else "not drawn"
            self.said.append(f"{name} is recorded as {said}; its draw is {draw:.6f} at rate {rate:g}")
        elif member.draw is not None and member.draw != draw:
            self.said.append(f"{name}: the recorded draw is {member.draw!r}, and the key's is {draw!r}")
        if not self.population.audit_budget:
            if member.drawn and member.task is None and not member.elsewhere:
                self.said.append(f"{name} was drawn, and has no audit task")
        elif not member.late:
            self.waiting.append((draw, member.decision_id))
            if len(self.waiting) >= BATCH:
                self._keep_smallest()

    def _keep_smallest(self) -> None:
        rate, budget = self.population.audit_rate, self.population.audit_budget
        fresh = BottomK.of(self.waiting, rate=rate, budget=budget)
        self.sample = fresh if self.sample is None else self.sample.merge(fresh)
        self.waiting.clear()

    def standing(self) -> PopulationCount:
        """What the members came to."""
        counts = self.counts
        if self.keys is not None and self.population.audit_budget and not counts["unchecked"]:
            self._keep_smallest()
            self.said += self._sample_again()
        return PopulationCount(
            population=self.population,
            period=self.period,
            n=counts["n"],
            n_drawn=counts["drawn"],
            n_late=counts["late"],
            n_tasks=counts["tasks"],
            n_completed=counts["completed"],
            disagreements=tuple(self.said),
            n_unchecked=counts["unchecked"],
        )

    def _sample_again(self) -> Iterator[str]:
        period, sample = self.period, self.sample
        if period is None or sample is None:
            for decision_id in sorted(self.with_task):
                yield f"decision {decision_id} has an audit task, and its period is not closed"
            return
        again = {
            "N": (period.n, self.counts["n"]),
            "drawn": (period.n_drawn, self.counts["drawn"]),
            "sampled": (period.n_sampled, len(sample.sampled)),
            "tau": (period.tau, sample.tau),
        }
        for name, (written, found) in again.items():
            if written != found:
                yield f"{name} was {written!r} when the period was closed, and is {found!r} now"
        sampled = set(sample.sampled)
        for decision_id in sorted(sampled - self.with_task - self.elsewhere):
            yield f"decision {decision_id} is in the sample, and has no audit task"
        for decision_id in sorted(self.with_task - sampled):
            yield f"decision {decision_id} has an audit task, and is not in the sample"
