"""The detectors of the watch over whole streams at once: the same numbers as label by label, and much faster.

Outcomes are (..., T) of 1 (correct) and 0 (wrong), time on the last axis; each function answers (..., T), the
logarithm of the detector's evidence after each label. That they agree with the detectors is tested beside those.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from training.measure.intervals import FloatArray
from training.watch.breach import SHARES, BetaMixture, ShiryaevRoberts
from training.watch.calibration_drift import CalibrationDrift
from training.watch.challenger import BETS


def mixture(detector: BetaMixture, outcomes: npt.ArrayLike) -> FloatArray:
    """`BetaMixture.log_e` after each label."""
    known = _floats(outcomes)
    wrong = np.cumsum(1.0 - known, axis=-1)
    seen = np.arange(1.0, known.shape[-1] + 1.0)
    # Streams share most of their counts: each pair is computed once, which is what makes it fast.
    pairs, position = np.unique(seen * (known.shape[-1] + 1.0) + wrong, return_inverse=True)
    labels, misses = np.divmod(pairs, known.shape[-1] + 1.0)
    return detector.log_e(labels - misses, misses)[position].reshape(known.shape)


def change(detector: ShiryaevRoberts, outcomes: npt.ArrayLike) -> FloatArray:
    """`ShiryaevRoberts.log_statistic` after each label of streams that go on from the detector's state."""
    known = _floats(outcomes)
    alternatives = _column(detector.alternatives, known)
    when_right = np.log(alternatives / detector.promise)
    when_wrong = np.log((1.0 - alternatives) / (1.0 - detector.promise))
    return _shiryaev_roberts(
        detector.log_sums, SHARES, known, lambda t: np.where(known[..., t] == 1.0, when_right, when_wrong)
    )


def drift(detector: CalibrationDrift, outcomes: npt.ArrayLike, confidences: npt.ArrayLike) -> FloatArray:
    """`CalibrationDrift.log_e` after each label; the confidences are (..., T), too."""
    known, claimed = _floats(outcomes), _floats(confidences)
    right = np.cumsum(known, axis=-1)
    total = np.full(known.shape, -np.inf)
    for log_bet, offset in zip(detector.log_bets, detector.offsets, strict=True):
        cost = np.cumsum(np.log1p(claimed * math.expm1(offset)), axis=-1)
        np.logaddexp(total, log_bet + offset * right - cost, out=total)
    return total - math.log(len(detector.offsets))


def drift_change(
    detector: CalibrationDrift, outcomes: npt.ArrayLike, confidences: npt.ArrayLike
) -> FloatArray:
    """`CalibrationDrift.log_statistic` after each label."""
    known, claimed = _floats(outcomes), _floats(confidences)
    offsets = _column(detector.offsets, known)
    bets = np.expm1(offsets)
    return _shiryaev_roberts(
        detector.log_sums,
        [1.0 / len(detector.offsets)] * len(detector.offsets),
        known,
        lambda t: offsets * known[..., t] - np.log1p(claimed[..., t] * bets),
    )


def challenger(differences: npt.ArrayLike) -> FloatArray:
    """`ChallengerEvidence.log_e` after each label, from the start; negate the differences for the reverse."""
    known = _floats(differences)
    total = np.full(known.shape, -np.inf)
    for bet in BETS:
        np.logaddexp(total, np.cumsum(np.log1p(bet * known), axis=-1), out=total)
    return total - math.log(len(BETS))


def _shiryaev_roberts(
    log_sums: Sequence[float],
    shares: Sequence[float],
    known: FloatArray,
    log_ratios: Callable[[int], FloatArray],
) -> FloatArray:
    """The statistic averaged over K one-step e-values: from a step `log_ratios` answers (K, ...)."""
    log_shares = np.log(_column(shares, known))
    sums: FloatArray = np.broadcast_to(_column(log_sums, known), (len(log_sums), *known.shape[:-1]))
    path = np.empty(known.shape)
    for step in range(known.shape[-1]):
        statistics = sums + log_ratios(step)
        path[..., step] = np.logaddexp.reduce(statistics + log_shares, axis=0)
        sums = np.logaddexp(0.0, statistics)
    return path


def _column(values: Sequence[float], known: FloatArray) -> FloatArray:
    """(K, 1, ...) to stand beside one step of streams."""
    return np.reshape(np.asarray(values, dtype=np.float64), (-1, *([1] * (known.ndim - 1))))


def _floats(values: npt.ArrayLike) -> FloatArray:
    return np.atleast_1d(np.asarray(values, dtype=np.float64))
