"""Evidence that a promised accuracy was never kept: a beta mixture, valid at every look."""

import math
from dataclasses import dataclass
from typing import Self, overload

import numpy as np
import numpy.typing as npt
from scipy import special

from training import errors
from training.measure.intervals import FloatArray
from training.watch import checks

GAP = 0.05
CONCENTRATION = 20.0
SMALLEST_PLAIN_SHARE = 1e-250
CONTINUED_FRACTION_STEPS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaMixture:
    """An e-process against "each label is correct with probability at least the promise, given the past".

    It averages the likelihood ratio of every accuracy q below the promise p0 against p0 over a prior
    Beta(a, b) cut off at p0 (Robbins 1970, the method of mixtures):

        ln E = lnB(S+a, F+b) + lnI_p0(S+a, F+b) - lnB(a, b) - lnI_p0(a, b) - S ln p0 - F ln(1 - p0)

    for S correct and F wrong labels, I being the regularised incomplete beta function. Each ratio has an
    expectation of at most 1 per label under any accuracy >= p0, so E is a nonnegative supermartingale from 1,
    and P(it ever reaches 1/alpha) <= alpha (Ville 1939), however often it is looked at. The order of the labels
    does not matter and the two counts are the whole state. After a long good spell it is slow, because evidence
    for the promise has piled up: `training.monitoring.change` is for that.

    Attributes:
        promise: p0, strictly between 0 and 1.
        a: of the prior, above 0.
        b: of the prior, above 0.

    Raises:
        RequestRefused: the promise or the prior is not as described.
    """

    promise: float
    a: float
    b: float

    def __post_init__(self) -> None:
        checks.between_zero_and_one(self.promise, "the promised accuracy")
        if not all(math.isfinite(value) and value > 0.0 for value in (self.a, self.b)):
            raise errors.RequestRefused(f"the prior Beta({self.a}, {self.b}) needs two numbers above 0")

    @classmethod
    def default(cls, promise: float) -> Self:
        """The prior worth 20 labels whose mean is 0.05 below the promise: Beta(18, 2) for 0.95.

        A promise below 0.1 leaves no room for that: the mean is then half of it. Close to 1 nothing needs
        care, since b stays above 1. The prior is a matter of speed only; every prior is valid.
        """
        mean = promise - min(GAP, promise / 2.0)
        return cls(promise=promise, a=CONCENTRATION * mean, b=CONCENTRATION * (1.0 - mean))

    @overload
    def log_e(self, correct: float, wrong: float) -> float: ...
    @overload
    def log_e(self, correct: FloatArray, wrong: FloatArray) -> FloatArray: ...
    def log_e(self, correct: npt.ArrayLike, wrong: npt.ArrayLike) -> FloatArray | float:
        """The log of E after so many correct and wrong labels; 0 for none.

        Args:
            correct: S, a count or an array of counts.
            wrong: F, likewise; the two broadcast.

        Returns:
            A float for two counts, else an array.

        Raises:
            DataRefused: a count is negative or not whole.
        """
        right, amiss = checks.counts(correct, "correct"), checks.counts(wrong, "wrong")
        result = (
            special.betaln(right + self.a, amiss + self.b)
            - special.betaln(self.a, self.b)
            + _log_betainc(right + self.a, amiss + self.b, self.promise)
            - _log_betainc(np.float64(self.a), np.float64(self.b), self.promise)
            - right * math.log(self.promise)
            - amiss * math.log1p(-self.promise)
        )
        return float(result) if np.ndim(result) == 0 else np.asarray(result, dtype=np.float64)

    def log_e_path(self, outcomes: npt.ArrayLike) -> FloatArray:
        """The log of E after each label of one or many streams.

        Args:
            outcomes: (..., T) of 1 (correct) and 0 (wrong), time on the last axis.

        Returns:
            (..., T).

        Raises:
            DataRefused: an outcome is neither 0 nor 1.
        """
        known = checks.outcomes(outcomes)
        wrong = np.cumsum(1.0 - known, axis=-1)
        seen = np.arange(1.0, known.shape[-1] + 1.0)
        # Streams share most of their counts: each pair is computed once, which is what makes it fast.
        pairs, position = np.unique(seen * (known.shape[-1] + 1.0) + wrong, return_inverse=True)
        labels, misses = np.divmod(pairs, known.shape[-1] + 1.0)
        return self.log_e(labels - misses, misses)[position].reshape(known.shape)


def log_threshold(false_alarm_rate: float) -> float:
    """ln(1/rate): an e-process reaches it with at most this probability while its null hypothesis holds."""
    return -math.log(checks.between_zero_and_one(false_alarm_rate, "the false alarm rate"))


def _log_betainc(a: FloatArray | np.float64, b: FloatArray | np.float64, x: float) -> FloatArray:
    """The log of I_x(a, b), also where I_x(a, b) itself is below the smallest float."""
    plain = np.asarray(special.betainc(a, b, x), dtype=np.float64)
    tiny = plain < SMALLEST_PLAIN_SHARE
    logarithm = np.log(np.where(tiny, 1.0, plain))
    if bool(np.any(tiny)):
        shape = plain.shape
        logarithm = np.where(
            tiny, _log_betainc_tail(np.broadcast_to(a, shape), np.broadcast_to(b, shape), x, tiny), logarithm
        )
    return logarithm


def _log_betainc_tail(a: FloatArray, b: FloatArray, x: float, where: npt.NDArray[np.bool_]) -> FloatArray:
    """The log of I_x(a, b) far below the mean, by the continued fraction of DLMF 8.17.22; 0 elsewhere.

    There x < (a+1)/(a+b+2), where it converges; evaluated forwards by the modified method of Lentz.
    """
    a, b = a[where], b[where]
    tiny = 1e-300
    d = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0), tiny)
    c = np.ones_like(a)
    fraction = d.copy()
    for m in range(1, CONTINUED_FRACTION_STEPS):
        even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        d = 1.0 / _away_from_zero(1.0 + even * d, tiny)
        c = _away_from_zero(1.0 + even / c, tiny)
        fraction *= c * d
        odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        d = 1.0 / _away_from_zero(1.0 + odd * d, tiny)
        c = _away_from_zero(1.0 + odd / c, tiny)
        fraction *= c * d
        if bool(np.all(np.abs(c * d - 1.0) < 1e-15)):
            break
    result = np.zeros(where.shape)
    result[where] = a * math.log(x) + b * math.log1p(-x) - np.log(a) - special.betaln(a, b) + np.log(fraction)
    return result


def _away_from_zero(values: FloatArray, least: float) -> FloatArray:
    return np.where(np.abs(values) < least, least, values)
