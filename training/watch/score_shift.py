"""How far the scores have moved from those that a calibrator was fitted on: a warning, and no more than that.

A shift says that the inputs are others than they were. It does not say that a confidence is wrong, and is
never by itself a reason to fit again; `training.watch.calibration_drift` answers that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from calibrators import Calibrator, histogram
from sidecar import times
from sidecar.ledger import artifacts
from sidecar.ledger.store import Ledger
from sidecar.ledger.watch_states import RecentScores
from training import errors
from training.measure import intervals
from training.measure.intervals import FloatArray

BINS = 10
LEAST_SHARE = 1e-4
STABILITY_WARNING = 0.1
DISTANCE_WARNING = 0.09
CHANCE = 0.001
DRAWS = 10_000
LEAST_SCORES = 100
"""In the fitting window, to be a reference; the document's histogram says itself how many it rests on."""

SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreShift:
    """The distance between the scores of now and those of the reference.

    A warning needs a distance that matters *and* one that chance does not explain: with 100 scores an index of
    0.1 is ordinary though nothing has moved, and with 100,000 any small p-value is. So each bound is the given
    one or, where that is larger, the distance that equal distributions exceed once in 1,000 times.

    Attributes:
        psi: the population stability index, at least 0.
        ks: the Kolmogorov-Smirnov distance D, in [0, 1]; against a histogram it is taken at the edges of its
            bins alone and so is a lower bound of D.
        n: scores compared.
        psi_bound: from which the index warns.
        ks_bound: from which the distance warns.
    """

    psi: float
    ks: float
    n: int
    psi_bound: float
    ks_bound: float

    @property
    def psi_warns(self) -> bool:
        """Whether the index has reached its bound."""
        return self.psi >= self.psi_bound

    @property
    def ks_warns(self) -> bool:
        """Whether the distance has reached its bound."""
        return self.ks >= self.ks_bound

    @property
    def warns(self) -> bool:
        """Whether either has."""
        return self.psi_warns or self.ks_warns


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionShift:
    """The scores of a version of a model, beside those of the fit.

    Attributes:
        model_version: the version; empty where requests name none.
        calibrator: the digest of what is in force for it.
        shift: the comparison; None where there is nothing to compare with.
        reference: what they are compared with, or why they are not.
    """

    model_version: str
    calibrator: str
    shift: ScoreShift | None
    reference: str


def compare(
    recent: RecentScores,
    calibrator: Calibrator | None,
    scores_between: Callable[[float, float], tuple[float, ...]],
    *,
    warning: float,
) -> VersionShift:
    """Compares the scores of now with the calibrator's histogram, or else with what it was fitted among.

    Args:
        recent: the scores of now.
        calibrator: what is in force; None where the ledger does not have its document.
        scores_between: the raw confidences of the version's decisions in a span of seconds since the epoch.
        warning: the policy's `watch.shift_warning`.
    """
    shift, reference = None, "the ledger does not have the calibrator's document"
    if calibrator is not None and calibrator.histogram is not None:
        n = math.inf if calibrator.fit is None else calibrator.fit.n_effective
        reference = f"the {n:,.0f} labels of the fit" if math.isfinite(n) else "the calibrator's histogram"
        shift = from_histogram(
            calibrator.histogram, recent.scores, reference_n=n or math.inf, warning=warning
        )
    elif calibrator is not None:
        window = _window(calibrator)
        before = () if window is None else scores_between(*window)
        reference = "the calibrator carries no histogram, and the ledger too few decisions of its window"
        if len(before) >= LEAST_SCORES:
            reference = f"the {len(before):,} decisions of the fitting window"
            shift = from_scores(before, recent.scores, warning=warning)
    return VersionShift(
        model_version=recent.model_version,
        calibrator=recent.calibrator_digest,
        shift=shift,
        reference=reference,
    )


def calibrator_of(ledger: Ledger, digest: str) -> Calibrator | None:
    """The calibrator of a digest, from the ledger; None where it does not have the document."""
    return ledger.read(artifacts.calibrator_of, digest)


def reference_bins(scores: npt.ArrayLike, bins: int = BINS) -> histogram.ScoreHistogram:
    """The bins between the reference's own quantiles, with its share in each.

    Equal scores stay together, so where scores repeat there are fewer bins than asked for, of unequal share.

    Args:
        scores: (n,) in [0, 1], n >= 1.
        bins: to aim for, at least 1.

    Raises:
        CalibratorRefused: the scores are not as described.
    """
    return histogram.ScoreHistogram.of(np.asarray(scores, dtype=np.float64), bins=bins)


def stability_index(reference: npt.ArrayLike, current: npt.ArrayLike, least: float = LEAST_SHARE) -> float:
    """The population stability index: sum((current - reference) ln(current / reference)) over the bins.

    It is the symmetrised Kullback-Leibler divergence (Jeffreys 1946). A share below `least` counts as that, or
    an empty bin would make the index infinite; the choice matters (1e-6 in place of 1e-4 turns 2.71 into 3.64
    on the ACS data), so it is fixed.

    Args:
        reference: (B,) shares that sum to 1.
        current: (B,) shares that sum to 1.
        least: above 0.

    Raises:
        DataRefused: the two do not have the same bins.
    """
    before = np.maximum(np.asarray(reference, dtype=np.float64), least)
    after = np.maximum(np.asarray(current, dtype=np.float64), least)
    if before.shape != after.shape or before.ndim != 1:
        raise errors.DataRefused("an index of stability compares shares of the same bins")
    return float(((after - before) * np.log(after / before)).sum())


def from_scores(
    reference: npt.ArrayLike, scores: npt.ArrayLike, *, warning: float = STABILITY_WARNING
) -> ScoreShift:
    """The shift between two sets of scores: the index over ten quantile bins of the reference, and the exact D.

    Args:
        reference: (m,) in [0, 1], m >= 1.
        scores: (n,) in [0, 1], n >= 1.
        warning: the policy's `watch.shift_warning`.

    Raises:
        CalibratorRefused: the scores are not as described.
    """
    before, after = np.asarray(reference, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    bins = reference_bins(before)
    return _shift(
        bins,
        np.asarray(bins.shares_of(after)),
        distance=_distance(before, after),
        sizes=(float(before.size), float(after.size)),
        n=after.size,
        warning=warning,
    )


def from_histogram(
    reference: histogram.ScoreHistogram,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    reference_n: float = math.inf,
    warning: float = STABILITY_WARNING,
) -> ScoreShift:
    """The shift between scores and the histogram of a calibrator's fitting window.

    A move inside one bin cannot be seen: a reference of few distinct scores, so of few bins, sees less.

    Args:
        reference: of the calibrator's document.
        scores: (n,) raw confidences in [0, 1], n >= 1.
        weights: (n,) not negative, where the scores are a weighted sample; None means equal ones.
        reference_n: the effective number of scores behind the histogram, above 0; infinite where unknown.
        warning: the policy's `watch.shift_warning`.

    Raises:
        CalibratorRefused: the scores or the weights are not as described.
        RequestRefused: `reference_n` is not above 0.
    """
    if not reference_n > 0.0:
        raise errors.RequestRefused(f"reference_n is {reference_n}: a histogram has scores behind it")
    after = np.asarray(scores, dtype=np.float64)
    mass = None if weights is None else np.asarray(weights, dtype=np.float64)
    shares = np.asarray(reference.shares_of(after, mass))
    return _shift(
        reference,
        shares,
        distance=float(np.abs(np.cumsum(shares) - np.cumsum(reference.shares)).max()),
        sizes=(reference_n, float(after.size) if mass is None else intervals.n_effective(mass)),
        n=after.size,
        warning=warning,
    )


def _window(calibrator: Calibrator) -> tuple[float, float] | None:
    fit = calibrator.fit
    if fit is None or fit.window_from is None or fit.window_to is None:
        return None
    start, end = (times.moment(text) for text in (fit.window_from, fit.window_to))
    return start, math.nextafter(end, math.inf)


def _shift(
    reference: histogram.ScoreHistogram,
    shares: FloatArray,
    *,
    distance: float,
    sizes: tuple[float, float],
    n: int,
    warning: float,
) -> ScoreShift:
    noise = 1.0 / sizes[0] + 1.0 / sizes[1]
    return ScoreShift(
        psi=stability_index(reference.shares, shares),
        ks=distance,
        n=n,
        psi_bound=max(warning, _index_by_chance(np.asarray(reference.shares), sizes, warning)),
        # P(D >= d) <= 2 exp(-2 d^2 / (1/m + 1/n)) for equal distributions (Smirnov 1939, asymptotically).
        ks_bound=max(DISTANCE_WARNING, math.sqrt(math.log(2.0 / CHANCE) / 2.0 * noise)),
    )


def _index_by_chance(shares: FloatArray, sizes: tuple[float, float], warning: float) -> float:
    """The index that two samples of these sizes from the same shares exceed once in 1,000 times.

    To second order it is Pearson's statistic, so near (1/m + 1/n) times a chi-square of B - 1 degrees. A bin that
    chance leaves empty spoils that in small samples, which are therefore drawn, with a fixed seed.
    """
    approximate = float(stats.chi2.isf(CHANCE, max(shares.size - 1, 1))) * (1.0 / sizes[0] + 1.0 / sizes[1])
    if approximate < warning / 2.0:
        return approximate
    rng = np.random.default_rng(DRAWS)
    chances = shares / shares.sum()
    drawn = [
        np.maximum(rng.multinomial(max(round(size), 1), chances, DRAWS) / max(round(size), 1), LEAST_SHARE)
        if math.isfinite(size)
        else np.maximum(chances, LEAST_SHARE)[None]
        for size in sizes
    ]
    index = ((drawn[1] - drawn[0]) * np.log(drawn[1] / drawn[0])).sum(axis=1)
    return float(np.quantile(index, 1.0 - CHANCE))


def _distance(before: FloatArray, after: FloatArray) -> float:
    """D: the largest vertical distance between two empirical distribution functions."""
    ordered, points = np.sort(before), np.sort(after)
    # Between two jumps of one function the other only rises: just before and at each jump is enough.
    gaps = [
        np.abs(
            np.searchsorted(ordered, points, side=side) / before.size
            - np.searchsorted(points, points, side=side) / after.size
        ).max()
        for side in SIDES
    ]
    return float(max(gaps))
