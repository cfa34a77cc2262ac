"""The temperature that minimises log-loss, solved to the optimum in one dimension.

Solved, not descended: a fixed number of gradient steps worsens log-loss in most of the published benchmark's
fits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from training.measure.intervals import FloatArray, IntArray

# The search range of ln(1 / temperature): temperatures from 1/1000 to 1000.
LARGEST_LOG = math.log(1000.0)
GRID = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """The temperature, the mean log-loss's derivative in 1/T there, and whether the search range ended."""

    temperature: float
    gradient: float
    at_bound: bool


def binary(logits: FloatArray, correct: FloatArray, weights: FloatArray) -> Solved:
    """The temperature of sigmoid(logit / T) for logits (n,) of the confidence in the given answer."""
    share = weights / weights.sum()

    def gradient(inverse: float) -> float:
        return float(share @ (logits * (special.expit(inverse * logits) - correct)))

    return _root(gradient)


def vector(logits: FloatArray, truths: IntArray, answers: IntArray, weights: FloatArray) -> Solved:
    """The temperature of softmax(logits / T) for logits (n, k).

    Where the true class is known the loss is its -ln p; where it is -1, one knows only that the answer was
    wrong, and the loss is -ln(1 - p of the answer).

    Args:
        logits: (n, k) finite.
        truths: (n,) true class, or -1.
        answers: (n,) the given answer.
        weights: (n,) above 0.
    """
    share = weights / weights.sum()
    known = truths >= 0
    targets = np.take_along_axis(logits, np.where(known, truths, answers)[:, None], axis=1)[:, 0]
    # For the rows whose truth is some other class: everything but the answer.
    others = np.where(np.arange(logits.shape[1]) == answers[:, None], -np.inf, logits)[~known]

    def gradient(inverse: float) -> float:
        probabilities = special.softmax(inverse * logits, axis=1)
        pull = (probabilities * logits).sum(axis=1)
        expected = targets
        if others.size:
            weight = special.softmax(inverse * others, axis=1)
            expected = targets.copy()
            expected[~known] = np.where(weight > 0.0, weight * logits[~known], 0.0).sum(axis=1)
        return float(share @ (pull - expected))

    if not others.size:
        return _root(gradient)

    def loss(inverse: float) -> float:
        whole = special.logsumexp(inverse * logits, axis=1)
        part = inverse * targets
        part[~known] = special.logsumexp(inverse * others, axis=1)
        return float(share @ (whole - part))

    # Unknown truths make the loss a difference of convex functions: look for its valley before its bottom.
    grid = np.exp(np.linspace(-LARGEST_LOG, LARGEST_LOG, GRID))
    best = int(np.argmin([loss(inverse) for inverse in grid]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, GRID - 1)])
    return _root(gradient, low, high)


def _root(
    gradient: Callable[[float], float],
    low: float = math.exp(-LARGEST_LOG),
    high: float = math.exp(LARGEST_LOG),
) -> Solved:
    at_low, at_high = gradient(low), gradient(high)
    if at_low < 0.0 < at_high:
        # In ln(1/T), where the range is even, to the last bit.
        root = optimize.brentq(
            lambda log: gradient(math.exp(log)), math.log(low), math.log(high), xtol=1e-15, rtol=1e-15
        )
        inverse = math.exp(float(root))
        return Solved(temperature=1.0 / inverse, gradient=gradient(inverse), at_bound=False)
    inverse, slope = (low, at_low) if at_low >= 0.0 else (high, at_high)
    return Solved(temperature=1.0 / inverse, gradient=slope, at_bound=True)
