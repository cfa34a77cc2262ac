"""Sums of numbers that are kept as their logarithms, because evidence outgrows a float."""

import math
from collections.abc import Sequence


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
    # Not scipy's logsumexp, which takes a hundred times as long for a handful of numbers.
    top = max(values)
    if math.isinf(top):
        return top
    weights = [1.0 / len(values)] * len(values) if shares is None else shares
    pairs = zip(values, weights, strict=True)
    return top + math.log(math.fsum(weight * math.exp(value - top) for value, weight in pairs))
