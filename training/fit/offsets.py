"""Category offsets: what a category is worth more or less than all together, shrunken to the global calibrator."""

import dataclasses

import numpy as np
from scipy import special

import calibrators
from calibrators import category_offsets
from calibrators.calibrator import Golden
from training.data import division
from training.data.dataset import Dataset
from training.fit import logistic
from training.measure import intervals, losses
from training.measure.intervals import FloatArray, IntArray

MINIMUM = 30.0
"""Effective labels below which a category keeps the global calibrator, as no claim rests on fewer."""

SPREADS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Standard deviations, in logits, that the offsets of all categories may have: the strength of the shrinking."""

STEPS = 50
LARGEST_STEP = 2.0
TOLERANCE = 1e-10


def fit(
    calibrator: calibrators.Calibrator,
    dataset: Dataset,
    *,
    minimum: float = MINIMUM,
    seed: int = 0,
) -> dict[str, float]:
    """The offsets by category that improve on the calibrator; empty where nothing does.

    logit q = logit q_global + b_category with b ~ normal(0, spread^2), the mode: ridge-penalised logistic
    regression with the global confidence as offset, on weights that are scaled to the effective sample size.
    A slice with few labels so stays near 0. The spread is the one with the lowest cross-validated log-loss
    (`folds.folds`: groups whole, time in blocks). There are no offsets at all unless that loss is lower than
    without them by more than one standard error of the paired difference: do no harm.

    The calibrator is the same in every fold, fitted to all rows: only what the offsets add is judged.

    Args:
        calibrator: the global one; offsets that it has already are ignored.
        dataset: with categories in their normal form; without, there are no offsets. The empty category never
            gets one.
        minimum: effective labels (clustered by group) that a category needs.
        seed: decides random folds, nothing else.
    """
    if dataset.categories is None:
        return {}
    names, codes = _eligible(dataset, minimum)
    if not names:
        return {}
    logit = losses.logit(dataset.confidence(_plain(calibrator)), calibrator.epsilon)
    weights = logistic.scaled_to_effective(dataset.weights)
    divisions = division.folds(dataset, seed=seed)
    if not divisions:
        return {}
    without = losses.log_losses(special.expit(logit), dataset.correct)
    best_spread, best_gain = 0.0, intervals.weighted_mean(without * 0.0, dataset.weights, dataset.groups)
    for spread in SPREADS:
        scored = [
            _out_of_fold(logit, dataset.correct, weights, codes, len(names), fold, spread)
            for fold in divisions
        ]
        with_offsets = np.mean([losses.log_losses(each, dataset.correct) for each in scored], axis=0)
        gain = intervals.weighted_mean(without - with_offsets, dataset.weights, dataset.groups)
        if gain.mean > best_gain.mean:
            best_spread, best_gain = spread, gain
    if best_spread == 0.0 or best_gain.mean <= best_gain.standard_error:
        return {}
    solved = _solve(logit, dataset.correct, weights, codes, len(names), best_spread)
    limit = category_offsets.LARGEST
    return {
        name: float(offset)
        for name, offset in zip(names, np.clip(solved, -limit, limit), strict=True)
        if offset != 0.0
    }


def _plain(calibrator: calibrators.Calibrator) -> calibrators.Calibrator:
    return dataclasses.replace(calibrator, category_offsets={}, lower=None, golden=Golden())


def _eligible(dataset: Dataset, minimum: float) -> tuple[list[str], IntArray]:
    """The categories with enough labels, and (n,) the position of each row's, -1 for the others."""
    assert dataset.categories is not None  # noqa: S101 (the caller asked)
    found, inverse = np.unique(dataset.categories, return_inverse=True)
    names: list[str] = []
    codes = np.full(len(dataset), -1, dtype=np.int64)
    for position, name in enumerate(found.tolist()):
        rows = inverse == position
        groups = None if dataset.groups is None else dataset.groups[rows]
        mean = intervals.weighted_mean(dataset.correct[rows], dataset.weights[rows], groups)
        if name and mean.clusters_effective >= minimum - 1e-6:
            codes[rows] = len(names)
            names.append(name)
    return names, codes


def _out_of_fold(
    logit: FloatArray,
    correct: FloatArray,
    weights: FloatArray,
    codes: IntArray,
    count: int,
    fold: IntArray,
    spread: float,
) -> FloatArray:
    confidence = np.empty(logit.size)
    for number in range(int(fold.max()) + 1):
        held = fold == number
        seen = ~held
        solved = _solve(logit[seen], correct[seen], weights[seen], codes[seen], count, spread)
        confidence[held] = special.expit(logit[held] + np.append(solved, 0.0)[codes[held]])
    return confidence


def _solve(
    logit: FloatArray,
    correct: FloatArray,
    weights: FloatArray,
    codes: IntArray,
    count: int,
    spread: float,
) -> FloatArray:
    """(count,) the penalised optima, all by Newton's method at once; code -1 takes part in none."""
    rows = codes >= 0
    logit, correct, weights, codes = logit[rows], correct[rows], weights[rows], codes[rows]
    offsets = np.zeros(count)
    penalty = 1.0 / (spread * spread)
    for _ in range(STEPS):
        fitted = special.expit(logit + offsets[codes])
        slope = np.bincount(codes, weights * (fitted - correct), count) + penalty * offsets
        bend = np.bincount(codes, weights * fitted * (1.0 - fitted), count) + penalty
        step = np.clip(slope / bend, -LARGEST_STEP, LARGEST_STEP)
        offsets = offsets - step
        if float(np.abs(step).max()) < TOLERANCE:
            break
    return offsets
