"""One verdict over many strata, from an e-value each; they may depend on one another in any way.

An e-value is what an e-process is *worth now* (or was when its stream ended), not the most it ever was: the
running maximum controls each stream alone and has no expectation of 1, so neither rule below may be fed it.
"""

import math

import numpy as np
import numpy.typing as npt

from training import errors
from training.measure.intervals import FloatArray
from training.watch import checks, logarithms


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
    checks.between_zero_and_one(level, "the level")
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
    return logarithms.log_mean(values.tolist())


def _row(log_e_values: npt.ArrayLike) -> FloatArray:
    values = np.asarray(log_e_values, dtype=np.float64)
    if values.ndim != 1 or bool(np.isnan(values).any()):
        raise errors.DataRefused("the logarithms of e-values must be one row of numbers")
    return values
