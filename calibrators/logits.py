"""Logit, sigmoid and softmax that keep order to the last bit, on one value and on arrays.

A library's `log` and `exp` are accurate to about one unit in the last place, but nothing promises that they
are monotone, and numpy picks its own by the processor. So each argument is first rounded to a grid, which is
far coarser than their error and far finer than any difference in probability that matters. Neighbours on the
grid then differ by more than the error; every other operation here is correctly rounded, hence monotone, and
so is the whole. The price is an error of at most 2e-13 in a logit.

Numpy is imported where an array is handled, not above: the sidecar's request path needs none, and that saves
13 MB of its resident memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp as _exp
from math import fsum
from math import log as _log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# Veltkamp's splitting (Dekker 1971): value * SPLIT - (value * SPLIT - value) keeps the leading 44 bits.
_SPLIT = 2.0**9 + 1.0
# Added and taken away again, it rounds to a multiple of 2**-42, for anything up to 2**9 in size.
_GRID = 1.5 * 2.0**10
# No logit needs to be larger: sigmoid(-64) is 1.6e-28, far below the smallest epsilon.
_FAR = 64.0


def clip(value: float, epsilon: float) -> float:
    """The value, moved into [epsilon, 1 - epsilon]."""
    if value < epsilon:
        return epsilon
    ceiling = 1.0 - epsilon
    return ceiling if value > ceiling else value


def log(value: float) -> float:
    """The natural logarithm of a positive value below 1e290, monotone."""
    product = _SPLIT * value
    return _log(product - (product - value))


def logit(score: float, epsilon: float) -> float:
    """ln(s / (1 - s)) of a score that is first clipped to [epsilon, 1 - epsilon]."""
    score = clip(score, epsilon)
    odds = score / (1.0 - score)
    product = _SPLIT * odds
    return _log(product - (product - odds))


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-v)) for any v but NaN; within 2e-28 of 0 and 1 at the far ends."""
    if value > _FAR:
        value = _FAR
    elif value < -_FAR:
        value = -_FAR
    # Not exp(v) / (1 + exp(v)), which is the same number but not monotone once it is rounded.
    return 1.0 / (1.0 + _exp(_GRID - (value + _GRID)))


def softmax(logits: Sequence[float], temperature: float = 1.0) -> tuple[float, ...]:
    """The softmax of logits / temperature: keeps the order of the classes, sums to 1."""
    top = max(logits)
    weights = [_exp(((value - top) / temperature + _GRID) - _GRID) for value in logits]
    total = fsum(weights)  # as `sum` rounds otherwise from Python 3.12 on
    return tuple([weight / total for weight in weights])


def log_probabilities(probabilities: Sequence[float], epsilon: float) -> tuple[float, ...]:
    """Logits, up to a constant: the logarithms of probabilities, first clipped to [epsilon, 1 - epsilon]."""
    return tuple([log(clip(probability, epsilon)) for probability in probabilities])


def log_array(values: Floats) -> Floats:
    """`log` of every entry."""
    import numpy as np

    product = _SPLIT * values
    return np.log(product - (product - values))


def logit_array(scores: Floats, epsilon: float) -> Floats:
    """`logit` of every entry."""
    import numpy as np

    scores = np.clip(scores, epsilon, 1.0 - epsilon)
    return log_array(scores / (1.0 - scores))


def sigmoid_array(values: Floats) -> Floats:
    """`sigmoid` of every entry."""
    import numpy as np

    values = np.clip(values, -_FAR, _FAR)
    result: Floats = 1.0 / (1.0 + np.exp(_GRID - (values + _GRID)))
    return result


def softmax_array(logits: Floats, temperature: float = 1.0) -> Floats:
    """`softmax` of every row of an (n, k) array."""
    import numpy as np

    with np.errstate(over="ignore"):  # a difference that overflows is far down anyway
        scaled = (logits - logits.max(axis=1, keepdims=True)) / temperature
    weights = np.exp((scaled + _GRID) - _GRID)
    result: Floats = weights / weights.sum(axis=1, keepdims=True)
    return result


def log_probabilities_array(probabilities: Floats, epsilon: float) -> Floats:
    """`log_probabilities` of every row of an (n, k) array."""
    import numpy as np

    return log_array(np.clip(probabilities, epsilon, 1.0 - epsilon))
