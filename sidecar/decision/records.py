"""What the journal holds and the ledger keeps: immutable records with a stable encoding.

msgspec's frozen structs rather than dataclasses: one is made and encoded for every answer, and they cost a
tenth. Times are seconds since the epoch. Every record decodes to an equal one, floats bit for bit.
"""

from typing import Literal

import msgspec

from calibrators.evidence import Evidence
from sidecar.decision.suspensions import Resumption, Suspension
from sidecar.policy.actions import Action, AnswerSource, Intent, Reason, TaskKind
from sidecar.policy.floors import FloorHit

LabelSubject = Literal["FINAL", "PRIMARY", "SECONDARY", "RULE"]
LabelChannel = Literal["REVIEW_TASK", "AUDIT_TASK", "OUTCOME", "VOLUNTEERED", "IMPORTED"]
StepOutcome = Literal["CLEARED", "NOT_CLEARED", "NO_ANSWER", "FAILED", "SKIPPED"]
ArtifactKind = Literal["policy", "floors", "calibrator"]
GovernanceKind = Literal[
    "PROMOTED",
    "RETRAINED",
    "ROLLED_BACK",
    "REVOKED",
    "MOVED_BY_HAND",
    "POLICY_CHANGED",
    "FLOORS_CHANGED",
    "ADMISSION_REFUSED",
]


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


class PlannedTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A review task that a decision opens, with what the policy says about such tasks.

    Attributes:
        kind: why it exists.
        due_at: when it should be done.
        blind: whether prediction and confidence are hidden from the reviewer.
        overlap: how many different reviewers must judge it.
        skill: what a reviewer must be trained for; empty: nothing.
        criterion: by which the model's answers are judged.
        expires_at: from when on it ends undecided if nobody has it; None: never.
    """

    kind: TaskKind
    due_at: float
    blind: bool = False
    overlap: int = 1
    skill: str = ""
    criterion: str = "correct"
    expires_at: float | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="decision"):
    """One answer of a decision: what was answered, with every version that led to it."""

    decision_id: str
    answer_id: str
    # What was asked.
    tenant: str = ""
    model: str
    model_version: str = ""
    request_id: str = ""
    subject_ref: str = ""
    group_key: str = ""
    category: str = ""  # normalised
    category_source: Literal["CALLER", "MODEL"] = "CALLER"
    predicted_class: str = ""
    answer_digest: str = ""
    occurred_at: float
    evidence: Evidence
    intent: Intent = Intent.LIVE
    attributes: dict[str, str | float | bool] = {}
    context: dict[str, str] = {}
    principal: str = ""  # who asked
    # What was answered.
    action: Action
    may_act: bool = False
    enforced: bool = True
    band: str = ""
    raw_confidence: float | None = None
    calibrated_confidence: float | None = None
    lower_bound: float | None = (
        None  # of the calibrated confidence, where the calibrator carries a lower curve
    )
    reasons: tuple[Reason, ...] = ()
    final_class: str = ""
    source: AnswerSource = AnswerSource.PRIMARY
    mandatory: bool = False
    floors: tuple[FloorHit, ...] = ()
    steps: tuple[FallbackStep, ...] = ()
    decided_at: float
    expires_at: float
    # What led to it.
    calibrator: CalibratorReference | None = None
    stale_seconds: float | None = None
    policy_digest: str
    floors_digest: str = ""
    sidecar_id: str
    engine_version: str
    # How it is followed up.
    audit_rate: float = 0.0  # the planned propensity of the audit draw
    audit_key_id: str = ""
    drawn: bool = False
    audit_budget: int = 0  # at most so many of a week's drawn ones are sampled; 0: all, and at once
    audit_draw: float | None = None  # of a drawn one under a budget, for the ledger, which has no keys
    tasks: tuple[PlannedTask, ...] = ()


class Label(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="label"):
    """What turned out to be true, about whose answer, by which criterion, who says so, and when.

    At most one of `correct`, `true_class` and `cannot_tell` says something.
    """

    decision_id: str
    source: str
    event_id: str
    about: LabelSubject = "FINAL"
    correct: bool | None = None
    true_class: str | None = None
    cannot_tell: bool = False
    true_category: str | None = None
    criterion: str = "correct"
    guideline_version: str = ""
    task_id: str = ""
    channel: LabelChannel = "VOLUNTEERED"
    supersedes: str = ""
    reviewer: str = ""
    note: str = ""
    stale: bool = False  # from a lease that was no longer the task's: kept, and never counted
    observed_at: float
    recorded_at: float
    sidecar_id: str


class Artifact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="artifact"):
    """The text behind a digest, kept for ever."""

    digest: str
    kind: ArtifactKind
    body: str


class InForce(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="in_force"):
    """From `since` on, this sidecar decides with `digest` in `slot`, until the slot's next record.

    `slot` is `policy`, `floors` or `calibrator:MODEL` (`calibrator:MODEL:VERSION` for a version of its own);
    an empty `digest` says that nothing is in force there any more. Slot `sidecar` marks a clean stop.
    `challenger:MODEL` is what is evaluated beside `calibrator:MODEL` and decides nothing.
    """

    sidecar_id: str
    slot: str
    digest: str = ""
    name: str = ""
    version: str = ""
    since: float


class Governance(msgspec.Struct, frozen=True, kw_only=True, tag="governance", rename={"from_": "from"}):
    """Who changed what decides, from what to what, and on which evidence, as a sidecar came to see it.

    Attributes:
        event_id: derived from what happened, so that many sidecars that see one event keep it once.
        kind: RETRAINED is a promotion by a retrain that its gate accepted.
        subject: `NAME@alias` of a registered model, `NAME` for what concerns a version, `policy` or `floors`.
        from_: the version or digest before; empty: none.
        to: the one after, or, of REVOKED and ADMISSION_REFUSED, the one in question; empty: none.
        by: who; `unknown` where nobody wrote it down.
        reason: why, in their words.
        evidence: the MLflow run that it was based on; empty: none was named.
        happened_at: when; where nobody wrote it down, when it was seen.
        seen_at: when this sidecar saw it.
    """

    event_id: str
    kind: GovernanceKind
    subject: str
    from_: str = ""
    to: str = ""
    by: str = "unknown"
    reason: str = ""
    evidence: str = ""
    happened_at: float
    seen_at: float
    sidecar_id: str


class ShadowPair(msgspec.Struct, frozen=True, kw_only=True):
    """How many answers the champion put in one band and the challenger in another; empty: in none."""

    band: str
    shadow_band: str
    n: int


class ShadowCounts(msgspec.Struct, frozen=True, kw_only=True, tag="shadow_counts"):
    """Where a challenger would have put the answers of one UTC day, so far.

    The numbers are totals since the process began the day, not steps: a later record of the same `run_id`
    replaces an earlier one, so that repeating one, or taking in both, counts nothing twice.

    Attributes:
        run_id: of the process that counted.
        day: days since 1970-01-01.
        champion: digest of the calibrator that decided.
        challenger: digest of the one that was evaluated beside it.
    """

    run_id: str
    sidecar_id: str
    day: int
    model: str
    champion: str
    challenger: str
    pairs: tuple[ShadowPair, ...]


Record = Decision | Label | Artifact | InForce | Suspension | Resumption | Governance | ShadowCounts

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """The record as one JSON object, with its type under `type`."""
    return _encoder.encode(record)


def decode(data: bytes) -> Record:
    """The record that `encode` made.

    Raises:
        msgspec.ValidationError: it is not a record of this version.
    """
    return _decoder.decode(data)
