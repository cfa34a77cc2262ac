"""E-values: evidence kept as its logarithm, said as odds, summed over strata; and what no detector takes in.

An e-value is what an e-process is *worth now* (or was when its stream ended), not the most it ever was: the running
maximum controls each stream alone and has no expectation of 1, so neither rule over many strata may be fed it.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training import errors
from training.measure.intervals import FloatArray

BEYOND = 1e9
"""To one: more evidence than this is no news."""


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


def odds(log_e: float) -> str:
    """`12 : 1` for ln 12."""
    return f"{shown(log_e)} : 1"


def shown(log_e: float) -> str:
    """`12` for ln 12: whole from ten on, two digits below, and `over 1,000,000,000` where more is no news."""
    if log_e >= math.log(BEYOND):
        return f"over {BEYOND:,.0f}"
    value = math.exp(log_e)
    return f"{value:,.0f}" if value >= 9.5 else f"{value:.2g}"


def e_benjamini_hochberg(log_e_values: npt.ArrayLike, level: float) -> tuple[int, ...]:
    """The positions of the strata to name, such that few of those named are false: the e-BH procedure.

    It names the k largest for the largest k whose k-th e-value is at least K/(k level) (Wang and Ramdas 2022).
    What it controls is the false discovery rate: of the strata named, the share whose hypothesis holds is on
    average at most `level`, under any dependence. It does not bound the chance of any false name: that is what
    the threshold of each stream alone (per stream) or `log_mean_e_value` (over all) is for.

    Args:
        log_e_values: (K,) the logarithm of an e-value each; +-infinity is a value, NaN is not.
        level: of the false discovery rate, strictly between 0 and 1.

    Returns:
        Positions in ascending order; none for K = 0.

    Raises:
        DataRefused: a value is not a number, or they do not stand in one row.
        RequestRefused: the level is not as described.
    """
    values = _row(log_e_values)
    between_zero_and_one(level, "the level")
    order = np.argsort(-values, kind="stable")
    ranks = np.arange(1, values.size + 1)
    enough = values[order] >= math.log(max(values.size, 1)) - np.log(ranks * level)
    named = int(ranks[enough].max()) if bool(enough.any()) else 0
    return tuple(sorted(order[:named].tolist()))


def log_mean_e_value(log_e_values: npt.ArrayLike) -> float:
    """The log of the mean of e-values: an e-value of the hypothesis that *every* stratum keeps its promise.

    The mean is one under any dependence (Vovk and Wang 2021). Where each stratum's null hypothesis holds given
    all that was seen in every stratum, the mean of their e-processes is an e-process, too: an alarm at 1/alpha
    is false with probability at most alpha, however often it is looked at. It says that something is wrong, not
    where, and a single stratum among K has to overcome a factor of K.

    Args:
        log_e_values: (K,) the logarithm of an e-value each; +-infinity is a value, NaN is not.

    Returns:
        The logarithm; 0 (no evidence) for K = 0.

    Raises:
        DataRefused: a value is not a number, or they do not stand in one row.
    """
    values = _row(log_e_values)
    if values.size == 0:
        return 0.0
    return log_mean(values.tolist())


def between_zero_and_one(value: float, name: str) -> float:
    """The value, if it lies strictly between 0 and 1.

    Raises:
        RequestRefused: it does not.
    """
    number = float(value)
    if not 0.0 < number < 1.0:
        raise errors.RequestRefused(f"{name} is {value}: it must lie strictly between 0 and 1")
    return number


def outcome(value: float) -> bool:
    """Whether the answer was right, from a bool or from exactly 0 or 1.

    Raises:
        DataRefused: it is something else; a share or a weight is no outcome.
    """
    if value not in (0, 1):
        raise errors.DataRefused(f"an outcome is {value!r}: it must be 1 (correct) or 0 (wrong)")
    return bool(value)


def counts(values: npt.ArrayLike, name: str) -> FloatArray:
    """Whole numbers, not negative.

    Raises:
        DataRefused: one is not; the evidence counts labels, never weights.
    """
    array = np.asarray(values, dtype=np.float64)
    if not bool(np.all((array >= 0.0) & (array == np.floor(array)) & np.isfinite(array))):
        raise errors.DataRefused(f"{name} must be a count of labels: whole and not negative")
    return array


def _row(log_e_values: npt.ArrayLike) -> FloatArray:
    values = np.asarray(log_e_values, dtype=np.float64)
    if values.ndim != 1 or bool(np.isnan(values).any()):
        raise errors.DataRefused("the logarithms of e-values must be one row of numbers")
    return values
