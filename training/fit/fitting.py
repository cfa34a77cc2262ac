"""One calibration map from labelled data, for each kind that a selection may choose from."""

from dataclasses import dataclass
from typing import Literal, assert_never, get_args

import numpy as np

import calibrators
from training.data.dataset import Dataset
from training.fit import isotonic, logistic, temperature
from training.measure import losses
from training.measure.intervals import FloatArray

CandidateKind = Literal["identity", "temperature", "platt-logit", "platt-raw", "beta", "isotonic", "constant"]
"""What can be fitted; Platt is affine in the logit of the score or in the raw score."""

MERGED_FROM = 4
"""Rows for each distinct score from which on merging them is worth its own cost."""

CANDIDATE_KINDS: tuple[CandidateKind, ...] = get_args(CandidateKind)


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
    if dataset.vectors is not None and dataset.answers is not None and dataset.truths is not None:
        solved = temperature.vector(dataset.vectors, dataset.truths, dataset.answers, dataset.weights)
        fitted_map: calibrators.Map = calibrators.VectorTemperature(solved.temperature)
    else:
        solved = temperature.binary(losses.logit(dataset.scores, epsilon), dataset.correct, dataset.weights)
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
    steps = isotonic.fit(dataset.scores, dataset.correct, dataset.weights)
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


_UNINFORMATIVE = "the score is uninformative: it does not rise with correctness, so the base rate is answered"
