"""The rows of a report: domains of decisions, what labels show of each, and the verdict on what it promises."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Literal

import numpy as np

from sidecar.decision.tasks import TaskState
from sidecar.ledger.review_facts import PlannedReview, Unlabelled
from sidecar.policy import model as policy_model
from sidecar.policy.actions import AUTOMATIC_ACTIONS, AnswerSource, TaskKind
from sidecar.policy.model import Band, Category, Model, Promise
from training.measure import post_stratified, verdict
from training.measure.post_stratified import Estimate, Method
from training.measure.verdict import LEAST_EFFECTIVE, PromiseVerdict
from training.report.population import Facet, Population, did_act, facet_of
from training.report.window import WindowFacts

RowKind = Literal["answers", "acted", "band", "category", "cell", "rest"]

MOST_CATEGORIES = 50
"""Rows of categories, by their decisions; a policy that lists none takes any name that a caller sends."""


class NoAnswer(StrEnum):
    """Why a planned review tells nothing."""

    CANNOT_TELL = "cannot tell"
    CONFLICTING = "conflicting"
    UNUSABLE = "unusable"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    DECLINED = "declined"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Maturity:
    """How far the audits of a domain have come.

    Attributes:
        tasks: audit tasks.
        answered: those that were completed.
        waiting: those that wait.
        median_age_seconds: of those that wait; None where none does.
        oldest_age_seconds: likewise.
    """

    tasks: int
    answered: int
    waiting: int
    median_age_seconds: float | None
    oldest_age_seconds: float | None

    @property
    def share(self) -> float | None:
        """The share answered; None where there is no task."""
        return self.answered / self.tasks if self.tasks else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a row is about; the attributes as in `Row`."""

    kind: RowKind
    band: str = ""
    category: str = ""
    action: str = ""
    without: tuple[str, ...] = ()

    def has(self, facet: Facet) -> bool:
        """Whether an answer is one of its decisions."""
        if self.kind == "answers":
            return True
        if self.kind == "rest":
            return not facet.acted and facet.band == self.band and facet.action == self.action
        return (
            facet.acted
            and (self.kind in ("acted", "category") or facet.band == self.band)
            and (self.kind not in ("category", "cell") or facet.category == self.category)
            and facet.category not in self.without
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A domain of decisions.

    Attributes:
        kind: `answers` (all), `acted` (all that acted), `band`, `category`, `cell` (a band in a category), or
            `rest` (a band's decisions that did not act, by action).
        band: its name; empty: every band, or none.
        category: in its normal form; empty: every category.
        action: of a `rest` row; else empty.
        without: categories that the row leaves out, since they have a promise or bands of their own.
        decisions: exactly how many there are.
        drawn: how many of them were drawn for audit.
        maturity: how far their audits have come.
        estimate: of the share that is correct, from labels that were drawn.
        naive: the plain mean of all labels, drawn or not, which is no estimate; None where there are none.
        naive_labels: how many those are.
        edge: the band's lower edge; None where there is no single one.
        mean_confidence: the mean calibrated confidence of the decisions that the primary's answer decided;
            None where there is none.
        verdict: on the promise; None where nothing is promised.
        no_answers: how many planned reviews tell nothing, by reason.
        worst: the estimate if all of them said wrong, and if all said right; None where nothing was planned.
    """

    kind: RowKind
    band: str
    category: str
    action: str
    without: tuple[str, ...]
    decisions: int
    drawn: int
    maturity: Maturity
    estimate: Estimate
    naive: float | None
    naive_labels: int
    edge: float | None
    mean_confidence: float | None
    verdict: PromiseVerdict | None
    no_answers: dict[NoAnswer, int]
    worst: tuple[float, float] | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the estimate, of the kind that a verdict rests on; None: there is no label."""
        if self.estimate.mean is None:
            return None
        return self.estimate.shown() if self.verdict is None else self.estimate.decisive()

    @property
    def method(self) -> Method:
        """The kind of `interval`."""
        return self.estimate.method_shown if self.verdict is None else self.estimate.method_decisive


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The rows.

    Attributes:
        answers: all live decisions. `acted`: those that acted.
        bands: one for each band whose decisions act.
        categories: one for each category with decisions that acted.
        cells: a band in a category, where it has a promise or bands of its own, or 30 effective labels; none
            where one category is all that there is.
        rest: what did not act, by band and final action.
        unshown: how many categories have no row, being beyond the 50 with the most decisions.
    """

    answers: Row
    acted: Row
    bands: tuple[Row, ...]
    categories: tuple[Row, ...]
    cells: tuple[Row, ...]
    rest: tuple[Row, ...]
    unshown: int


def build(facts: WindowFacts, population: Population) -> Tables:
    """The rows of a population."""
    entry = facts.entry
    listed = policy_model.listed(entry)
    volume: Counter[str] = Counter()
    for count in population.counts:
        if did_act(count, population.observes):
            volume[count.category] += count.n
    ranked = sorted(volume, key=lambda name: (-volume[name], name))
    apart = frozenset(
        name
        for name, each in listed.items()
        if name in volume and (each.promise is not None or each.bands is not None)
    )
    shown = sorted({*ranked[:MOST_CATEGORIES], *apart})
    return Tables(
        answers=row(facts, population, Subject(kind="answers")),
        acted=row(facts, population, Subject(kind="acted")),
        bands=tuple(_band(facts, population, name, band, apart) for name, band in _acting(entry, population)),
        categories=tuple(
            row(
                facts,
                population,
                Subject(kind="category", category=name),
                promise=listed[name].promise if name in listed else None,
            )
            for name in shown
        ),
        cells=tuple(_cells(facts, population, shown, listed, apart)) if len(volume) > 1 or apart else (),
        rest=tuple(_rest(facts, population)),
        unshown=len(volume) - len(shown),
    )


def _acting(entry: Model, population: Population) -> Iterator[tuple[str, Band | None]]:
    """The bands that act under the policy, from the top, and then those that acted under an earlier one."""
    known = {band.name: band for band in entry.bands if band.action in AUTOMATIC_ACTIONS}
    yield from known.items()
    own = {band.name for each in entry.categories.values() for band in each.bands or ()}
    acted = {count.band for count in population.counts if did_act(count, population.observes)}
    for name in sorted(acted - known.keys() - own):
        yield name, None


def _band(
    facts: WindowFacts, population: Population, name: str, band: Band | None, apart: frozenset[str]
) -> Row:
    subject = Subject(kind="band", band=name, without=tuple(sorted(apart)))
    if band is None:
        return row(facts, population, subject)
    promise = policy_model.promise_of(band, None)
    return row(facts, population, subject, edge=float(band.from_), promise=promise)


def _cells(
    facts: WindowFacts,
    population: Population,
    shown: Sequence[str],
    listed: Mapping[str, Category],
    apart: frozenset[str],
) -> Iterator[Row]:
    present = {
        (count.category, count.band) for count in population.counts if did_act(count, population.observes)
    }
    for name in shown:
        category = listed.get(name)
        for band in policy_model.bands_of(facts.entry, category):
            if (name, band.name) not in present:
                continue
            subject = Subject(kind="cell", band=band.name, category=name)
            promise = policy_model.promise_of(band, category)
            cell = row(facts, population, subject, edge=float(band.from_), promise=promise)
            if name in apart or cell.estimate.n_effective >= LEAST_EFFECTIVE:
                yield cell


def _rest(facts: WindowFacts, population: Population) -> Iterator[Row]:
    present = {
        (count.band, count.action) for count in population.counts if not did_act(count, population.observes)
    }
    for name, action in sorted(present):
        yield row(facts, population, Subject(kind="rest", band=name, action=action.value))


def row(
    facts: WindowFacts,
    population: Population,
    subject: Subject,
    *,
    edge: float | None = None,
    promise: Promise | None = None,
) -> Row:
    """The row of a subject.

    Args:
        facts: of the window.
        population: of which the subject's decisions are a part.
        subject: which decisions.
        edge: as in `Row`.
        promise: what is promised of them; None: nothing.
    """
    part = population.part(subject.has)
    estimate = post_stratified.estimate(population.sample, part.labels, part.sizes)
    outcomes = [float(population.labelled[position].correct) for position in np.flatnonzero(part.labels)]
    outcomes += [float(each.correct) for each in part.undrawn]
    primary = [count for count in part.counts if count.source is AnswerSource.PRIMARY]
    calibrated = sum(count.n_calibrated for count in primary)
    audits = [
        each
        for each in population.reviews
        if each.kind is TaskKind.AUDIT and subject.has(facet_of(each, population.observes))
    ]
    reasons = Counter(
        no_answer(each, facts.unlabelled)
        for each, inside in zip(population.silent, part.missing, strict=True)
        if inside
    )
    return Row(
        kind=subject.kind,
        band=subject.band,
        category=subject.category,
        action=subject.action,
        without=subject.without,
        decisions=sum(count.n for count in part.counts),
        drawn=sum(count.n_drawn for count in part.counts),
        maturity=maturity(audits, as_of=facts.window.as_of),
        estimate=estimate,
        naive=float(np.mean(outcomes)) if outcomes else None,
        naive_labels=len(outcomes),
        edge=edge,
        mean_confidence=sum(count.calibrated_sum for count in primary) / calibrated if calibrated else None,
        verdict=None if promise is None else verdict.judge(estimate, promise, today=facts.window.today),
        no_answers={reason: reasons[reason] for reason in NoAnswer if reasons[reason]},
        worst=post_stratified.bounds(population.sample, population.missing, part.labels, part.missing),
    )


def maturity(audits: Sequence[PlannedReview], *, as_of: float) -> Maturity:
    """How far these audit tasks have come."""
    ages = [as_of - each.created_at for each in audits if each.state is TaskState.OPEN]
    return Maturity(
        tasks=len(audits),
        answered=sum(each.state is TaskState.COMPLETED for each in audits),
        waiting=len(ages),
        median_age_seconds=median(ages) if ages else None,
        oldest_age_seconds=max(ages) if ages else None,
    )


def no_answer(review: PlannedReview, unlabelled: dict[str, Unlabelled]) -> NoAnswer:
    """Why a planned review tells nothing."""
    if review.state is TaskState.EXPIRED:
        return NoAnswer.EXPIRED
    if review.state is TaskState.WITHDRAWN:
        return NoAnswer.WITHDRAWN
    if review.state is TaskState.OPEN:
        return NoAnswer.DECLINED if review.declined else NoAnswer.UNANSWERED
    known = unlabelled.get(review.decision_id)
    return NoAnswer.UNUSABLE if known is None else NoAnswer[known.silence.name]
