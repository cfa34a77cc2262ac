"""Whether the scores of now are those that a calibrator was fitted on; a warning, and never more than that."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from calibrators import Calibrator
from sidecar import times
from sidecar.ledger import artifacts
from sidecar.ledger.store import Ledger
from sidecar.ledger.watch_states import RecentScores
from training.watch import score_shift
from training.watch.score_shift import ScoreShift

LEAST_SCORES = 100
"""In the fitting window, to be a reference; the document's histogram says itself how many it rests on."""


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
        shift = score_shift.from_histogram(
            calibrator.histogram, recent.scores, reference_n=n or math.inf, warning=warning
        )
    elif calibrator is not None:
        window = _window(calibrator)
        before = () if window is None else scores_between(*window)
        reference = "the calibrator carries no histogram, and the ledger too few decisions of its window"
        if len(before) >= LEAST_SCORES:
            reference = f"the {len(before):,} decisions of the fitting window"
            shift = score_shift.from_scores(before, recent.scores, warning=warning)
    return VersionShift(
        model_version=recent.model_version,
        calibrator=recent.calibrator_digest,
        shift=shift,
        reference=reference,
    )


def calibrator_of(ledger: Ledger, digest: str) -> Calibrator | None:
    """The calibrator of a digest, from the ledger; None where it does not have the document."""
    with ledger.reading() as at:
        return artifacts.calibrator_of(at, digest)


def _window(calibrator: Calibrator) -> tuple[float, float] | None:
    fit = calibrator.fit
    if fit is None or fit.window_from is None or fit.window_to is None:
        return None
    start, end = (times.moment(text) for text in (fit.window_from, fit.window_to))
    return start, math.nextafter(end, math.inf)
