"""The isotonic map: knots, straight lines between them, constant outside."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from calibrators import checks, logits, maps
from calibrators.errors import CalibratorRefused

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from calibrators.logits import Floats

    Counts = npt.NDArray[np.intp]

_MANY = 50_000
_CELLS = (
    2**16
)  # a power of two, so that a score times it is exact and no score lands in the cell below its own
_STEPS = 4
_CHUNK = 2**16  # what stays in the processor's cache from one step to the next


def _knots(values: Iterable[float], key: str) -> tuple[float, ...]:
    return tuple(
        [checks.number(knot, f"{key}[{position}]", 0.0, 1.0) for position, knot in enumerate(values)]
    )


def _search(x: Floats, many: bool) -> Callable[[Floats], Counts]:
    """A function that counts the knots at or below each score; by way of a table where scores are many."""
    import numpy as np

    if not many:
        return lambda scores: np.searchsorted(x, scores, side="right")
    table = np.searchsorted(x, np.arange(_CELLS + 1) / _CELLS, side="right")
    following = np.append(x, np.inf)

    def search(scores: Floats) -> Counts:
        passed = table[(scores * _CELLS).astype(np.intp)]
        for _ in range(_STEPS):
            behind = following[passed] <= scores
            if not behind.any():
                return passed
            passed += behind
        crowded = np.flatnonzero(
            following[passed] <= scores
        )  # more knots in the cell than are worth stepping
        passed[crowded] = np.searchsorted(x, scores[crowded], side="right")
        return passed

    return search


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A non-decreasing map through knots (x, y), as scikit-learn's `X_thresholds_` and `y_thresholds_`.

    Between two knots it is the straight line, below the first and above the last knot it is constant.

    Attributes:
        x: the scores of the knots, strictly increasing, in [0, 1].
        y: the probability of being correct at each, never decreasing, in [0, 1].
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    kind: ClassVar[maps.Kind] = "isotonic"

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", _knots(self.x, "x"))
        object.__setattr__(self, "y", _knots(self.y, "y"))
        if not self.x or len(self.x) != len(self.y):
            raise CalibratorRefused(
                f"x has {len(self.x)} knots and y has {len(self.y)}: both need the same number, at least one",
                code="DOCUMENT_MALFORMED",
            )
        for position in range(1, len(self.x)):
            if self.x[position] <= self.x[position - 1]:
                raise CalibratorRefused(
                    f"x[{position}] is not above x[{position - 1}]: merge equal scores into one knot",
                    code="NOT_MONOTONE",
                )
            if self.y[position] < self.y[position - 1]:
                raise CalibratorRefused(f"y[{position}] is below y[{position - 1}]", code="NOT_MONOTONE")

    def parameters(self) -> maps.Parameters:
        """The parameters as they stand in the document."""
        return {"x": list(self.x), "y": list(self.y)}

    def one(self, score: float, epsilon: float) -> float:
        """The calibrated confidence for one score."""
        x, y = self.x, self.y
        right = bisect_right(x, score)
        if right == 0:
            return logits.clip(y[0], epsilon)
        if right == len(x):
            return logits.clip(y[-1], epsilon)
        left, low, high = x[right - 1], y[right - 1], y[right]
        # A share, not a slope: it never overflows, however close two knots are.
        value = low + (score - left) / (x[right] - left) * (high - low)
        return logits.clip(value if value < high else high, epsilon)  # rounding may overshoot the right knot

    def many(self, scores: Floats, epsilon: float) -> Floats:
        """`one` of every score, (n,) to (n,), bit for bit."""
        import numpy as np

        x = np.array(self.x)
        # The last y twice and a last width of 1 make the line beyond the last knot flat.
        y = np.array((*self.y, self.y[-1]))
        width, rise, high = np.append(np.diff(x), 1.0), np.diff(y), y[1:]
        search = _search(x, many=len(scores) >= _MANY)
        result = np.empty_like(scores)
        for start in range(0, len(scores), _CHUNK):
            chunk = scores[start : start + _CHUNK]
            left = np.maximum(search(chunk) - 1, 0)
            value = (chunk - x[left]) / width[left]
            np.maximum(value, 0.0, out=value)
            value *= rise[left]
            value += y[left]
            np.minimum(value, high[left], out=value)
            np.clip(value, epsilon, 1.0 - epsilon, out=result[start : start + _CHUNK])
        return result
