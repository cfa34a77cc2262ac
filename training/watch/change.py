"""Evidence that a promise once kept is kept no more: a Shiryaev-Roberts e-detector."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from training import errors
from training.measure.intervals import FloatArray
from training.watch import checks, logarithms

GAP = 0.05
GAP_MULTIPLES = (0.5, 1.0, 2.0)
SHARES = (0.25, 0.5, 0.25)
HORIZON_LABELS = 2000


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
    says how long the rate is meant for; see `log_threshold`.

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
        checks.between_zero_and_one(self.promise, "the promised accuracy")
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
        checks.between_zero_and_one(promise, "the promised accuracy")
        gap = min(GAP, 1.0 - promise, promise / 4.0)
        return cls(
            promise=promise,
            alternatives=tuple([promise - gap * multiple for multiple in GAP_MULTIPLES]),
            log_sums=(0.0,) * len(GAP_MULTIPLES),
        )

    def updated(self, outcome: float) -> Self:
        """The state after one more label, which was correct (True, 1) or wrong (False, 0)."""
        ratios = self._log_ratios(checks.outcome(outcome))
        return type(self)(
            promise=self.promise,
            alternatives=self.alternatives,
            log_sums=tuple(
                [
                    logarithms.log1p_exp(total + ratio)
                    for total, ratio in zip(self.log_sums, ratios, strict=True)
                ]
            ),
            labels=self.labels + 1,
        )

    @property
    def log_statistic(self) -> float:
        """The log of the weighted mean of M; -infinity before the first label."""
        return logarithms.log_mean([logarithms.log_expm1(total) for total in self.log_sums], SHARES)

    def log_statistic_path(self, outcomes: npt.ArrayLike) -> FloatArray:
        """The log of the statistic after each label of one or many streams that go on from this state.

        Args:
            outcomes: (..., T) of 1 (correct) and 0 (wrong), time on the last axis.

        Returns:
            (..., T).

        Raises:
            DataRefused: an outcome is neither 0 nor 1.
        """
        known = checks.outcomes(outcomes)
        column = (-1, *([1] * (known.ndim - 1)))
        when_right = np.reshape(self._log_ratios(True), column)
        when_wrong = np.reshape(self._log_ratios(False), column)
        return statistic_path(
            self.log_sums,
            SHARES,
            known.shape,
            lambda t: np.where(known[..., t] == 1.0, when_right, when_wrong),
        )

    def _log_ratios(self, correct: bool) -> list[float]:
        """The log of L for each alternative against the promise."""
        if correct:
            return [math.log(alternative / self.promise) for alternative in self.alternatives]
        return [math.log((1.0 - alternative) / (1.0 - self.promise)) for alternative in self.alternatives]


def log_threshold(false_alarm_rate: float, horizon_labels: int = HORIZON_LABELS) -> float:
    """ln(horizon/rate): the detector reaches it within the horizon with at most this probability.

    The bound is H/threshold for every H: at a rate of 0.025 and the horizon of 2,000 labels the threshold is
    80,000, so 0.025 within 2,000 labels, 0.05 within 4,000, and a false alarm in 80,000 labels or rarer.

    Args:
        false_alarm_rate: the probability allowed to this detector, strictly between 0 and 1.
        horizon_labels: the labels in which it is allowed, at least 1.

    Raises:
        RequestRefused: an argument is not as described.
    """
    rate = checks.between_zero_and_one(false_alarm_rate, "the false alarm rate")
    if horizon_labels < 1:
        raise errors.RequestRefused(f"the horizon is {horizon_labels} labels: it must be at least 1")
    return math.log(horizon_labels) - math.log(rate)


def statistic_path(
    log_sums: Sequence[float],
    shares: Sequence[float],
    shape: tuple[int, ...],
    log_ratios: Callable[[int], FloatArray],
) -> FloatArray:
    """The log of a Shiryaev-Roberts statistic, averaged over K one-step e-values, after each label.

    Args:
        log_sums: (K,) ln(1 + M) of each at the start.
        shares: (K,) their weights, summing to 1.
        shape: (..., T) of the streams, time on the last axis.
        log_ratios: from a step in 0..T-1 to (K, ...) the logs of the e-values of that label.

    Returns:
        (..., T).
    """
    column = (-1, *([1] * (len(shape) - 1)))
    log_shares = np.reshape(np.log(shares), column)
    sums: FloatArray = np.broadcast_to(np.reshape(log_sums, column), (len(log_sums), *shape[:-1]))
    path = np.empty(shape)
    for step in range(shape[-1]):
        statistics = sums + log_ratios(step)
        path[..., step] = np.logaddexp.reduce(statistics + log_shares, axis=0)
        sums = np.logaddexp(0.0, statistics)
    return path
