"""Evidence that a challenger's confidences are better than the champion's, or worse, valid at every look."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from training import errors
from training.measure.intervals import FloatArray
from training.watch import checks, logarithms

BETS = (0.25, 0.5, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengerEvidence:
    """Two e-processes on d = Brier(champion) - Brier(challenger), of the same labelled answers.

    `log_e` is evidence against "given what was known before, the mean of d is at most 0", that is, for the
    challenger: E is multiplied by 1 + b d (Choe and Ramdas, Operations Research 2024). `log_e_reverse` is the
    same on -d, for the champion. Each averages three bets, b of 0.25, 0.5 and 0.95. As d >= -1 no factor is
    negative, and its expectation is at most 1 under the null hypothesis, so each average is a nonnegative
    supermartingale from 1 and P(it ever reaches 1/alpha) <= alpha (Ville 1939), however often it is looked at.
    The bets are fixed, hence predictable, and the product does not depend on the order of the labels.

    Where the challenger means what it says, and the champion is off by p - q, the mean of d is (p - q)^2 and the
    best bet about 1/(4 q (1 - q)), which is 1 or more: no bet below 1 is much too large, and a pair that differs
    little needs many labels. Measured (tests/training/monitoring/test_challenger.py) with scores from Beta(6, 2),
    a calibrated challenger and a champion that is too confident by a constant in logits: 40 : 1 is reached after
    about 340 labels in the median for 1 logit, 1,030 for a half, 3,800 for a quarter. Where neither is better it
    was reached within 3,000 labels in 2 % of 4,000 runs, where 2.5 % may. Weighted labels (`weight`) need more,
    roughly by one over the weight of those that matter.

    Attributes:
        log_bets: ln E of each bet on the challenger.
        log_reverse: ln E of each bet on the champion.
        labels: how many it has seen.

    Raises:
        RequestRefused: the state is damaged.
    """

    log_bets: tuple[float, ...] = (0.0,) * len(BETS)
    log_reverse: tuple[float, ...] = (0.0,) * len(BETS)
    labels: int = 0

    def __post_init__(self) -> None:
        sound = all(math.isfinite(number) for number in (*self.log_bets, *self.log_reverse))
        if not sound or not len(self.log_bets) == len(self.log_reverse) == len(BETS) or self.labels < 0:
            raise errors.RequestRefused(
                "the state of a comparison with a challenger is damaged: start it again"
            )

    def updated(self, difference: float) -> Self:
        """The state after one more label.

        Args:
            difference: d in [-1, 1], above 0 where the challenger was closer; or d times its `weight`.

        Raises:
            DataRefused: it is outside, or not a number.
        """
        if not -1.0 <= difference <= 1.0:
            raise errors.DataRefused(f"a difference of Brier scores is {difference}: it must lie in [-1, 1]")
        pairs = zip(self.log_bets, self.log_reverse, BETS, strict=True)
        after = [
            (ahead + math.log1p(bet * difference), behind + math.log1p(-bet * difference))
            for ahead, behind, bet in pairs
        ]
        return type(self)(
            log_bets=tuple([ahead for ahead, _ in after]),
            log_reverse=tuple([behind for _, behind in after]),
            labels=self.labels + 1,
        )

    @property
    def log_e(self) -> float:
        """The log of the evidence that the challenger is better; 0 at the start."""
        return logarithms.log_mean(self.log_bets)

    @property
    def log_e_reverse(self) -> float:
        """The log of the evidence that the champion is better; 0 at the start."""
        return logarithms.log_mean(self.log_reverse)


def difference(champion: float, challenger: float, *, correct: bool) -> float:
    """Brier(champion) - Brier(challenger) of one answer, in [-1, 1]; above 0 where the challenger was closer.

    Args:
        champion: its confidence, in [0, 1].
        challenger: its confidence in the same answer.
        correct: whether the answer was.

    Raises:
        DataRefused: a confidence is not as described.
    """
    if not (0.0 <= champion <= 1.0 and 0.0 <= challenger <= 1.0):
        raise errors.DataRefused("a confidence is outside [0, 1] or not a number")
    return (champion - correct) ** 2 - (challenger - correct) ** 2


def weight(planned: float, floor: float) -> float:
    """What a label that was drawn with a planned propensity counts, in (0, 1]: floor / planned, at most 1.

    The answers of a band that is audited twice as often come twice as often, so each counts half: then the
    mean of the weighted d over drawn answers has the sign of the mean of d over all that could be drawn, and
    |d| stays within 1. The floor must be known before the draw. It is that of the policy: its smallest rate
    above 0. Where all rates are equal every label counts 1.

    Args:
        planned: the rate, in (0, 1].
        floor: the smallest one that the policy plans, in (0, 1].

    Raises:
        DataRefused: one is not as described.
    """
    if not (0.0 < planned <= 1.0 and 0.0 < floor <= 1.0):
        raise errors.DataRefused(f"the propensities {planned} and {floor} must lie in (0, 1]")
    return min(1.0, floor / planned)


def log_e_path(differences: npt.ArrayLike) -> FloatArray:
    """The log of the evidence for the challenger after each label of one or many streams, from the start.

    Args:
        differences: (..., T) in [-1, 1], time on the last axis; negate them for the reverse.

    Returns:
        (..., T).

    Raises:
        DataRefused: one is outside, or not a number.
    """
    known = np.atleast_1d(np.asarray(differences, dtype=np.float64))
    if not bool(np.all(np.abs(known) <= 1.0)):
        raise errors.DataRefused("differences of Brier scores must all lie in [-1, 1]")
    total = np.full(known.shape, -np.inf)
    for bet in BETS:
        np.logaddexp(total, np.cumsum(np.log1p(bet * known), axis=-1), out=total)
    return total - math.log(len(BETS))


def log_needed(false_alarm_rate: float) -> float:
    """ln(2/rate): either side takes half, so the rate bounds the chance of being wrong about either; 40 : 1 at 0.05."""
    return math.log(2.0) - math.log(checks.between_zero_and_one(false_alarm_rate, "the false alarm rate"))
