"""How an e-process and an e-detector on the same stream share one false alarm rate."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from training.watch import change, e_process


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
    def of(cls, false_alarm_rate: float, horizon_labels: int = change.HORIZON_LABELS) -> Self:
        """The thresholds for a rate such as the policy's `watch.false_alarm_rate`.

        Raises:
            RequestRefused: the rate is not strictly between 0 and 1, or the horizon is below 1.
        """
        half = false_alarm_rate / 2.0
        return cls(
            mixture_log_e=e_process.log_threshold(half),
            change_log_statistic=change.log_threshold(half, horizon_labels),
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
    log_e: float, change_log_statistic: float, labels: int, horizon_labels: int = change.HORIZON_LABELS
) -> float:
    """The log of (E + M/max(horizon, labels)) / 2, for an e-process and an e-detector on the same stream."""
    scaled = change_log_statistic - math.log(max(horizon_labels, labels))
    return float(np.logaddexp(log_e, scaled)) - math.log(2.0)
