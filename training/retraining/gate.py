"""The verdict on a challenger: one paired test on the same held-out labels, and no promise broken."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from training import errors
from training.measure import intervals, losses
from training.measure.intervals import FloatArray
from training.retraining import promises
from training.retraining.placement import Placement
from training.retraining.promises import Promised

ReasonCode = Literal[
    "IMPROVED",
    "NOT_IMPROVED",
    "FIRST_CALIBRATOR",
    "TOO_FEW_LABELS",
    "BAND_PROMISE_BROKEN",
    "BAND_PROMISE_STILL_BROKEN",
    "BAND_WITHOUT_LABELS",
    "SCORE_UNINFORMATIVE",
    "LABELS_SET_ASIDE",
    "CHAMPION_WINDOW_UNKNOWN",
    "UNDRAWN_LABELS",
    "ROUTING_SHIFT",
    "SHIFT_NEEDS_APPROVAL",
    "ROLLED_BACK",
    "MOVED_BY_HAND",
]
GateOutcome = Literal["accepted", "needs_a_person", "kept_champion"]

FOR_A_PERSON: frozenset[ReasonCode] = frozenset({"SHIFT_NEEDS_APPROVAL", "ROLLED_BACK", "MOVED_BY_HAND"})
"""What blocks a promotion that nobody asked for, and that a person may decide otherwise."""

LEAST_LABELS = 30
LEAST_OF_EITHER = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReason:
    """One finding. `blocking` ones keep the champion; the others inform."""

    code: ReasonCode
    text: str
    blocking: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """Whether the challenger may be promoted, why, and the numbers behind it, all finite."""

    reasons: tuple[GateReason, ...]
    statistics: dict[str, float]

    @property
    def accept(self) -> bool:
        """Whether no reason blocks."""
        return not any(reason.blocking for reason in self.reasons)

    @property
    def outcome(self) -> GateOutcome:
        """The verdict in a word; `needs_a_person` where only such reasons block as a person may overrule."""
        blocking = {reason.code for reason in self.reasons if reason.blocking}
        if not blocking:
            return "accepted"
        return "needs_a_person" if blocking <= FOR_A_PERSON else "kept_champion"

    def with_reasons(
        self, reasons: Iterable[GateReason], statistics: Mapping[str, float] = {}
    ) -> "GateVerdict":
        """The verdict with further findings."""
        return GateVerdict(reasons=(*self.reasons, *reasons), statistics={**self.statistics, **statistics})


def judge(
    champion_confidence: FloatArray | None,
    challenger_confidence: FloatArray,
    correct: FloatArray,
    weights: FloatArray | None = None,
    groups: npt.NDArray[Any] | None = None,
    *,
    level: float = 0.95,
    raw_confidence: FloatArray | None = None,
    promised: Sequence[Promised] = (),
    before: Placement | None = None,
    after: Placement | None = None,
    categories: npt.NDArray[np.str_] | None = None,
) -> GateVerdict:
    """The gate of a retrain; call it once for each challenger, on labels that neither fit has seen.

    Accepted exactly if no reason blocks:

    * The one-sided `level` lower bound of the weighted mean difference in log-loss, champion minus
      challenger, paired row by row and clustered by group (Student's t with one degree of freedom less than
      there are clusters), is above 0. Log-loss and not a calibration error: a constant has ECE 0. Where
      nothing is in force, and so everything is held, it is enough that the challenger is not shown to be
      worse than the raw confidence: a model that is calibrated already needs no improvement to go live.
    * For each promise of the policy: the accuracy of what the challenger lets act there is not below it beyond
      its two-sided Korn-Graubard interval at the promise's own confidence. Where what the champion lets act
      is below it as well, the challenger's must not be lower yet beyond both intervals.
    * There are at least 30 effective labels (and groups), and 5 of either outcome.

    Args:
        champion_confidence: (n,) what is in force says; None means that nothing is, and `raw_confidence`
            stands in.
        challenger_confidence: (n,).
        correct: (n,) of 0/1.
        weights: (n,) above 0, None means equal.
        groups: (n,) keys of rows that depend on each other.
        level: of the test.
        raw_confidence: (n,) the identity's answer, needed exactly where there is no champion.
        promised: the policy's promises; they need `after`.
        before: where the champion puts the answers; None where nothing is in force, and so nothing acts.
        after: where the challenger puts them.
        categories: (n,) in their normal form.

    Raises:
        RequestRefused: there is neither a champion nor a raw confidence, or promises without `after`.
    """
    reference = champion_confidence if champion_confidence is not None else raw_confidence
    if reference is None:
        raise errors.RequestRefused("without a champion, pass the raw confidence to compare with")
    if promised and after is None:
        raise errors.RequestRefused("promises need the challenger's placement")
    opponent = "the champion" if champion_confidence is not None else "the raw confidence"
    weights = np.ones(correct.size) if weights is None else weights
    reasons, statistics = _improvement(
        reference,
        challenger_confidence,
        correct,
        weights,
        groups,
        level,
        opponent,
        first=champion_confidence is None,
    )
    if after is not None and correct.size:
        for promise in promised:
            found = [
                None if side is None else promises.check(promise, side, correct, weights, groups, categories)
                for side in (before, after)
            ]
            reasons += _kept(promise, found[0], found[1])
            for who, kept in zip(("champion", "challenger"), found, strict=True):
                statistics |= promises.as_numbers(promise.name, who, kept)
    return GateVerdict(reasons=tuple(reasons), statistics=statistics)


def _improvement(
    reference: FloatArray,
    challenger: FloatArray,
    correct: FloatArray,
    weights: FloatArray,
    groups: npt.NDArray[Any] | None,
    level: float,
    opponent: str,
    *,
    first: bool,
) -> tuple[list[GateReason], dict[str, float]]:
    right = int(correct.sum())
    wrong = int(correct.size) - right
    if not correct.size:
        none = GateReason(code="TOO_FEW_LABELS", text="there are no held-out labels", blocking=True)
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
        return [GateReason(code="TOO_FEW_LABELS", text=text, blocking=True)], statistics
    quantile = float(special.stdtrit(gain.clusters - 1, level))
    bound = gain.mean - quantile * gain.standard_error
    statistics |= {"improvement_standard_error": gain.standard_error, "improvement_bound": bound}
    numbers = (
        f"log-loss {statistics['challenger_log_loss']:.4f} against {statistics['champion_log_loss']:.4f} of "
        f"{opponent}, a gain of {gain.mean:+.4f} (one-sided {level:.0%} bound {bound:+.4f}), on {size}"
    )
    if bound > 0.0:
        return [GateReason(code="IMPROVED", text=f"the challenger is better: {numbers}")], statistics
    if first and gain.mean + quantile * gain.standard_error >= 0.0:
        text = f"nothing is in force, and the challenger is not shown to be worse: {numbers}"
        return [GateReason(code="FIRST_CALIBRATOR", text=text)], statistics
    text = f"the challenger is not shown to be better: {numbers}"
    return [GateReason(code="NOT_IMPROVED", text=text, blocking=True)], statistics


def _kept(promise: Promised, before: promises.Kept | None, after: promises.Kept | None) -> list[GateReason]:
    if after is None:
        text = (
            f"band {promise.name}: the challenger lets no labelled decision act there, so its promise is "
            "untested"
        )
        return [GateReason(code="BAND_WITHOUT_LABELS", text=text)]
    if after.high >= promise.accuracy:
        return []
    text = (
        f"band {promise.name} promises {promise.accuracy:.2f}, but of the {after.n} labels that the challenger "
        f"lets act there {after.accuracy:.3f} are correct ({promise.confidence:.0%} interval {after.low:.3f} "
        f"to {after.high:.3f})"
    )
    if before is None or before.high >= promise.accuracy:
        return [GateReason(code="BAND_PROMISE_BROKEN", text=text, blocking=True)]
    text += f"; the champion breaks it too ({before.accuracy:.3f}, up to {before.high:.3f})"
    if promises.worse(before, after):
        text += f", and the challenger by more, beyond both intervals (from {before.low:.3f})"
        return [GateReason(code="BAND_PROMISE_BROKEN", text=text, blocking=True)]
    return [GateReason(code="BAND_PROMISE_STILL_BROKEN", text=text)]
