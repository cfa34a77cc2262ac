"""What the detectors refuse to take in: a wrong number here would be a wrong alarm later."""

import numpy as np
import numpy.typing as npt

from training import errors
from training.measure.intervals import FloatArray


def between_zero_and_one(value: float, name: str) -> float:
    """The value, if it lies strictly between 0 and 1.

    Raises:
        RequestRefused: it does not.
    """
    number = float(value)
    if not 0.0 < number < 1.0:
        raise errors.RequestRefused(f"{name} is {value}: it must lie strictly between 0 and 1")
    return number


def outcome(value: float) -> bool:
    """Whether the answer was right, from a bool or from exactly 0 or 1.

    Raises:
        DataRefused: it is something else; a share or a weight is no outcome.
    """
    if value not in (0, 1):
        raise errors.DataRefused(f"an outcome is {value!r}: it must be 1 (correct) or 0 (wrong)")
    return bool(value)


def outcomes(values: npt.ArrayLike) -> FloatArray:
    """Outcomes as 0.0 and 1.0, in the shape given, with at least one axis (the last one is time).

    Raises:
        DataRefused: something in there is neither 0 nor 1.
    """
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if not bool(np.all((array == 0.0) | (array == 1.0))):
        raise errors.DataRefused("outcomes must all be 1 (correct) or 0 (wrong)")
    return array


def confidences(values: npt.ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """Calibrated confidences in [0, 1], one for each outcome of an array of this shape.

    Raises:
        DataRefused: there are more or fewer, or one is not in [0, 1].
    """
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if array.shape != shape:
        raise errors.DataRefused(
            f"there must be one confidence for each outcome: their shapes are {array.shape} and {shape}"
        )
    if not bool(np.all((array >= 0.0) & (array <= 1.0))):
        raise errors.DataRefused("a confidence is outside [0, 1] or not a number")
    return array


def counts(values: npt.ArrayLike, name: str) -> FloatArray:
    """Whole numbers, not negative.

    Raises:
        DataRefused: one is not; the evidence counts labels, never weights.
    """
    array = np.asarray(values, dtype=np.float64)
    if not bool(np.all((array >= 0.0) & (array == np.floor(array)) & np.isfinite(array))):
        raise errors.DataRefused(f"{name} must be a count of labels: whole and not negative")
    return array
