"""The rows of a report: a domain of decisions, what labels show of it, and the verdict on what it promises."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from statistics import median

import numpy as np

from sidecar.decision.tasks import TaskState
from sidecar.ledger.review_facts import PlannedReview, Unlabelled
from sidecar.policy.actions import AnswerSource, TaskKind
from sidecar.policy.model import Promise
from training.measure import non_response, post_stratified, verdict
from training.measure.post_stratified import Estimate
from training.measure.verdict import Verdict
from training.report.population import Domain, Population, facet_of


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

    kind: str
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
    verdict: Verdict | None
    no_answers: dict[NoAnswer, int]
    worst: tuple[float, float] | None


def row(
    population: Population,
    domain: Domain,
    *,
    kind: str,
    as_of: float,
    today: date,
    unlabelled: dict[str, Unlabelled],
    band: str = "",
    category: str = "",
    action: str = "",
    without: Sequence[str] = (),
    edge: float | None = None,
    promise: Promise | None = None,
) -> Row:
    """The row of a domain.

    Args:
        population: of which it is a part.
        domain: which decisions.
        kind: of the row.
        as_of: in seconds since the epoch, for ages.
        today: for promises with a day.
        unlabelled: why completed reviews tell nothing.
        band: as in `Row`; the remaining ones likewise.
        category: see there.
        action: see there.
        without: see there.
        edge: see there.
        promise: what is promised of the domain; None: nothing.
    """
    part = population.part(domain)
    found = post_stratified.estimate(population.sample, part.labels, part.sizes)
    told = [float(population.labelled[position].correct) for position in np.flatnonzero(part.labels)]
    told += [float(each.correct) for each in part.undrawn]
    primary = [count for count in part.counts if count.source is AnswerSource.PRIMARY]
    calibrated = sum(count.n_calibrated for count in primary)
    reviews = [
        each
        for each in population.reviews
        if each.kind is TaskKind.AUDIT and domain(facet_of(each, population.observes))
    ]
    reasons = Counter(
        no_answer(each, unlabelled)
        for each, inside in zip(population.silent, part.missing, strict=True)
        if inside
    )
    return Row(
        kind=kind,
        band=band,
        category=category,
        action=action,
        without=tuple(without),
        decisions=sum(count.n for count in part.counts),
        drawn=sum(count.n_drawn for count in part.counts),
        maturity=maturity(reviews, as_of=as_of),
        estimate=found,
        naive=float(np.mean(told)) if told else None,
        naive_labels=len(told),
        edge=edge,
        mean_confidence=sum(count.calibrated_sum for count in primary) / calibrated if calibrated else None,
        verdict=None if promise is None else verdict.judge(found, promise, today=today),
        no_answers={reason: reasons[reason] for reason in NoAnswer if reasons[reason]},
        worst=non_response.bounds(population.sample, population.missing, part.labels, part.missing),
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
