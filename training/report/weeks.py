"""The accuracy of each band week by week: what a single number over the window would hide."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from sidecar import times
from sidecar.decision import audit
from training.measure import post_stratified
from training.measure.intervals import FloatArray
from training.measure.post_stratified import Estimate, Sample
from training.report.population import Population, StratumKey, key_of, sizes_of
from training.report.rows import Row
from training.report.window import WindowFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekPoint:
    """A band in an ISO week (UTC): the week, its Monday, and the estimate of what was decided in it.

    Its number of decisions is about right only where categories are left out: the ledger keeps no count of a
    category and day, so their share of the whole window is taken.
    """

    week: str
    monday: date
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class BandWeeks:
    """A band's weeks, oldest first: those in which it acted."""

    band: str
    points: tuple[WeekPoint, ...]


def of(facts: WindowFacts, population: Population, bands: Sequence[Row]) -> tuple[BandWeeks, ...]:
    """The decisions of each band's row, by the week in which they were decided."""
    versions = {key.model_version for key in population.keys}
    strata = [each for each in facts.strata if each.model_version in versions]
    weeks = sorted({_week(each.day) for each in strata})
    sizes: dict[tuple[str, StratumKey], float] = {}
    for week in weeks:
        own = sizes_of((each for each in strata if _week(each.day) == week), observes=population.observes)
        sizes |= {(week, key): size for key, size in own.items()}
    index = {key: position for position, key in enumerate(sizes)}
    place = {key: position for position, key in enumerate(population.keys)}
    of_key = np.array([place[key] for _, key in sizes], dtype=np.int64)
    keys = [
        (audit.week_of(each.decision.decided_at), key_of(each.decision, population.observes))
        for each in population.labelled
    ]
    sample = Sample(
        stratum=np.array([index.get(key, len(sizes)) for key in keys], dtype=np.int64),
        correct=population.sample.correct,
        propensity=population.sample.propensity,
        sizes=np.array(list(sizes.values()), dtype=np.float64),
        groups=population.sample.groups,
    )
    found = []
    for row in bands:
        points = []
        held = _held(population, row)
        apart = np.array(
            [each.decision.query.category in row.without for each in population.labelled], dtype=bool
        )
        for week in weeks:
            inside = np.array(
                [when == week and key.acted and key.band == row.band for when, key in sizes], dtype=bool
            )
            if inside.any():
                estimate = post_stratified.estimate(
                    sample,
                    inside[sample.stratum] & ~apart,
                    np.where(inside, sample.sizes * held[of_key], 0.0),
                )
                monday = times.day_of(audit.week_start(week))
                points.append(WeekPoint(week=week, monday=monday, estimate=estimate))
        found.append(BandWeeks(band=row.band, points=tuple(points)))
    return tuple(found)


def _held(population: Population, row: Row) -> FloatArray:
    """(h,) the share of each stratum that is of a band's row: categories are counted over the whole window."""
    part = population.part(
        lambda facet: facet.acted and facet.band == row.band and facet.category not in row.without
    )
    return part.sizes / population.sample.sizes


def _week(day: date) -> str:
    return audit.week_of(times.start_of(day))
