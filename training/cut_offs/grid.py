"""The cut-offs that are tried: fixed by confidences alone, before any outcome is seen."""

from collections.abc import Iterable
from decimal import ROUND_FLOOR, Decimal

import numpy as np

from training.measure.intervals import FloatArray

STEPS = 50
"""At most so many cut-offs, each with an equal share of the confidences between it and the next."""

DIGITS = Decimal("0.0001")
HIGHEST = Decimal("0.9999")


def cut_offs(
    confidence: FloatArray, *, lowest: Decimal = Decimal(0), also: Iterable[Decimal] = ()
) -> tuple[Decimal, ...]:
    """The cut-offs to try, from the strictest to the loosest, with at most four digits.

    Where few confidences are distinct, each has a cut-off of its own at or just below it; else the cut-offs
    are quantiles. Nothing below the lowest confidence is tried: nobody has seen an answer there.

    Args:
        confidence: (n,) of decisions, labelled or not, whose outcomes play no part.
        lowest: none below it.
        also: that are tried too, such as those of the policy.
    """
    seen = np.unique(confidence)
    if seen.size > STEPS:
        levels = np.linspace(0.0, 1.0, STEPS, endpoint=False)
        seen = np.unique(np.quantile(confidence, levels, method="lower"))
    found = {floor(float(value)) for value in seen} | set(also)
    least = max(lowest, floor(float(confidence.min())))
    return tuple(sorted((value for value in found if least <= value <= HIGHEST), reverse=True))


def floor(value: float) -> Decimal:
    """The largest number of four digits that, as a double, is not above a value in [0, 1]."""
    rounded = min(Decimal(repr(value)).quantize(DIGITS, rounding=ROUND_FLOOR), HIGHEST)
    return plain(rounded if float(rounded) <= value else rounded - DIGITS)


def plain(value: Decimal) -> Decimal:
    """The number with at least two digits behind the point and no needless zero after them."""
    return Decimal(f"{value.normalize():f}").quantize(
        Decimal("0.01") if value == value.quantize(Decimal("0.01")) else value.normalize()
    )
