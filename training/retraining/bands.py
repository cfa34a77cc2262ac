"""The bands of a policy as the loop needs them: where they lie and whether they act alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training import errors
from training.measure.intervals import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """An interval of calibrated confidence, closed below and open above; one that ends at 1 is closed there.

    Attributes:
        name: as in the policy.
        low: the lower edge, which is what an automatic band promises: at least this share is correct.
        high: the upper edge, the next band's lower one.
        automatic: whether answers in it act without a person.
    """

    name: str
    low: float
    high: float
    automatic: bool

    def holds(self, confidence: FloatArray) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
        """(n,) whether each confidence lies in the band."""
        below = confidence <= self.high if self.high >= 1.0 else confidence < self.high
        return (confidence >= self.low) & below


DEFAULTS = (
    Band(name="auto", low=0.90, high=1.0, automatic=True),
    Band(name="flagged", low=0.70, high=0.90, automatic=True),
    Band(name="hold", low=0.50, high=0.70, automatic=False),
    Band(name="reject", low=0.0, high=0.50, automatic=False),
)
"""The bands of a policy that names none."""


def place(bands: Sequence[Band], confidence: FloatArray) -> IntArray:
    """(n,) position of each confidence's band in `bands`.

    Raises:
        RequestRefused: the bands leave a confidence out; they must cover [0, 1].
    """
    placed = np.full(confidence.shape, -1, dtype=np.int64)
    for position, band in enumerate(bands):
        placed[band.holds(confidence)] = position
    if np.any(placed < 0):
        lost = float(confidence[placed < 0][0])
        raise errors.RequestRefused(
            f"no band holds the confidence {lost}; bands must cover [0, 1] without a gap"
        )
    return placed
