"""Proper losses of a confidence against what turned out to be true, one number a row."""

import numpy as np
from scipy import special

from training.measure.intervals import FloatArray

# Keeps the loss of a raw 0 or 1 finite. The calibrators' own outputs are inside it already.
EPSILON = 1e-6


def log_losses(confidence: FloatArray, correct: FloatArray, epsilon: float = EPSILON) -> FloatArray:
    """-ln P(what happened), (n,), in nats; `confidence` is clipped to [epsilon, 1 - epsilon] first."""
    clipped = np.clip(confidence, epsilon, 1.0 - epsilon)
    return -(correct * np.log(clipped) + (1.0 - correct) * np.log1p(-clipped))


def brier_losses(confidence: FloatArray, correct: FloatArray) -> FloatArray:
    """(confidence - correct)^2, (n,)."""
    difference = confidence - correct
    return difference * difference


def logit(scores: FloatArray, epsilon: float = EPSILON) -> FloatArray:
    """ln(s / (1 - s)) of scores (n,) clipped to [epsilon, 1 - epsilon]."""
    clipped = np.clip(scores, epsilon, 1.0 - epsilon)
    return np.asarray(special.logit(clipped), dtype=np.float64)
