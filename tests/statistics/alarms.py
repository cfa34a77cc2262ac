"""The alarms: how often they are false, and how many labels a real drop takes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from tests.statistics import paths
from tests.statistics.check import Check, Effort
from training.watch import score_shift
from training.watch.breach import BetaMixture, ShiryaevRoberts, Thresholds, log_mixture_threshold
from training.watch.calibration_drift import CalibrationDrift

SEED = 20260401
RATE = 0.05
LABELS = 2000
GOOD_LABELS = 1000
NEVER = 10**9
SCORES = ((300, 100), (5_000, 60), (200, 5_000), (1_000, 1_000), (40, 20))
"""Of the reference, and of now."""
PROMISES = (0.95, 0.90, 0.70)
CONFIDENCES = ((0.90, 0.99), (0.50, 0.90))
MISCALIBRATIONS = (
    # logits, whether after a good spell, the most labels allowed to the median
    (-0.8, False, 220),
    (-1.2, False, 85),
    (-0.8, True, 300),
    (-1.2, True, 140),
)
DROPS = (
    # accuracy, whether after a good spell, the most labels allowed to the median
    (0.90, False, 190),
    (0.85, False, 60),
    (0.90, True, 280),
    (0.85, True, 130),
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Firsts:
    """The label at which each of many streams first raised the alarm, from 1; NEVER where it did not."""

    either: Ints
    mixture: Ints
    change: Ints

    def rates(self) -> tuple[float, float, float]:
        """The share of streams that raised it at all: either detector, the mixture, the change detector."""
        first, second, third = (
            float((which < NEVER).mean()) for which in (self.either, self.mixture, self.change)
        )
        return first, second, third


def run(effort: Effort) -> list[Check]:
    """Every claim about the alarms; quickly: fewer streams, and one promise in place of three."""
    full = effort is Effort.FULL
    streams = 2000 if full else 300
    return [
        _vector(),
        *_false_alarms(streams, PROMISES if full else PROMISES[:1]),
        *_drops(streams),
        *_calibration(streams, CONFIDENCES if full else CONFIDENCES[:1]),
        *_miscalibration(streams, MISCALIBRATIONS if full else MISCALIBRATIONS[-1:]),
        _contrast(streams),
        *_score_shifts(300 if full else 12),
    ]


def _vector() -> Check:
    value = BetaMixture.default(0.95).log_e(85, 15)
    return Check(
        claim="ln E is 6.038489 for 85 correct and 15 wrong against 0.95 under Beta(18, 2)",
        measured=f"{value:.6f}",
        holds=abs(value - 6.038489) < 5e-7,
    )


def _false_alarms(streams: int, promises: tuple[float, ...]) -> Iterator[Check]:
    for promise in promises:
        outcomes = _generator("false", promise).random((streams, LABELS)) < promise
        either, mixture, change = pair_firsts(promise, outcomes).rates()
        yield Check(
            claim=f"the pair's false alarms at an accuracy of exactly {promise:.2f}, over {LABELS} labels looked "
            f"at one by one, are at most {RATE:.0%}",
            measured=f"{either:.2%} of {streams} streams (mixture {mixture:.2%}, change detector {change:.2%})",
            holds=either <= RATE,
        )


def _drops(streams: int) -> Iterator[Check]:
    promise = 0.95
    for accuracy, late, bound in DROPS:
        rng = _generator("drop", accuracy, late)
        before = GOOD_LABELS if late else 0
        good = rng.random((streams, before)) < promise
        bad = rng.random((streams, LABELS)) < accuracy
        firsts = pair_firsts(promise, np.concatenate([good, bad], axis=1))
        kept = firsts.either > before
        medians = [
            float(np.median(which[kept & (which > before)] - before))
            for which in (firsts.either, firsts.mixture, firsts.change)
        ]
        found = float((firsts.either[kept] < NEVER).mean())
        spell = f"after {GOOD_LABELS} good labels" if late else "from the start"
        yield Check(
            claim=f"a drop from {promise:.2f} to {accuracy:.2f} {spell} is found in a median of at most {bound} labels",
            measured=f"{medians[0]:.0f} (mixture alone {medians[1]:.0f}, change detector alone {medians[2]:.0f}; "
            f"found within {LABELS}: {found:.1%})",
            holds=medians[0] <= bound and found > 0.5,
        )


def _calibration(streams: int, ranges: tuple[tuple[float, float], ...]) -> Iterator[Check]:
    for low, high in ranges:
        rng = _generator("calibrated", low)
        confidence = rng.uniform(low, high, (streams, LABELS))
        outcomes = rng.random(confidence.shape) < confidence
        either, alone, change = drift_firsts(outcomes, confidence).rates()
        at_full_rate = paths.drift(CalibrationDrift(), outcomes, confidence).max(
            axis=1
        ) >= log_mixture_threshold(RATE)
        yield Check(
            claim=f"the calibration alarm's false alarms on confidences of {low:.2f} to {high:.2f} that mean what "
            f"they say are at most {RATE:.0%}, as a pair and as the e-process alone at the full rate",
            measured=f"{either:.2%} (e-process {alone:.2%}, change detector {change:.2%}); alone at the full rate "
            f"{at_full_rate.mean():.2%}",
            holds=either <= RATE and float(at_full_rate.mean()) <= RATE,
        )
    rng = _generator("covariate")
    confidence = np.concatenate(
        [rng.uniform(0.90, 0.99, (streams, GOOD_LABELS)), rng.uniform(0.70, 0.90, (streams, GOOD_LABELS))],
        axis=1,
    )
    outcomes = rng.random(confidence.shape) < confidence
    either, _, _ = drift_firsts(outcomes, confidence).rates()
    fell = outcomes[:, :GOOD_LABELS].mean() - outcomes[:, GOOD_LABELS:].mean()
    yield Check(
        claim=f"covariate shift alone (the accuracy falls, each confidence still true) raises the calibration alarm "
        f"in at most {RATE:.0%} of the streams",
        measured=f"{either:.2%}, the accuracy having fallen by {fell * 100:.1f} points",
        holds=either <= RATE and bool(fell > 0.1),
    )


def _miscalibration(streams: int, cases: tuple[tuple[float, bool, int], ...]) -> Iterator[Check]:
    for shift, late, bound in cases:
        rng = _generator("drifted", shift, late)
        before = GOOD_LABELS if late else 0
        confidence = rng.uniform(0.90, 0.99, (streams, before + LABELS))
        truth = special.expit(
            special.logit(confidence) + np.where(np.arange(before + LABELS) >= before, shift, 0.0)
        )
        outcomes = rng.random(confidence.shape) < truth
        firsts = drift_firsts(outcomes, confidence)
        kept = firsts.either > before
        median = float(np.median(firsts.either[kept] - before))
        spell = f"after {GOOD_LABELS} calibrated labels" if late else "from the start"
        yield Check(
            claim=f"confidences of 0.90 to 0.99 that are {-shift} logits too high {spell} are found in a median of at "
            f"most {bound} labels",
            measured=f"{median:.0f} (accuracy {truth[:, before:].mean():.3f} for a mean confidence of "
            f"{confidence[:, before:].mean():.3f})",
            holds=median <= bound,
        )


def _contrast(streams: int) -> Check:
    """What the usual practice does: look at an interval every day as if it were the first look."""
    promise, first_look = 0.95, 50
    outcomes = _generator("false", promise).random((streams, LABELS)) < promise
    seen = np.arange(1, LABELS + 1)
    # The upper end of the one-sided 95 % Clopper-Pearson interval is below the promise where P(X <= S) <= 0.05.
    fires = np.asarray(stats.binom.cdf(np.cumsum(outcomes, axis=1), seen, promise)) <= RATE
    every, fifty = (
        fires[:, first_look - 1 :].any(axis=1).mean(),
        fires[:, first_look - 1 :: 50].any(axis=1).mean(),
    )
    return Check(
        claim="as the contrast: a one-sided 95 % Clopper-Pearson bound looked at after every label from the "
        f"{first_look}th raises false alarms in more than 20 % of the same streams",
        measured=f"{every:.1%} (looked at after every 50 labels: {fifty:.1%})",
        holds=bool(every > 0.2),
    )


def _score_shifts(draws: int) -> Iterator[Check]:
    for reference_n, n in SCORES:
        rng = _generator("score shift", reference_n, n)
        shifts = [score_shift.from_scores(rng.random(reference_n), rng.random(n)) for _ in range(draws)]
        warned = sum(shift.warns for shift in shifts)
        plain = float(np.mean([shift.psi >= score_shift.STABILITY_WARNING for shift in shifts]))
        yield Check(
            claim=f"{n} scores beside {reference_n} of the same distribution are called shifted in at most 1 % of the "
            "draws, or once",
            measured=f"{warned} of {draws}; a fixed bound of .1 alone would have in {plain:.0%}",
            # Where there are few scores the fixed bound alone warns most of the time.
            holds=warned <= max(1, draws // 100) and (n > 100 or plain > 0.5),
        )


def pair_firsts(promise: float, outcomes: npt.NDArray[np.bool_]) -> Firsts:
    """When the alarm on an accuracy is raised: `outcomes` (n, T) of whether each label was correct."""
    thresholds = Thresholds.of(RATE)
    return _firsts(
        paths.mixture(BetaMixture.default(promise), outcomes) >= thresholds.mixture_log_e,
        paths.change(ShiryaevRoberts.start(promise), outcomes) >= thresholds.change_log_statistic,
    )


def drift_firsts(outcomes: npt.NDArray[np.bool_], confidence: Floats) -> Firsts:
    """When the alarm on the calibration is raised: (n, T) outcomes and their confidences."""
    thresholds, start = Thresholds.of(RATE), CalibrationDrift()
    return _firsts(
        paths.drift(start, outcomes, confidence) >= thresholds.mixture_log_e,
        paths.drift_change(start, outcomes, confidence) >= thresholds.change_log_statistic,
    )


def _firsts(mixture: npt.NDArray[np.bool_], change: npt.NDArray[np.bool_]) -> Firsts:
    return Firsts(either=_first(mixture | change), mixture=_first(mixture), change=_first(change))


def _first(fired: npt.NDArray[np.bool_]) -> Ints:
    return np.where(fired.any(axis=1), fired.argmax(axis=1) + 1, NEVER)


def _generator(*about: str | float) -> np.random.Generator:
    """Random numbers of their own for each simulation, so that adding one does not change another."""
    return np.random.default_rng([SEED, *[ord(letter) for letter in repr(about)]])
