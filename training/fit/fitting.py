"""One calibration map from labelled data, for each kind that a selection may choose from."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from scipy import optimize, special

import calibrators
from training.data.dataset import Dataset
from training.fit import logistic
from training.measure import isotonic, losses
from training.measure.intervals import FloatArray, IntArray

CandidateKind = Literal["identity", "temperature", "platt-logit", "platt-raw", "beta", "isotonic", "constant"]
"""What can be fitted; Platt is affine in the logit of the score or in the raw score."""

MERGED_FROM = 4
"""Rows for each distinct score from which on merging them is worth its own cost."""


# The search range of ln(1 / temperature): temperatures from 1/1000 to 1000.
LARGEST_LOG = math.log(1000.0)


VALLEYS = 25
_UNINFORMATIVE = "the score is uninformative: it does not rise with correctness, so the base rate is answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fitted map.

    Attributes:
        calibrator_map: the value that goes into a calibrator.
        kind: what was asked for.
        uninformative: the score does not rise with correctness in these data, so the map says the base rate.
        note: what a reader of the birth certificate should know, "" if nothing.
    """

    calibrator_map: calibrators.Map
    kind: CandidateKind
    uninformative: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """The temperature, the mean log-loss's derivative in 1/T there, and whether the search range ended."""

    temperature: float
    gradient: float
    at_bound: bool


def fit(kind: CandidateKind, dataset: Dataset, *, epsilon: float = losses.EPSILON) -> Fitted:
    """The map of `kind` that fits the dataset best; never fails for a valid dataset, however small.

    `temperature` takes the vectors where the dataset has them, else the logit of the score. All parametric
    fits minimise the weighted log-loss. Platt and beta use Platt's targets, with the weights scaled to the
    effective sample size; isotonic has its two pseudo-labels at either end; so no fit answers 0 or 1.

    Args:
        kind: the family.
        dataset: at least one row.
        epsilon: scores are clipped to [epsilon, 1 - epsilon] before logarithms, as the map will do.
    """
    match kind:
        case "identity":
            return Fitted(calibrator_map=calibrators.Identity(), kind=kind)
        case "temperature":
            return _temperature(dataset, epsilon)
        case "platt-logit" | "platt-raw":
            return _platt(kind, dataset, epsilon)
        case "beta":
            return _beta(dataset, epsilon)
        case "isotonic":
            return _isotonic(dataset, epsilon)
        case "constant":
            return _constant(dataset)
        case _:
            assert_never(kind)


def calibrator(
    fitted: Fitted,
    dataset: Dataset,
    *,
    applies_to: calibrators.AppliesTo | None = None,
    epsilon: float = losses.EPSILON,
    note: str = "",
) -> calibrators.Calibrator:
    """The calibrator of a fitted map, with its birth certificate and score histogram.

    Args:
        fitted: from `fit` on the same dataset.
        dataset: what it was fitted to.
        applies_to: what it may serve; None makes a document that matches no request.
        epsilon: as given to `fit`.
        note: goes in front of the fit's own note.
    """
    window_from, window_to = dataset.window
    certificate = calibrators.Fit(
        n=len(dataset),
        n_effective=dataset.n_effective,
        positives=dataset.positives,
        distinct=dataset.distinct,
        window_from=window_from,
        window_to=window_to,
        data_digest=dataset.digest,
        note="; ".join(part for part in (note, fitted.note) if part),
    )
    return calibrators.Calibrator(
        map=fitted.calibrator_map,
        epsilon=epsilon,
        applies_to=applies_to,
        fit=certificate,
        histogram=calibrators.ScoreHistogram.of(dataset.scores, dataset.weights),
    )


def confidence(fitted: Fitted, dataset: Dataset, *, epsilon: float = losses.EPSILON) -> FloatArray:
    """(n,) what the fitted map makes of each row of any dataset of the same evidence."""
    # Not by way of a calibrator, whose golden vector and digest cost more than a fit.
    if isinstance(fitted.calibrator_map, calibrators.VectorTemperature):
        return dataset.confidence(calibrators.Calibrator(map=fitted.calibrator_map, epsilon=epsilon))
    return np.asarray(fitted.calibrator_map.many(dataset.scores, epsilon), dtype=np.float64)


def _temperature(dataset: Dataset, epsilon: float) -> Fitted:
    # Solved, not descended: a fixed number of gradient steps worsens log-loss in most of the published
    # benchmark's fits.
    if dataset.vectors is not None and dataset.answers is not None and dataset.truths is not None:
        solved = vector_temperature(dataset.vectors, dataset.truths, dataset.answers, dataset.weights)
        fitted_map: calibrators.Map = calibrators.VectorTemperature(solved.temperature)
    else:
        solved = binary_temperature(losses.logit(dataset.scores, epsilon), dataset.correct, dataset.weights)
        fitted_map = calibrators.Temperature(solved.temperature)
    flat = solved.at_bound and solved.temperature > 1.0
    note = f"the temperature ended at its bound, {solved.temperature:g}" if solved.at_bound else ""
    return Fitted(calibrator_map=fitted_map, kind="temperature", uninformative=flat, note=note)


def _platt(kind: Literal["platt-logit", "platt-raw"], dataset: Dataset, epsilon: float) -> Fitted:
    on: Literal["logit", "raw"] = "logit" if kind == "platt-logit" else "raw"
    scores, targets, weights = _merged(dataset)
    feature = losses.logit(scores, epsilon) if on == "logit" else scores
    line = logistic.solve(feature[:, None], targets, weights)
    if line.slopes[0] > 0.0:
        return Fitted(calibrator_map=calibrators.Platt(line.slopes[0], line.intercept, on), kind=kind)
    base = logistic.flat(targets, weights)
    return Fitted(
        calibrator_map=calibrators.Platt(0.0, base.intercept, on),
        kind=kind,
        uninformative=True,
        note=_UNINFORMATIVE,
    )


def _beta(dataset: Dataset, epsilon: float) -> Fitted:
    scores, targets, weights = _merged(dataset)
    clipped = np.clip(scores, epsilon, 1.0 - epsilon)
    features = np.column_stack((np.log(clipped), -np.log1p(-clipped)))
    line = logistic.solve(features, targets, weights)
    a, b = line.slopes
    if a < 0.0 or b < 0.0:
        # The loss is convex, so the best a, b >= 0 is on a face: solve both, keep the better allowed one.
        only_a = logistic.solve(features[:, :1], targets, weights)
        only_b = logistic.solve(features[:, 1:], targets, weights)
        faces = [
            (only_a.loss, (only_a.slopes[0], 0.0), only_a),
            (only_b.loss, (0.0, only_b.slopes[0]), only_b),
        ]
        base = logistic.flat(targets, weights)
        allowed = [face for face in faces if min(face[1]) >= 0.0] or [(base.loss, (0.0, 0.0), base)]
        _, (a, b), line = min(allowed, key=lambda face: face[0])
    flat = a == 0.0 and b == 0.0
    return Fitted(
        calibrator_map=calibrators.Beta(a, b, line.intercept),
        kind="beta",
        uninformative=flat,
        note=_UNINFORMATIVE if flat else "",
    )


def _isotonic(dataset: Dataset, epsilon: float) -> Fitted:
    steps = isotonic.pool(*with_pseudo_labels(dataset.scores, dataset.correct, dataset.weights))
    x, y = steps.knots
    y = np.maximum.accumulate(np.clip(y, epsilon, 1.0 - epsilon))
    flat = steps.level.size == 1
    return Fitted(
        calibrator_map=calibrators.Isotonic(tuple(x.tolist()), tuple(y.tolist())),
        kind="isotonic",
        uninformative=flat,
        note=_UNINFORMATIVE if flat else "",
    )


def _constant(dataset: Dataset) -> Fitted:
    weights = logistic.scaled_to_effective(dataset.weights)
    # Laplace's rule of succession, which keeps it off 0 and 1.
    value = (float((weights * dataset.correct).sum()) + 1.0) / (float(weights.sum()) + 2.0)
    return Fitted(calibrator_map=calibrators.Constant(value), kind="constant")


def with_pseudo_labels(
    scores: FloatArray, correct: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The rows and four more: a correct and an incorrect label of weight 1 at either end of the scores.

    The weights are scaled to the effective sample size first, so that "one label" means one. Pooling
    afterwards keeps the map monotone and strictly inside (0, 1) by construction, which clamping the end
    blocks does not.
    """
    low, high = scores.min(), scores.max()
    return (
        np.concatenate((scores, [low, low, high, high])),
        np.concatenate((correct, [1.0, 0.0, 1.0, 0.0])),
        np.concatenate((logistic.scaled_to_effective(weights), np.ones(4))),
    )


def _merged(dataset: Dataset) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Scores, Platt's targets and weights, the weights scaled to sum to the effective sample size.

    Where many rows share a score and an outcome they are one row with their summed weight: the same loss, in a
    fraction of the time.
    """
    scores, correct = dataset.scores, dataset.correct
    weights = logistic.scaled_to_effective(dataset.weights)
    distinct, codes = np.unique(scores, return_inverse=True)
    if MERGED_FROM * distinct.size <= len(dataset):
        mass = np.bincount(2 * codes + correct.astype(np.int64), weights=weights, minlength=2 * distinct.size)
        there = mass > 0.0
        scores, correct = np.repeat(distinct, 2)[there], np.tile([0.0, 1.0], distinct.size)[there]
        weights = mass[there].astype(np.float64)
    return scores, logistic.platt_targets(correct, weights), weights


def binary_temperature(logits: FloatArray, correct: FloatArray, weights: FloatArray) -> Solved:
    """The temperature of sigmoid(logit / T) for logits (n,) of the confidence in the given answer."""
    share = weights / weights.sum()

    def gradient(inverse: float) -> float:
        return float(share @ (logits * (special.expit(inverse * logits) - correct)))

    return _root(gradient)


def vector_temperature(
    logits: FloatArray, truths: IntArray, answers: IntArray, weights: FloatArray
) -> Solved:
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
    grid = np.exp(np.linspace(-LARGEST_LOG, LARGEST_LOG, VALLEYS))
    best = int(np.argmin([loss(inverse) for inverse in grid]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, VALLEYS - 1)])
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
