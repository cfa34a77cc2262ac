"""Weighted means with their uncertainty, and intervals for an accuracy.

Show Wilson, decide with Clopper-Pearson or, where weights or groups are at work, Korn-Graubard. Never Wald:
at 100 labels and an accuracy of 0.99 its nominal 95 % interval covers 63 % of the time.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedMean:
    """A weighted mean and how sure one may be of it.

    Attributes:
        mean: sum(w x) / sum(w), the Hajek estimate.
        standard_error: linearised, clustered where groups were given; infinite for a single cluster.
        n: rows.
        n_effective: Kish's effective number of rows.
        clusters: distinct groups, or rows where there are no groups.
        clusters_effective: Kish's effective number of clusters, by their summed weights.
    """

    mean: float
    standard_error: float
    n: int
    n_effective: float
    clusters: int
    clusters_effective: float


def n_effective(weights: FloatArray) -> float:
    """Kish's effective sample size, (sum w)^2 / sum w^2; 0 for no rows."""
    if weights.size == 0:
        return 0.0
    scaled = weights / weights.max()
    return float(scaled.sum() ** 2 / (scaled * scaled).sum())


def weighted_mean(
    values: npt.NDArray[Any], weights: FloatArray, groups: npt.NDArray[Any] | None = None
) -> WeightedMean:
    """The weighted mean of `values` (n,) with its linearised standard error.

    The variance is G/(G-1) sum_g (sum_{i in g} w_i (x_i - mean))^2 / (sum w)^2 over the G clusters: the
    sandwich estimate of survey sampling for a ratio mean (Binder 1983), with rows as clusters when there are
    no groups. Rows of one group may therefore depend on each other in any way.

    Args:
        values: (n,) numbers, n >= 1.
        weights: (n,) above 0.
        groups: (n,) keys, or None.
    """
    total = float(weights.sum())
    mean = float((weights * values).sum() / total)
    deviations = weights * (values - mean)
    sums, masses = deviations, weights
    if groups is not None:
        _, codes = np.unique(groups, return_inverse=True)
        sums = np.bincount(codes, weights=deviations).astype(np.float64)
        masses = np.bincount(codes, weights=weights).astype(np.float64)
    clusters = int(sums.size)
    if clusters > 1:
        error = math.sqrt(clusters / (clusters - 1) * float((sums * sums).sum())) / total
    else:
        error = math.inf
    return WeightedMean(
        mean=mean,
        standard_error=error,
        n=int(values.size),
        n_effective=n_effective(weights),
        clusters=clusters,
        clusters_effective=n_effective(masses),
    )


def wilson(correct: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for `correct` of `n` (Wilson 1927); [0, 1] for n = 0."""
    if n <= 0:
        return 0.0, 1.0
    z = float(special.ndtri(0.5 + level / 2.0))
    centre = (correct + z * z / 2.0) / (n + z * z)
    spread = max(correct * (n - correct) / n, 0.0) + z * z / 4.0
    half = z / (n + z * z) * math.sqrt(spread)
    # Exact at the ends, where rounding would leave 1e-17.
    low = 0.0 if correct <= 0 else max(0.0, centre - half)
    return low, 1.0 if correct >= n else min(1.0, centre + half)


def clopper_pearson(correct: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The exact interval for `correct` of `n`, which need not be whole numbers (Clopper and Pearson 1934)."""
    if n <= 0:
        return 0.0, 1.0
    tail = (1.0 - level) / 2.0
    low = 0.0 if correct <= 0 else float(special.betaincinv(correct, n - correct + 1.0, tail))
    high = 1.0 if correct >= n else float(special.betaincinv(correct + 1.0, n - correct, 1.0 - tail))
    return low, high


def korn_graubard(estimate: WeightedMean, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson at the sample size that the design was worth (Korn and Graubard 1998).

    n* = p(1-p)/variance, never more than the number of rows. Where every label agrees the variance says
    nothing and the effective number of clusters stands in for n*.

    Args:
        estimate: the weighted mean of 0/1 labels.
        level: two-sided coverage.
    """
    accuracy = min(max(estimate.mean, 0.0), 1.0)
    variance = estimate.standard_error**2
    spread = accuracy * (1.0 - accuracy)
    size = estimate.clusters_effective if spread <= 0.0 or variance <= 0.0 else spread / variance
    size = min(size, float(estimate.n))
    return clopper_pearson(accuracy * size, size, level)
