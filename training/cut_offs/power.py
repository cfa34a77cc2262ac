"""How many labels it takes to certify a cut-off."""

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from scipy import stats

from training.cut_offs.testing import Sequence

POWER = 0.8
MOST_LABELS = 1_000_000
MANY_LABELS = 4000
"""From here on the normal approximation of the binomial is as good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """What is missing until a cut-off can be expected to pass.

    Attributes:
        cut_off: the one that needs the fewest further labels, at the accuracy seen so far.
        n: labels from it on.
        wrong: how many of them are wrong.
        accuracy: of those, with half a right and half a wrong one added, so that few labels promise little.
        further: so many more are needed from it on; None: at this accuracy no number is enough.
    """

    cut_off: Decimal
    n: int
    wrong: int
    accuracy: float
    further: int | None


def labels_needed(error_rate: float, *, alpha: float, delta: float, power: float = POWER) -> int | None:
    """The labels with which the exact test passes with that probability; None beyond a million, or never.

    Args:
        error_rate: that the answers really have.
        alpha: the error rate that is promised.
        delta: the level of the test.
        power: the probability of passing.
    """
    if error_rate >= alpha:
        return None
    spread = stats.norm.isf(delta) * math.sqrt(alpha * (1.0 - alpha))
    spread += stats.norm.ppf(power) * math.sqrt(error_rate * (1.0 - error_rate))
    about = (float(spread) / (alpha - error_rate)) ** 2
    if about > MOST_LABELS:
        return None
    if about > MANY_LABELS:
        return round(about)
    n = np.arange(1, 2 * MANY_LABELS)
    # The most errors with which n labels still pass: the quantile, or one less.
    most = np.asarray(stats.binom.ppf(delta, n, alpha))
    most = most - (np.asarray(stats.binom.cdf(most, n, alpha)) > delta)
    enough = np.flatnonzero(np.asarray(stats.binom.cdf(most, n, error_rate)) >= power)
    return int(n[enough[0]]) if enough.size else round(about)


def shortfall(
    cut_offs: tuple[Decimal, ...], found: Sequence, *, alpha: float, delta: float
) -> Shortfall | None:
    """What is missing where nothing passed; None where there is no label at all.

    The cut-off that needs the fewest further labels is meant, at the accuracy seen so far: an estimate, and a
    hopeful one, since the luckiest cut-off is picked.
    """
    candidates = []
    for cut_off, n, wrong in zip(cut_offs, found.n.tolist(), found.wrong.tolist(), strict=True):
        if n:
            accuracy = (n - wrong + 0.5) / (n + 1)
            needed = labels_needed(1.0 - accuracy, alpha=alpha, delta=delta)
            further = None if needed is None else max(needed - n, 1)
            candidates.append(
                Shortfall(cut_off=cut_off, n=n, wrong=wrong, accuracy=accuracy, further=further)
            )
    reachable = [each for each in candidates if each.further is not None]
    if reachable:
        return min(reachable, key=lambda each: each.further or 0)
    # The most accurate cut-off of those with labels enough to say anything, else the one with the most.
    solid = [each for each in candidates if each.n >= 30] or candidates[-1:]
    return max(solid, key=lambda each: each.accuracy, default=None)
