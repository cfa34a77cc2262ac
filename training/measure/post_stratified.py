"""The post-stratified estimate of an accuracy, for all decisions or for a domain of them, with its intervals."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from training.measure import intervals
from training.measure.intervals import FloatArray, WeightedMean
from training.measure.sample import BoolArray, Sample

Method = Literal["Wilson", "Clopper-Pearson", "Korn-Graubard", "none"]
EQUAL = 1e-9
"""Weights that differ by less than this share are equal: the rest is rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A share of the decisions of a domain, and how sure one may be of it.

    An interval covers the whole domain: of strata that have decisions and not one label nothing is known, so
    their share is taken as all wrong at the lower end and as all right at the upper one.

    Attributes:
        decisions: how many decisions the domain has.
        labels: how many of them are labelled with a known probability.
        mean: over the strata that have labels; None where there is no label.
        equal: whether all labels weigh the same and none depends on another.
        uncovered: the share of the domain in strata without a label, in [0, 1].
    """

    decisions: int
    labels: int
    mean: WeightedMean | None
    equal: bool
    uncovered: float

    @property
    def value(self) -> float | None:
        """The estimate, for the labelled strata; None where there is no label."""
        return None if self.mean is None else self.mean.mean

    @property
    def n_effective(self) -> float:
        """Kish's effective number of labels, or of groups of them; 0 where there is none."""
        return 0.0 if self.mean is None else self.mean.clusters_effective

    @property
    def size(self) -> float:
        """The number of plain labels that the labels are worth, which is what the decisive interval rests on."""
        if self.mean is None:
            return 0.0
        spread, variance = self.mean.mean * (1.0 - self.mean.mean), self.mean.standard_error**2
        if self.equal:
            return float(self.labels)
        return self.n_effective if spread <= 0.0 else min(spread / variance, float(self.labels))

    @property
    def method_shown(self) -> Method:
        """Which interval `shown` is."""
        return "none" if self.mean is None else "Wilson" if self.equal else "Korn-Graubard"

    @property
    def method_decisive(self) -> Method:
        """Which interval `decisive` is."""
        return "none" if self.mean is None else "Clopper-Pearson" if self.equal else "Korn-Graubard"

    def shown(self, level: float = 0.95) -> tuple[float, float]:
        """The interval for people: Wilson where the labels weigh the same, Korn-Graubard where they differ."""
        if self.mean is None:
            return 0.0, 1.0
        if not self.equal:
            return self.decisive(level)
        return self._whole(intervals.wilson(float(round(self.mean.mean * self.labels)), self.labels, level))

    def decisive(self, level: float = 0.95) -> tuple[float, float]:
        """The interval for verdicts: Clopper-Pearson where the labels weigh the same, else Korn-Graubard."""
        if self.mean is None:
            return 0.0, 1.0
        if self.equal:
            correct = float(round(self.mean.mean * self.labels))
            return self._whole(intervals.clopper_pearson(correct, self.labels, level))
        return self._whole(intervals.korn_graubard(self.mean, level))

    def _whole(self, interval: tuple[float, float]) -> tuple[float, float]:
        covered = 1.0 - self.uncovered
        return interval[0] * covered, min(1.0, interval[1] * covered + self.uncovered)


def estimate(
    sample: Sample, domain: BoolArray | None = None, domain_sizes: FloatArray | None = None
) -> Estimate:
    """The estimated share of right answers among the decisions of a domain.

    Over whole strata it is the post-stratified mean, sum_h (N_h / N) mean_h. A domain that cuts through strata,
    as a category does, is a ratio of two such estimates (Hajek).

    Args:
        sample: the labels and their strata.
        domain: (n,) which labels are of the domain; None: all.
        domain_sizes: (h,) the exact number of the domain's decisions in each stratum; None: the strata's.
    """
    sizes = sample.sizes if domain_sizes is None else domain_sizes
    chosen = np.ones(sample.stratum.size, dtype=bool) if domain is None else domain
    labelled = np.bincount(sample.stratum[chosen], minlength=sizes.size)
    decisions, blank, labels = float(sizes.sum()), float(sizes[labelled == 0].sum()), int(labelled.sum())
    if not labels:
        return Estimate(
            decisions=round(decisions), labels=0, mean=None, equal=True, uncovered=1.0 if decisions else 0.0
        )
    weights = sample.weights
    own = weights[chosen]
    mean = intervals.weighted_mean(
        sample.correct[chosen], own, None if sample.groups is None else sample.groups[chosen]
    )
    return Estimate(
        decisions=round(decisions),
        labels=labels,
        mean=replace(mean, standard_error=_standard_error(sample, chosen, weights, mean)),
        equal=bool(np.ptp(own) <= EQUAL * own.max()) and mean.clusters == labels,
        uncovered=blank / decisions if decisions else 0.0,
    )


def _standard_error(sample: Sample, chosen: BoolArray, weights: FloatArray, mean: WeightedMean) -> float:
    """That of the post-stratified ratio, linearised, and never one that too few labels make too small.

    The linearised variance is that of the residuals about the means of their strata (Sarndal, Swensson and
    Wretman 1992, section 7.6), summed over groups. Where the stratum that weighs most has few labels, and they
    happen to agree, it is far too small: with 31 labels for nine tenths of the decisions, Korn-Graubard then
    covers 59 % of the time at a nominal 95 %. So the variance is at least the smaller of two careful ones: that
    of a plain sample of Kish's effective size, and that of the strata with one right and one wrong label added
    to each, with which the same case covers 98 %.
    """
    strata = sample.stratum
    total = float(weights[chosen].sum())
    residual = np.where(chosen, sample.correct - mean.mean, 0.0)
    held = np.bincount(strata, weights=weights, minlength=sample.sizes.size)
    held[held <= 0.0] = 1.0
    centre = np.bincount(strata, weights=weights * residual, minlength=held.size) / held
    scores = weights * (residual - centre[strata]) / total
    if sample.groups is not None:
        codes = np.unique(sample.groups, return_inverse=True)[1]
        scores = np.bincount(codes, weights=scores).astype(np.float64)
    touched = np.bincount(strata[chosen], minlength=held.size) > 0
    free = mean.clusters - int(touched.sum())
    linearised = float((scores * scores).sum()) * mean.clusters / free if free > 0 else 0.0
    plain = mean.mean * (1.0 - mean.mean) / mean.clusters_effective
    return math.sqrt(max(linearised, min(plain, _careful_variance(sample, chosen, weights, mean))))


def _careful_variance(sample: Sample, chosen: BoolArray, weights: FloatArray, mean: WeightedMean) -> float:
    """The variance of independent strata, each with one right and one wrong label more than it has."""
    strata, own = sample.stratum[chosen], weights[chosen]
    mass = np.bincount(strata, weights=own)
    used = mass > 0.0
    mass = mass[used]
    squares = np.bincount(strata, weights=own * own)[used]
    right = np.bincount(strata, weights=own * sample.correct[chosen])[used] / mass
    # Labels of one group count for as little here as they do over all.
    size = mass * mass / squares * (mean.clusters_effective / mean.n_effective)
    smoothed = (size * right + 1.0) / (size + 2.0)
    shares = mass / mass.sum()
    return float((shares * shares * smoothed * (1.0 - smoothed) / size).sum())
