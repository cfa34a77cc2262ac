"""Alarms: what was raised, on which evidence, and what became of it. An alarm stays until a person saw it."""

from dataclasses import dataclass, replace
from typing import Literal, Self

AlarmKind = Literal["ACCURACY", "CALIBRATION"]
"""ACCURACY: what acted is right less often than promised. CALIBRATION: confidences do not mean what they say."""

Detector = Literal["mixture", "change", "drift"]
CLAIM_SECONDS = 300.0
"""How long another watch is taken to be at work on what it has claimed, such as a suspension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm of a stream.

    Attributes:
        kind: what is wrong.
        detector: which one found it.
        fired_at: when a watch found it, in seconds since the epoch.
        label_at: when the label became known that brought the evidence.
        labels: how many labels the detectors had seen then.
        correct: how many of those were correct.
        log_evidence: ln of the detector's statistic then.
        log_needed: ln of the threshold that it reached.
        hold_claimed_at: when a watch set out to suspend the band; None: none did, or it failed.
        suspension_id: of the suspension that followed.
        acknowledged_at: when a person took note; None: nobody did.
        acknowledged_by: who.
        acknowledged_reason: in their words.
    """

    kind: AlarmKind
    detector: Detector
    fired_at: float
    label_at: float
    labels: int
    correct: int
    log_evidence: float
    log_needed: float
    hold_claimed_at: float | None = None
    suspension_id: str = ""
    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    acknowledged_reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether nobody took note of it yet."""
        return self.acknowledged_at is None

    def acknowledged(self, *, by: str, reason: str, at: float) -> Self:
        """The alarm, once a person took note of it."""
        return replace(self, acknowledged_by=by, acknowledged_reason=reason, acknowledged_at=at)

    def wants_hold(self, now: float) -> bool:
        """Whether a suspension is still to be written: none followed, and no other watch is at it.

        One that a person lifted is not written again for the same alarm.
        """
        if self.kind != "ACCURACY" or not self.is_open or self.suspension_id:
            return False
        return self.hold_claimed_at is None or now - self.hold_claimed_at >= CLAIM_SECONDS
