"""Sums of numbers that are kept as their logarithms, because evidence outgrows a float."""

import math
from collections.abc import Sequence

from scipy import special


def log1p_exp(value: float) -> float:
    """ln(1 + e^value), without overflow; 0 for -infinity."""
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def log_expm1(value: float) -> float:
    """ln(e^value - 1) for value >= 0, without overflow; -infinity for 0."""
    return value + math.log(-math.expm1(-value)) if value > 0.0 else -math.inf


def log_mean(values: Sequence[float], shares: Sequence[float] | None = None) -> float:
    """The log of the mean of e^value.

    Args:
        values: at least one; +-infinity is a value.
        shares: the weight of each, summing to 1; None means equal ones.
    """
    if shares is not None:
        return float(special.logsumexp(values, b=shares))
    return float(special.logsumexp(values)) - math.log(len(values))
