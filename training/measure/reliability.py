"""The reliability of a confidence as numbers: binned with intervals, and the CORP curve without bins."""

from dataclasses import dataclass

import numpy as np

from training.measure import binning, evaluation, intervals, isotonic
from training.measure.intervals import FloatArray, IntArray

HISTOGRAM_BINS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityCurve:
    """What a reliability diagram shows.

    Attributes:
        confidence: (b,) weighted mean confidence of each bin that is not empty.
        accuracy: (b,) its weighted share correct.
        low: (b,) lower end of its 95 % interval: Wilson, at the bin's effective number of rows.
        high: (b,) upper end.
        count: (b,) rows.
        corp_confidence: (m,) rising confidences of the CORP curve.
        corp_accuracy: (m,) isotonic recalibration there, never falling.
        histogram: (h,) share of the weight in each of h equal-width bins of [0, 1].
        n: rows.
        bins: number of equal-width bins asked for, empty ones included.
        ece: expected calibration error over those.
        mcb: CORP miscalibration of the Brier score.
    """

    confidence: FloatArray
    accuracy: FloatArray
    low: FloatArray
    high: FloatArray
    count: IntArray
    corp_confidence: FloatArray
    corp_accuracy: FloatArray
    histogram: FloatArray
    n: int
    bins: int
    ece: float
    mcb: float


def reliability(
    confidence: FloatArray, correct: FloatArray, weights: FloatArray | None = None, bins: int = binning.BINS
) -> ReliabilityCurve:
    """The curve of `confidence` (n,) against `correct` (n,) of 0/1, n >= 1; no weights means equal ones."""
    weights = np.ones(confidence.size) if weights is None else weights
    binned = binning.bin_rows(confidence, correct, weights, bins)
    placed = binning.place(confidence, bins)
    used = np.flatnonzero(binned.count)
    sizes = [intervals.n_effective(weights[placed == number]) for number in used]
    ends = [
        intervals.wilson(float(binned.accuracy[number]) * size, size)
        for number, size in zip(used, sizes, strict=True)
    ]
    x, y = isotonic.pool(confidence, correct, weights).knots
    histogram = np.histogram(confidence, bins=HISTOGRAM_BINS, range=(0.0, 1.0), weights=weights)[0]
    return ReliabilityCurve(
        confidence=binned.confidence[used],
        accuracy=binned.accuracy[used],
        # An interval holds its estimate; rounding must not say otherwise.
        low=np.minimum([low for low, _ in ends], binned.accuracy[used]),
        high=np.maximum([high for _, high in ends], binned.accuracy[used]),
        count=binned.count[used],
        corp_confidence=x,
        corp_accuracy=y,
        histogram=np.asarray(histogram / weights.sum(), dtype=np.float64),
        n=int(confidence.size),
        bins=bins,
        ece=binned.ece,
        mcb=evaluation.corp(confidence, correct, weights)[0],
    )
