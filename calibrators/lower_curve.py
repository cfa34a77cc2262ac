"""The lower curve: for every calibrated confidence, what it is at least, by what the fit could know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from calibrators import checks
from calibrators.errors import CalibratorRefused
from calibrators.isotonic import Isotonic

if TYPE_CHECKING:
    from calibrators.logits import Floats

LEAST_LEVEL = 0.5
MOST_KNOTS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerCurve:
    """A monotone map g from a calibrated confidence q to its lower confidence bound, g(q) <= q.

    Straight lines between the knots. Below the first knot it runs to (0, 0); above the last one it is flat,
    as nothing was seen there that could support more.

    Attributes:
        level: in how many of 100 fits, as a share, the truth is to lie at or above the bound; above 0.5 and
            below 1.
        method: how the bounds were found, as a word, such as "bootstrap".
        confidences: the knots' calibrated confidences, strictly increasing, in [0, 1].
        bounds: the bound at each, never decreasing, never above its confidence.

    Raises:
        CalibratorRefused: a field is not as described (DOCUMENT_MALFORMED, NOT_FINITE, OUT_OF_RANGE,
            NOT_MONOTONE).
    """

    level: float
    method: str
    confidences: tuple[float, ...]
    bounds: tuple[float, ...]
    _line: Isotonic = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        level = checks.number(self.level, "lower.level")
        if not LEAST_LEVEL < level < 1.0:
            raise CalibratorRefused(
                f"lower.level is {level}: it must lie above {LEAST_LEVEL} and below 1", code="OUT_OF_RANGE"
            )
        object.__setattr__(self, "level", level)
        checks.text(self.method, "lower.method")
        confidences = _knots(self.confidences, "lower.confidences")
        bounds = _knots(self.bounds, "lower.bounds")
        if len(confidences) != len(bounds) or not 1 <= len(bounds) <= MOST_KNOTS:
            raise CalibratorRefused(
                f"lower has {len(confidences)} confidences and {len(bounds)} bounds: both need the same "
                f"number, from 1 to {MOST_KNOTS}",
                code="DOCUMENT_MALFORMED",
            )
        for position, (confidence, bound) in enumerate(zip(confidences, bounds, strict=True)):
            if position and confidence <= confidences[position - 1]:
                raise CalibratorRefused(
                    f"lower.confidences[{position}] is not above the one before", code="NOT_MONOTONE"
                )
            if position and bound < bounds[position - 1]:
                raise CalibratorRefused(
                    f"lower.bounds[{position}] is below the one before", code="NOT_MONOTONE"
                )
            if bound > confidence:
                raise CalibratorRefused(
                    f"lower.bounds[{position}] is {bound}, above its confidence {confidence}: a lower bound "
                    "cannot be",
                    code="OUT_OF_RANGE",
                )
        object.__setattr__(self, "confidences", confidences)
        object.__setattr__(self, "bounds", bounds)
        start: tuple[float, ...] = (0.0,) if confidences[0] > 0.0 else ()
        object.__setattr__(self, "_line", Isotonic((*start, *confidences), (*start, *bounds)))

    def one(self, confidence: float, epsilon: float) -> float:
        """The bound of one calibrated confidence in [epsilon, 1 - epsilon]."""
        bound = self._line.one(confidence, epsilon)
        return bound if bound < confidence else confidence

    def many(self, confidences: Floats, epsilon: float) -> Floats:
        """`one` of every confidence, (n,) to (n,), bit for bit."""
        import numpy as np

        return np.minimum(self._line.many(confidences, epsilon), confidences)

    def parameters(self) -> dict[str, object]:
        """The curve as it stands in the document."""
        return {
            "level": self.level,
            "method": self.method,
            "confidences": list(self.confidences),
            "bounds": list(self.bounds),
        }


def _knots(values: tuple[float, ...], key: str) -> tuple[float, ...]:
    return tuple([checks.number(value, f"{key}[{i}]", 0.0, 1.0) for i, value in enumerate(values)])
