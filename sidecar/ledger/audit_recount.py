"""What an auditor finds: each audit sample counted again, and drawn again from the keys."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sidecar.decision import draws
from sidecar.decision.audit import BottomK
from sidecar.decision.tasks import TaskState
from sidecar.ledger.audit_periods import AuditPeriod
from sidecar.ledger.audit_populations import AuditPopulation
from sidecar.ledger.audit_view import AuditMember

BATCH = 10_000
"""Draws that are gathered before the smallest of them are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A population as it stands.

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


def recount(
    members: Iterable[AuditMember], periods: Iterable[AuditPeriod], keys: Mapping[str, bytes] | None
) -> list[Standing]:
    """The standing of every population that has a member, by week and stratum.

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

    def standing(self) -> Standing:
        """What the members came to."""
        counts = self.counts
        if self.keys is not None and self.population.audit_budget and not counts["unchecked"]:
            self._keep_smallest()
            self.said += self._sample_again()
        return Standing(
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
