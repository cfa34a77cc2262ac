"""The steps of a fallback chain as they were taken, and the calibrators that were asked on the way."""

from typing import Literal

import msgspec

StepOutcome = Literal["CLEARED", "NOT_CLEARED", "NO_ANSWER", "FAILED", "SKIPPED"]


class CalibratorReference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The calibrator that made a calibrated confidence."""

    name: str
    version: str = ""
    kind: str
    digest: str


class FallbackStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of the fallback chain."""

    step: str
    outcome: StepOutcome
    code: str = ""
    duration_seconds: float = 0.0
    rule: str = ""  # the name of the rule that matched, or failed; of step `rules` only
    answer_class: str = ""
    raw_confidence: float | None = None
    calibrated_confidence: float | None = None
    lower_bound: float | None = None
    calibrator: CalibratorReference | None = None
