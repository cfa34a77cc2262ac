"""The verdict on a challenger: one paired test on the same held-out labels, and no promise broken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from training import bands as band_module
from training import errors, intervals, losses
from training.bands import Band
from training.intervals import FloatArray

ReasonCode = Literal[
    "IMPROVED",
    "NOT_IMPROVED",
    "TOO_FEW_LABELS",
    "BAND_PROMISE_BROKEN",
    "BAND_PROMISE_STILL_BROKEN",
    "BAND_WITHOUT_LABELS",
    "ROUTING_SHIFT",
]

LEAST_LABELS = 30
LEAST_OF_EITHER = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One finding. `blocking` ones keep the champion; the others inform."""

    code: ReasonCode
    text: str
    blocking: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the challenger may be promoted, why, and the numbers behind it, all finite."""

    accept: bool
    reasons: tuple[Reason, ...]
    statistics: dict[str, float]


def judge(
    champion_confidence: FloatArray | None,
    challenger_confidence: FloatArray,
    correct: FloatArray,
    weights: FloatArray | None = None,
    groups: npt.NDArray[Any] | None = None,
    *,
    bands: Sequence[Band] = (),
    level: float = 0.95,
    raw_confidence: FloatArray | None = None,
) -> Verdict:
    """The gate of a retrain; call it once for each challenger, on labels that neither fit has seen.

    Accepted exactly if no reason blocks:

    * The one-sided `level` lower bound of the weighted mean difference in log-loss, champion minus
      challenger, paired row by row and clustered by group (Student's t with one degree of freedom less than
      there are clusters), is above 0. Log-loss and not a calibration error: a constant has ECE 0.
    * For each automatic band: the accuracy of what the challenger puts there is not below the band's lower
      edge beyond its two-sided `level` Korn-Graubard interval, unless the champion's is as well.
    * There are at least 30 effective labels (and groups), and 5 of either outcome.

    Args:
        champion_confidence: (n,) what is in force says; None means that nothing is, and `raw_confidence`
            stands in.
        challenger_confidence: (n,).
        correct: (n,) of 0/1.
        weights: (n,) above 0, None means equal.
        groups: (n,) keys of rows that depend on each other.
        bands: of the policy; empty leaves promises and routing out.
        level: of the test and of the intervals.
        raw_confidence: (n,) the identity's answer, needed exactly where there is no champion.

    Raises:
        RequestRefused: there is neither a champion nor a raw confidence, or the bands leave a gap.
    """
    reference = champion_confidence if champion_confidence is not None else raw_confidence
    if reference is None:
        raise errors.RequestRefused("without a champion, pass the raw confidence to compare with")
    opponent = "the champion" if champion_confidence is not None else "the raw confidence"
    weights = np.ones(correct.size) if weights is None else weights
    reasons, statistics = _improvement(
        reference, challenger_confidence, correct, weights, groups, level, opponent
    )
    if bands and correct.size:
        for band in bands:
            if band.automatic:
                found, numbers = _promise(
                    band, reference, challenger_confidence, correct, weights, groups, level, opponent
                )
                reasons += found
                statistics |= numbers
        shift, numbers = _routing(bands, reference, challenger_confidence, weights)
        reasons.append(shift)
        statistics |= numbers
    return Verdict(
        accept=not any(reason.blocking for reason in reasons), reasons=tuple(reasons), statistics=statistics
    )


def _improvement(
    reference: FloatArray,
    challenger: FloatArray,
    correct: FloatArray,
    weights: FloatArray,
    groups: npt.NDArray[Any] | None,
    level: float,
    opponent: str,
) -> tuple[list[Reason], dict[str, float]]:
    right = int(correct.sum())
    wrong = int(correct.size) - right
    if not correct.size:
        none = Reason(code="TOO_FEW_LABELS", text="there are no held-out labels", blocking=True)
        return [none], {"n": 0.0, "n_effective": 0.0}
    before = losses.log_losses(reference, correct)
    after = losses.log_losses(challenger, correct)
    gain = intervals.weighted_mean(before - after, weights, groups)
    statistics = {
        "n": float(gain.n),
        "n_effective": gain.n_effective,
        "clusters": float(gain.clusters),
        "clusters_effective": gain.clusters_effective,
        "champion_log_loss": float(np.average(before, weights=weights)),
        "challenger_log_loss": float(np.average(after, weights=weights)),
        "improvement": gain.mean,
    }
    size = (
        f"{gain.n} labels ({gain.clusters_effective:.0f} effective{' groups' if groups is not None else ''}; "
        f"{right} correct, {wrong} incorrect)"
    )
    if gain.clusters_effective < LEAST_LABELS or min(right, wrong) < LEAST_OF_EITHER:
        text = (
            f"{size} are too few to judge: {LEAST_LABELS} effective and {LEAST_OF_EITHER} of either outcome "
            "are needed; raise the audit rate or wait"
        )
        return [Reason(code="TOO_FEW_LABELS", text=text, blocking=True)], statistics
    quantile = float(special.stdtrit(gain.clusters - 1, level))
    bound = gain.mean - quantile * gain.standard_error
    statistics |= {"improvement_standard_error": gain.standard_error, "improvement_bound": bound}
    numbers = (
        f"log-loss {statistics['challenger_log_loss']:.4f} against {statistics['champion_log_loss']:.4f} of "
        f"{opponent}, a gain of {gain.mean:+.4f} (one-sided {level:.0%} bound {bound:+.4f}), on {size}"
    )
    if bound > 0.0:
        return [Reason(code="IMPROVED", text=f"the challenger is better: {numbers}")], statistics
    text = f"the challenger is not shown to be better: {numbers}"
    return [Reason(code="NOT_IMPROVED", text=text, blocking=True)], statistics


def _promise(
    band: Band,
    reference: FloatArray,
    challenger: FloatArray,
    correct: FloatArray,
    weights: FloatArray,
    groups: npt.NDArray[Any] | None,
    level: float,
    opponent: str,
) -> tuple[list[Reason], dict[str, float]]:
    def measure(confidence: FloatArray) -> tuple[intervals.WeightedMean, float, float] | None:
        held = band.holds(confidence)
        if not held.any():
            return None
        estimate = intervals.weighted_mean(
            correct[held], weights[held], None if groups is None else groups[held]
        )
        return (estimate, *intervals.korn_graubard(estimate, level))

    after, before = measure(challenger), measure(reference)
    numbers: dict[str, float] = {}
    for who, measured in (("champion", before), ("challenger", after)):
        if measured is not None:
            numbers[f"{who}_accuracy_{band.name}"] = measured[0].mean
            numbers[f"{who}_accuracy_high_{band.name}"] = measured[2]
    if after is None:
        text = f"band {band.name}: the challenger puts no labelled decision there, so its promise is untested"
        return [Reason(code="BAND_WITHOUT_LABELS", text=text)], numbers
    estimate, low, high = after
    if high >= band.low:
        return [], numbers
    text = (
        f"band {band.name} promises {band.low:.2f}, but of the {estimate.n} labels that the challenger puts "
        f"there {estimate.mean:.3f} are correct ({level:.0%} interval {low:.3f} to {high:.3f})"
    )
    if before is not None and before[2] < band.low:
        text += f"; {opponent} breaks it too ({before[0].mean:.3f}, up to {before[2]:.3f})"
        return [Reason(code="BAND_PROMISE_STILL_BROKEN", text=text)], numbers
    return [Reason(code="BAND_PROMISE_BROKEN", text=text, blocking=True)], numbers


def _routing(
    bands: Sequence[Band], reference: FloatArray, challenger: FloatArray, weights: FloatArray
) -> tuple[Reason, dict[str, float]]:
    automatic = np.array([band.automatic for band in bands])
    before, after = band_module.place(bands, reference), band_module.place(bands, challenger)
    moved = float(np.average(before != after, weights=weights))
    share_before = float(np.average(automatic[before], weights=weights))
    share_after = float(np.average(automatic[after], weights=weights))
    text = (
        f"{moved:.1%} of the held-out decisions change their band; automatic {share_before:.1%} before, "
        f"{share_after:.1%} after"
    )
    numbers = {"band_changed": moved, "automatic_before": share_before, "automatic_after": share_after}
    return Reason(code="ROUTING_SHIFT", text=text), numbers
