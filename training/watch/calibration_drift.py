"""Evidence that confidences do not, or no longer, mean what they say: bets on outcome minus confidence."""

import math
from dataclasses import dataclass
from typing import Literal, Self

from training import errors
from training.watch import e_values

OFFSETS = (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0)

Direction = Literal["overconfident", "underconfident"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationDrift:
    """The state of an e-process against "each label is correct with exactly its confidence, given the past".

    It bets on y - p (Arnold, Henzi and Ziegel 2023; Henzi and Ziegel 2022): E is multiplied by
    1 + lambda (y - p) with lambda in (-1/(1-p), 1/p), known before y is. Here

        lambda = (e^d - 1) / (1 + p (e^d - 1)),   so   ln E = d sum(y) - sum(ln(1 + p (e^d - 1))),

    which is the likelihood ratio of "the logit of every confidence is off by d" against "none is": it lies in
    the admissible range for every d and every p in [0, 1], and has an expectation of exactly 1 under the null
    hypothesis. E averages six such bets, d of a quarter, a half and 1 to either side, so both sides weigh the
    same and P(E ever reaches 1/alpha) <= alpha (Ville 1939), however often it is looked at.

    A process of this kind saves up evidence for the null hypothesis, too, and is late for a drift after a long
    good spell. Beside it, of the same bets, stands therefore a Shiryaev-Roberts e-detector: see
    `breach.ShiryaevRoberts` for what it guarantees, and `breach.Thresholds` for how the two share a rate.

    Reading: it fires on miscalibration and not on covariate shift. When the scores move elsewhere and each
    still means what it says, the accuracy changes and this does not. The smallest bet sets what it can find: a
    steady error below about an eighth of a logit (0.6 points at 0.95, 2 at 0.80) is left alone, with any number
    of labels.

    Attributes:
        log_bets: ln E of each bet, in the order of `offsets`.
        log_sums: ln(1 + M) of each bet's e-detector.
        labels: how many it has seen.
        gap_sum: the sum of confidence - outcome; over `labels` it is the mean overconfidence.
        offsets: the bets' d, in logits; below 0 against overconfidence, above 0 against its opposite.

    Raises:
        RequestRefused: the offsets or the state is not as described.
    """

    log_bets: tuple[float, ...] = (0.0,) * len(OFFSETS)
    log_sums: tuple[float, ...] = (0.0,) * len(OFFSETS)
    labels: int = 0
    gap_sum: float = 0.0
    offsets: tuple[float, ...] = OFFSETS

    def __post_init__(self) -> None:
        for name in ("log_bets", "log_sums", "offsets"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if (
            not self.offsets
            or {-offset for offset in self.offsets} != set(self.offsets)
            or 0.0 in self.offsets
        ):
            raise errors.RequestRefused(f"the offsets {self.offsets} must bet on both sides alike")
        numbers = (*self.log_bets, *self.log_sums, *self.offsets, self.gap_sum)
        if (
            not len(self.log_bets) == len(self.log_sums) == len(self.offsets)
            or not all(math.isfinite(number) for number in numbers)
            or min(self.labels, *self.log_sums) < 0
        ):
            raise errors.RequestRefused("the stored state of a drift detector is damaged: start it again")

    def updated(self, outcome: float, confidence: float) -> Self:
        """The state after one more label.

        Args:
            outcome: True or 1 for a correct answer, False or 0 for a wrong one.
            confidence: its calibrated confidence, in [0, 1], as it was when the decision was made.

        Raises:
            DataRefused: an argument is not as described.
        """
        correct = e_values.outcome(outcome)
        if not 0.0 <= confidence <= 1.0:
            raise errors.DataRefused("a confidence is outside [0, 1] or not a number")
        ratios = [offset * correct - math.log1p(confidence * math.expm1(offset)) for offset in self.offsets]
        return type(self)(
            log_bets=tuple([log_bet + ratio for log_bet, ratio in zip(self.log_bets, ratios, strict=True)]),
            log_sums=tuple(
                [
                    e_values.log1p_exp(total + ratio)
                    for total, ratio in zip(self.log_sums, ratios, strict=True)
                ]
            ),
            labels=self.labels + 1,
            gap_sum=self.gap_sum + confidence - correct,
            offsets=self.offsets,
        )

    @property
    def log_e(self) -> float:
        """The log of E, both sides averaged; 0 at the start."""
        return e_values.log_mean(self.log_bets)

    @property
    def log_statistic(self) -> float:
        """The log of the e-detector's statistic, both sides averaged; -infinity at the start."""
        return e_values.log_mean([e_values.log_expm1(total) for total in self.log_sums])

    @property
    def direction(self) -> Direction:
        """The side that the recent evidence speaks for; meaningless while there is little of it."""
        return "overconfident" if self._evidence(-1.0) >= self._evidence(1.0) else "underconfident"

    def _evidence(self, side: float) -> float:
        sums = zip(self.log_sums, self.offsets, strict=True)
        return e_values.log_mean([total for total, offset in sums if offset * side > 0.0])
