"""Weighted logistic regression with an intercept, solved to its optimum, for Platt and beta maps."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from training.measure import intervals
from training.measure.intervals import FloatArray

MOST_STEPS = 200
# On the mean gradient of standardised features; double precision reaches about 1e-16.
GRADIENT_TOLERANCE = 1e-12
# Below this decrease of the mean loss a line search only compares rounding errors.
LOSS_RESOLUTION = 1e-14
RIDGE = 1e-14
SMALLEST_STEP = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """sigmoid(intercept + slopes . features): the optimum, and its mean log-loss against the targets."""

    intercept: float
    slopes: tuple[float, ...]
    loss: float


def scaled_to_effective(weights: FloatArray) -> FloatArray:
    """The weights (n,) scaled to sum to the effective sample size.

    A prior that is worth a number of labels (Platt's targets, pseudo-labels) then neither vanishes beside
    inverse-propensity weights in the thousands nor drowns labels whose weights were normalised to sum to 1.
    """
    return weights * float(intervals.n_effective(weights) / weights.sum())


def platt_targets(correct: FloatArray, weights: FloatArray) -> FloatArray:
    """(n,) (N+ + 1)/(N+ + 2) where correct, 1/(N- + 2) where not (Platt 1999), N being sums of `weights`."""
    right = float((weights * correct).sum())
    wrong = float((weights * (1.0 - correct)).sum())
    return np.where(correct > 0.5, (right + 1.0) / (right + 2.0), 1.0 / (wrong + 2.0))


def flat(targets: FloatArray, weights: FloatArray) -> Line:
    """The best line without slopes: the weighted mean of the targets."""
    mean = float(np.average(targets, weights=weights))
    intercept = float(special.logit(mean))
    return Line(intercept=intercept, slopes=(), loss=float(special.entr(mean) + special.entr(1.0 - mean)))


def solve(features: FloatArray, targets: FloatArray, weights: FloatArray) -> Line:
    """The line that minimises the weighted log-loss of `targets` (n,), each strictly inside (0, 1).

    Newton's method with backtracking (Lin, Lin and Weng 2007) on standardised features; targets inside (0, 1)
    make the optimum finite even for separable data. A feature that does not vary gets slope 0.

    Args:
        features: (n, d) finite.
        targets: (n,) probabilities.
        weights: (n,) above 0; only their ratios matter.
    """
    share = weights / weights.sum()
    centre = share @ features
    spread = np.sqrt(share @ (features - centre) ** 2)
    varies = spread > 1e-12 * np.maximum(1.0, np.abs(centre))
    scale = np.where(varies, spread, 1.0)
    standard = np.where(varies, (features - centre) / scale, 0.0)
    design = np.column_stack((np.ones(len(targets)), standard))
    theta = np.zeros(design.shape[1])
    theta[0] = special.logit(share @ targets)
    for _ in range(MOST_STEPS):
        fitted = special.expit(design @ theta)
        gradient = design.T @ (share * (fitted - targets))
        if float(np.abs(gradient).max()) < GRADIENT_TOLERANCE:
            break
        curvature = (design * (share * fitted * (1.0 - fitted))[:, None]).T @ design
        # A constant feature has an empty row: the small ridge leaves its slope at 0 and moves nothing else.
        step = np.linalg.solve(curvature + RIDGE * np.eye(len(theta)), gradient)
        promised = float(gradient @ step)
        if promised < LOSS_RESOLUTION:
            # The loss cannot see such a step any more, and full Newton steps converge: one more, and done.
            theta = theta - step
            break
        loss, size = _loss(design @ theta, targets, share), 1.0
        while size > SMALLEST_STEP and _loss(design @ (theta - size * step), targets, share) > (
            loss - 1e-4 * size * promised
        ):
            size /= 2.0
        theta = theta - size * step
    loss = _loss(design @ theta, targets, share)
    slopes = theta[1:] / scale
    return Line(intercept=float(theta[0] - slopes @ centre), slopes=tuple(map(float, slopes)), loss=loss)


def _loss(raw: FloatArray, targets: FloatArray, share: FloatArray) -> float:
    return float(share @ (np.logaddexp(0.0, raw) - targets * raw))
