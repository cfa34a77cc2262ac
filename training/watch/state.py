"""What a watch remembers of a stream: a few numbers for each detector, its alarms, and which decisions fed it."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import msgspec

from training import errors
from training.watch import breach
from training.watch.breach import BetaMixture, ShiryaevRoberts
from training.watch.calibration_drift import CalibrationDrift
from training.watch.streams import Observation, Stream

DIGEST_BYTES = 8

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """The detectors of a stream, its alarms, and what fed it.

    Attributes:
        stream: which.
        began_at: since when the detectors count: its first label, or the last acknowledgement.
        labels: taken in since then.
        correct: of those.
        change: None where nothing is promised.
        drift: over those labels whose answer had a calibrated confidence.
        last_label_at: the latest `recorded_at` that was taken in.
        newest_decided_at: when the newest of the labelled answers was given.
        alarms: oldest first; at most one of a kind is open.
        taken: eight bytes for each decision that ever fed it, sorted, so that none feeds it twice.
        schema: of this record.
    """

    stream: Stream
    began_at: float
    labels: int = 0
    correct: int = 0
    change: ShiryaevRoberts | None = None
    drift: CalibrationDrift = field(default_factory=CalibrationDrift)
    last_label_at: float = 0.0
    newest_decided_at: float = 0.0
    alarms: tuple[Alarm, ...] = ()
    taken: bytes = b""
    schema: Literal[1] = 1

    @classmethod
    def start(cls, stream: Stream, *, at: float) -> Self:
        """The state before the first label."""
        change = None if stream.promise is None else ShiryaevRoberts.start(stream.promise)
        return cls(stream=stream, began_at=at, change=change)

    @property
    def wrong(self) -> int:
        """Labels that said that the answer was wrong."""
        return self.labels - self.correct

    @property
    def mixture_log_e(self) -> float:
        """The ln of the evidence that the promise was never kept; 0 where there is none."""
        if self.stream.promise is None:
            return 0.0
        return BetaMixture.default(self.stream.promise).log_e(self.correct, self.wrong)

    @property
    def change_log_statistic(self) -> float:
        """The ln of the change detector's statistic; minus infinity where there is none."""
        return -math.inf if self.change is None else self.change.log_statistic

    @property
    def drift_log_e(self) -> float:
        """The ln of the evidence that confidences are off, from the start or from some label on; 0 without labels."""
        if not self.drift.labels:
            return 0.0
        return breach.pair_log_e(self.drift.log_e, self.drift.log_statistic, self.drift.labels)

    def open_alarm(self, kind: AlarmKind) -> Alarm | None:
        """The alarm of that kind of which nobody took note yet."""
        return next((alarm for alarm in self.alarms if alarm.kind == kind and alarm.is_open), None)

    def updated(self, seen: Observation) -> Self:
        """The state after a label; `with_taken` notes the decision."""
        return replace(
            self,
            labels=self.labels + 1,
            correct=self.correct + seen.correct,
            change=None if self.change is None else self.change.updated(seen.correct),
            drift=self.drift
            if seen.confidence is None
            else self.drift.updated(seen.correct, seen.confidence),
            last_label_at=max(self.last_label_at, seen.recorded_at),
            newest_decided_at=max(self.newest_decided_at, seen.decided_at),
        )

    def untaken(self, observations: Iterable[Observation]) -> list[Observation]:
        """Those whose decision has not fed the stream yet; the order stays."""
        known = set(_digests(self.taken))
        return [seen for seen in observations if digest(seen.decision_id) not in known]

    def with_taken(self, observations: Iterable[Observation]) -> Self:
        """The state that remembers these decisions."""
        known = {*_digests(self.taken), *(digest(seen.decision_id) for seen in observations)}
        return replace(self, taken=b"".join(sorted(known)))

    def with_alarm(self, alarm: Alarm) -> Self:
        """The state with one alarm more."""
        return replace(self, alarms=(*self.alarms, alarm))

    def with_changed(self, old: Alarm, new: Alarm) -> Self:
        """The state with an alarm in the place of another."""
        return replace(self, alarms=tuple([new if alarm == old else alarm for alarm in self.alarms]))

    def acknowledged(self, *, by: str, reason: str, at: float) -> Self:
        """The state after a person took note of its alarms: the detectors begin anew with the next label.

        Otherwise they would stay where they are and could never tell of the next breach. Each beginning
        spends the false alarm rate again.

        Raises:
            RequestRefused: there is nothing to acknowledge.
        """
        if not any(alarm.is_open for alarm in self.alarms):
            raise errors.RequestRefused(f"stream {self.stream.id} ({self.stream}) has no open alarm")
        closed = tuple(
            [
                alarm.acknowledged(by=by, reason=reason, at=at) if alarm.is_open else alarm
                for alarm in self.alarms
            ]
        )
        anew = type(self).start(self.stream, at=at)
        return replace(
            anew,
            alarms=closed,
            taken=self.taken,
            last_label_at=self.last_label_at,
            newest_decided_at=self.newest_decided_at,
        )


def digest(decision_id: str) -> bytes:
    """What is remembered of a decision: two of a million share it with a probability of 3e-8."""
    return hashlib.blake2b(decision_id.encode(), digest_size=DIGEST_BYTES).digest()


def encode(state: StreamState) -> str:
    """The state as JSON; numbers come back bit for bit."""
    return msgspec.json.encode(state).decode()


def decode(text: str) -> StreamState:
    """The state that `encode` wrote.

    Raises:
        RequestRefused: it cannot be read by this version.
    """
    try:
        return msgspec.json.decode(text, type=StreamState)
    except (msgspec.DecodeError, errors.RequestRefused) as error:
        raise errors.RequestRefused(
            f"what the ledger remembers of a stream cannot be read by this version: {error}; run the version that "
            "wrote it, or a newer one"
        ) from error


def _digests(taken: bytes) -> Iterable[bytes]:
    return (taken[start : start + DIGEST_BYTES] for start in range(0, len(taken), DIGEST_BYTES))
