"""The real shift in the ACS stream: which alarm says what about it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.statistics import paths
from tests.statistics.check import Check, Effort
from training.watch import score_shift
from training.watch.breach import Thresholds
from training.watch.calibration_drift import CalibrationDrift
from training.watch.score_shift import ScoreShift

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "acs_employment_ma_2015_2018.npz"
REFERENCE_YEAR = 2015
CHUNK = 5000
SHIFTED = [27, 28]
ONSET = 26
VECTORS = {27: 2.71, 28: 0.77, ONSET: 0.069}
SILENT_INDEX = 0.0185
AUDIT_RATE = 0.05
FALSE_ALARM_RATE = 0.05
NEVER = 10**9

Floats = npt.NDArray[np.float64]


def run(effort: Effort) -> list[Check]:
    """Every claim about the stream; quickly: with fewer audit draws."""
    if not DATA.is_file():
        return [
            Check(
                claim="the score shift of the ACS stream",
                measured=f"SKIPPED: {DATA.name} is not in ../shared/data beside the repository",
                holds=True,
            )
        ]
    with np.load(DATA) as archive:
        year, score = archive["year"], archive["score"].astype(np.float64)
        correct = (score >= 0.5) == (archive["label"] == 1)
    confidence = np.maximum(score, 1.0 - score)
    reference = year == REFERENCE_YEAR
    positive = _by_chunk(score[reference], score[~reference])
    answer = _by_chunk(confidence[reference], confidence[~reference])
    return [
        *_index(positive),
        _same_warnings(answer),
        _distance(positive, answer),
        *_calibration(
            correct[~reference], confidence[~reference], draws=400 if effort is Effort.FULL else 40
        ),
    ]


def _by_chunk(reference: Floats, scores: Floats) -> list[ScoreShift]:
    """The shift of each chunk, zero-based; the last one is not full and left out."""
    full = len(scores) // CHUNK
    return [score_shift.from_scores(reference, scores[k * CHUNK : (k + 1) * CHUNK]) for k in range(full)]


def _index(shifts: list[ScoreShift]) -> Iterator[Check]:
    warned = [chunk for chunk, shift in enumerate(shifts) if shift.psi_warns]
    others = max(shift.psi for chunk, shift in enumerate(shifts) if chunk not in VECTORS)
    yield Check(
        claim=f"the stability index of the positive's score warns at .1 in chunks {SHIFTED} of {len(shifts)} and in "
        "no other",
        measured=f"{warned}",
        holds=warned == SHIFTED,
    )
    measured = {chunk: shifts[chunk].psi for chunk in VECTORS}
    yield Check(
        claim=f"the index is {', '.join(f'{value} in chunk {chunk}' for chunk, value in VECTORS.items())}, and at most "
        ".018 elsewhere",
        measured=", ".join(f"{value:.4f} in {chunk}" for chunk, value in measured.items())
        + f", at most {others:.4f}",
        holds=all(_agrees(measured[chunk], value) for chunk, value in VECTORS.items())
        and others < SILENT_INDEX,
    )


def _agrees(measured: float, published: float) -> bool:
    """Whether rounding to the published digits gives the published number."""
    return round(measured, 3 if published < 0.1 else 2) == published


def _same_warnings(shifts: list[ScoreShift]) -> Check:
    warned = [chunk for chunk, shift in enumerate(shifts) if shift.psi_warns]
    return Check(
        claim=f"so does the index of the confidence in the given answer, which is what a sidecar records: {SHIFTED}",
        measured=f"{warned}, with {', '.join(f'{shifts[chunk].psi:.3f} in {chunk}' for chunk in VECTORS)}",
        holds=warned == SHIFTED,
    )


def _distance(positive: list[ScoreShift], answer: list[ScoreShift]) -> Check:
    warned = [
        [chunk for chunk, shift in enumerate(shifts) if shift.ks_warns] for shifts in (positive, answer)
    ]
    near = [ONSET, *SHIFTED]
    return Check(
        claim=f"the distance D warns at .09 in chunks {SHIFTED}, perhaps in the onset chunk {ONSET}, and in no other",
        measured=f"{warned[0]} by the positive's score ({', '.join(f'{positive[k].ks:.3f}' for k in near)} in {near}), "
        f"{warned[1]} by the confidence",
        holds=all(set(SHIFTED) <= set(which) <= set(near) for which in warned),
    )


def _calibration(correct: npt.NDArray[np.bool_], confidence: Floats, draws: int) -> Iterator[Check]:
    """The other alarm, on the same stream: do the confidences still mean what they say?"""
    every = int(_raised(correct[None], confidence[None])[0])
    chunk = slice(SHIFTED[0] * CHUNK, (SHIFTED[0] + 1) * CHUNK)
    gap = float((confidence[chunk] - correct[chunk]).mean())
    yield Check(
        claim=f"with every label of the stream the calibration alarm is silent before the onset chunk {ONSET}",
        measured=(f"first raised in chunk {every // CHUNK}" if every != NEVER else "never raised")
        + f"; in chunk {SHIFTED[0]} the accuracy is {correct[chunk].mean():.3f}, the confidence {gap * 100:.1f} points "
        "above it",
        holds=every >= ONSET * CHUNK,
    )
    rng = np.random.default_rng(REFERENCE_YEAR)
    size = round(AUDIT_RATE * correct.size)
    audits = np.stack([np.sort(rng.choice(correct.size, size, replace=False)) for _ in range(draws)])
    true_ones = rng.random(audits.shape) < confidence[audits]
    false_alarms = float((_raised(true_ones, confidence[audits]) != NEVER).mean())
    yield Check(
        claim=f"with {AUDIT_RATE:.0%} audits of these confidences, shift and all, and outcomes drawn from them, the "
        f"calibration alarm is raised in at most {FALSE_ALARM_RATE:.0%} of the streams",
        measured=f"{false_alarms:.1%} of {draws} streams of {size} labels",
        holds=false_alarms <= FALSE_ALARM_RATE,
    )
    position = _raised(correct[audits], confidence[audits])
    raised = position != NEVER
    chunks = audits[raised, position[raised]] // CHUNK
    by_the_shift = float(np.isin(chunks, [ONSET, *SHIFTED]).sum()) / draws
    yield Check(
        claim=f"with {AUDIT_RATE:.0%} audits and the real outcomes the shift itself (chunks {ONSET} to {SHIFTED[-1]}) "
        f"raises it in at most {FALSE_ALARM_RATE:.0%} of the draws: 500 labels do not show 1.7 points",
        measured=f"{by_the_shift:.1%} of {draws} draws; in any chunk {raised.mean():.1%}",
        holds=by_the_shift <= FALSE_ALARM_RATE,
    )


def _raised(correct: npt.NDArray[np.bool_], confidence: Floats) -> npt.NDArray[np.int64]:
    """Where each stream (n, T) first raises the calibration alarm, zero-based; its rate is meant for all T."""
    thresholds, start = Thresholds.of(FALSE_ALARM_RATE, correct.shape[1]), CalibrationDrift()
    fired = (paths.drift(start, correct, confidence) >= thresholds.mixture_log_e) | (
        paths.drift_change(start, correct, confidence) >= thresholds.change_log_statistic
    )
    return np.where(fired.any(axis=1), fired.argmax(axis=1), NEVER)
