"""Evidence that what acts is right less often than was promised: two detectors on one stream of labels.

A beta mixture finds a promise that was never kept, a Shiryaev-Roberts e-detector one that is kept no more; the two
share the false alarm rate of their stratum. Each is valid at every look.
"""

import math
from dataclasses import dataclass
from typing import Self, overload

import numpy as np
import numpy.typing as npt
from scipy import special

from training import errors
from training.measure.intervals import FloatArray
from training.watch import e_values

GAP = 0.05
"""How far below the promise both look first, as an accuracy."""

CONCENTRATION = 20.0
SMALLEST_PLAIN_SHARE = 1e-250
CONTINUED_FRACTION_STEPS = 10_000

GAP_MULTIPLES = (0.5, 1.0, 2.0)
SHARES = (0.25, 0.5, 0.25)
HORIZON_LABELS = 2000


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
    for the promise has piled up: `ShiryaevRoberts` is for that.

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
        e_values.between_zero_and_one(self.promise, "the promised accuracy")
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
        right, amiss = e_values.counts(correct, "correct"), e_values.counts(wrong, "wrong")
        result = (
            special.betaln(right + self.a, amiss + self.b)
            - special.betaln(self.a, self.b)
            + _log_betainc(right + self.a, amiss + self.b, self.promise)
            - _log_betainc(np.float64(self.a), np.float64(self.b), self.promise)
            - right * math.log(self.promise)
            - amiss * math.log1p(-self.promise)
        )
        return float(result) if np.ndim(result) == 0 else np.asarray(result, dtype=np.float64)


def log_mixture_threshold(false_alarm_rate: float) -> float:
    """ln(1/rate): an e-process reaches it with at most this probability while its null hypothesis holds."""
    return -math.log(e_values.between_zero_and_one(false_alarm_rate, "the false alarm rate"))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiryaevRoberts:
    """The state of an e-detector for "from some label on, the accuracy lies below the promise".

    For each alternative q below the promise p0 it holds M_t = (1 + M_{t-1}) L_t from M_0 = 0, where L_t, the
    likelihood ratio of q against p0, is q/p0 for a correct and (1-q)/(1-p0) for a wrong label; the statistic
    is their mean, weighted a quarter, a half, a quarter (Shin, Ramdas and Rinaldo 2023, e-detectors).

    L_t is an e-value for every accuracy p >= p0, not only at p0: p q/p0 + (1-p)(1-q)/(1-p0) is 1 at p = p0 and
    falls as p grows. So while the promise is kept M_t - t is a supermartingale, whatever the past, whence

    * P(an alarm within H labels) <= H / threshold, and
    * on average at least `threshold` labels go by before a false alarm.

    It never lasts for ever: any detector that finds every change raises a false alarm some day. The horizon
    says how long the rate is meant for; see `log_change_threshold`.

    Attributes:
        promise: p0, strictly between 0 and 1.
        alternatives: the accuracies below it that are looked for.
        log_sums: ln(1 + M) of each, which is finite and 0 at the start.
        labels: how many it has seen.

    Raises:
        RequestRefused: the promise, the alternatives or the state is not as described.
    """

    promise: float
    alternatives: tuple[float, ...]
    log_sums: tuple[float, ...]
    labels: int = 0

    def __post_init__(self) -> None:
        e_values.between_zero_and_one(self.promise, "the promised accuracy")
        object.__setattr__(self, "alternatives", tuple(self.alternatives))
        object.__setattr__(self, "log_sums", tuple(self.log_sums))
        if not len(self.alternatives) == len(self.log_sums) == len(SHARES):
            raise errors.RequestRefused(
                f"a change detector has {len(SHARES)} alternatives with a sum each, not "
                f"{len(self.alternatives)} with {len(self.log_sums)}"
            )
        if not all(0.0 < alternative < self.promise for alternative in self.alternatives):
            raise errors.RequestRefused(
                f"the alternatives {self.alternatives} must lie above 0 and below the promise {self.promise}"
            )
        if self.labels < 0 or not all(math.isfinite(value) and value >= 0.0 for value in self.log_sums):
            raise errors.RequestRefused("the stored state of a change detector is damaged: start it again")

    @classmethod
    def start(cls, promise: float) -> Self:
        """The detector that has seen nothing: half, once and twice a gap below the promise.

        The gap is 0.05, at most what doubles the errors (so 0.99 is watched for 0.98) and at most a quarter of
        the promise: 0.925, 0.90 and 0.85 for 0.95.
        """
        e_values.between_zero_and_one(promise, "the promised accuracy")
        gap = min(GAP, 1.0 - promise, promise / 4.0)
        return cls(
            promise=promise,
            alternatives=tuple([promise - gap * multiple for multiple in GAP_MULTIPLES]),
            log_sums=(0.0,) * len(GAP_MULTIPLES),
        )

    def updated(self, outcome: float) -> Self:
        """The state after one more label, which was correct (True, 1) or wrong (False, 0)."""
        ratios = self._log_ratios(e_values.outcome(outcome))
        return type(self)(
            promise=self.promise,
            alternatives=self.alternatives,
            log_sums=tuple(
                [
                    e_values.log1p_exp(total + ratio)
                    for total, ratio in zip(self.log_sums, ratios, strict=True)
                ]
            ),
            labels=self.labels + 1,
        )

    @property
    def log_statistic(self) -> float:
        """The log of the weighted mean of M; -infinity before the first label."""
        return e_values.log_mean([e_values.log_expm1(total) for total in self.log_sums], SHARES)

    def _log_ratios(self, correct: bool) -> list[float]:
        """The log of L for each alternative against the promise."""
        if correct:
            return [math.log(alternative / self.promise) for alternative in self.alternatives]
        return [math.log((1.0 - alternative) / (1.0 - self.promise)) for alternative in self.alternatives]


def log_change_threshold(false_alarm_rate: float, horizon_labels: int = HORIZON_LABELS) -> float:
    """ln(horizon/rate): the detector reaches it within the horizon with at most this probability.

    The bound is H/threshold for every H: at a rate of 0.025 and the horizon of 2,000 labels the threshold is
    80,000, so 0.025 within 2,000 labels, 0.05 within 4,000, and a false alarm in 80,000 labels or rarer.

    Args:
        false_alarm_rate: the probability allowed to this detector, strictly between 0 and 1.
        horizon_labels: the labels in which it is allowed, at least 1.

    Raises:
        RequestRefused: an argument is not as described.
    """
    rate = e_values.between_zero_and_one(false_alarm_rate, "the false alarm rate")
    if horizon_labels < 1:
        raise errors.RequestRefused(f"the horizon is {horizon_labels} labels: it must be at least 1")
    return math.log(horizon_labels) - math.log(rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Where the pair of detectors of one stratum raises its alarm: either of them, each at half of the rate.

    What that guarantees while the promise is kept: within the first `horizon_labels` labels of a stream, looked
    at one by one, an alarm has a probability of at most the rate. The mixture's half holds for ever; the change
    detector's grows in proportion to the labels (twice the horizon, twice its half), as it must, or it could
    not find a change that comes late.

    Attributes:
        mixture_log_e: of `BetaMixture.log_e`.
        change_log_statistic: of `ShiryaevRoberts.log_statistic`.
        horizon_labels: the labels for which the rate is meant.
    """

    mixture_log_e: float
    change_log_statistic: float
    horizon_labels: int

    @classmethod
    def of(cls, false_alarm_rate: float, horizon_labels: int = HORIZON_LABELS) -> Self:
        """The thresholds for a rate such as the policy's `watch.false_alarm_rate`.

        Raises:
            RequestRefused: the rate is not strictly between 0 and 1, or the horizon is below 1.
        """
        half = false_alarm_rate / 2.0
        return cls(
            mixture_log_e=log_mixture_threshold(half),
            change_log_statistic=log_change_threshold(half, horizon_labels),
            horizon_labels=horizon_labels,
        )

    def reached(self, mixture_log_e: float, change_log_statistic: float) -> bool:
        """Whether either detector has reached its threshold."""
        return mixture_log_e >= self.mixture_log_e or change_log_statistic >= self.change_log_statistic

    def log_e_value(self, mixture_log_e: float, change_log_statistic: float, labels: int) -> float:
        """The log of one e-value for the pair, to put beside other strata's: (E + M/max(horizon, labels)) / 2.

        The change detector's M is no e-value: its expectation grows by at most 1 a label. Over the horizon it
        is one at any stopping time up to there; beyond, over the labels so far, at a fixed time.
        """
        return pair_log_e(mixture_log_e, change_log_statistic, labels, self.horizon_labels)


def pair_log_e(
    log_e: float, change_log_statistic: float, labels: int, horizon_labels: int = HORIZON_LABELS
) -> float:
    """The log of (E + M/max(horizon, labels)) / 2, for an e-process and an e-detector on the same stream."""
    scaled = change_log_statistic - math.log(max(horizon_labels, labels))
    return float(np.logaddexp(log_e, scaled)) - math.log(2.0)
