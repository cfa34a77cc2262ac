"""What the journal holds and the ledger keeps: immutable records with a stable encoding.

msgspec's frozen structs rather than dataclasses: one is made and encoded for every answer, and they cost a
tenth. Times are seconds since the epoch. Every record decodes to an equal one, floats bit for bit.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

from sidecar.decision.provenance import Provenance, Resolve
from sidecar.decision.query import Query
from sidecar.decision.steps import FallbackStep
from sidecar.decision.suspensions import Resumption, Suspension
from sidecar.decision.verdict import Verdict
from sidecar.policy.actions import Action, AnswerSource, Reason, TaskKind

FORMAT = 1
"""The number of the records' encoding. A journal says which it holds; later versions read every lower one."""

LabelSubject = Literal["FINAL", "PRIMARY", "SECONDARY", "RULE"]
LabelChannel = Literal["REVIEW_TASK", "AUDIT_TASK", "OUTCOME", "VOLUNTEERED", "IMPORTED"]
ArtifactKind = Literal["policy", "floors", "calibrator", "provenance"]
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


QueueState = Literal["", "DELAYED", "UNAVAILABLE"]

EXPIRES_AFTER_SECONDS = 86400.0
"""A policy's default, which a record need not repeat."""


class Decision(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag="decision",
    rename={"decision_id": "id", "decided_at": "at", "stale_seconds": "stale"},
):
    """One answer of a decision: what was asked, what was answered, and what led to it.

    `decide(query, ...)` under what its provenance names is its verdict, to the last bit.

    Attributes:
        decision_id: 32 hexadecimal digits, of the request where it has an id.
        own_answer_id: what tells apart the answers of one decision; empty where there can be only one.
        query: tied to the policy's classes.
        verdict: before the review queue had its say.
        steps: of the fallback chain, as they were taken.
        queue: DELAYED: the way to the review queue was blocked, and the hold waits in the journal. UNAVAILABLE:
            the queue could not take it, so that the answer is UNCERTAIN.
        decided_at: seconds since the epoch.
        expires_after: for so many seconds may the answer be acted on.
        stale_seconds: since the calibrator was last confirmed; None where none was in force.
        provenance: under what it was decided; a record keeps its digest.
        drawn: whether it was drawn for audit.
        audit_draw: of a drawn one under a budget, for the ledger, which has no keys.
        tasks: the review tasks that it opens.
    """

    decision_id: str
    own_answer_id: str = ""
    query: Query
    verdict: Verdict
    steps: tuple[FallbackStep, ...] = ()
    queue: QueueState = ""
    decided_at: float
    expires_after: float = EXPIRES_AFTER_SECONDS
    stale_seconds: float | None = None
    provenance: Provenance
    drawn: bool = False
    audit_draw: float | None = None
    tasks: tuple[PlannedTask, ...] = ()

    @property
    def answer_id(self) -> str:
        """Unique for each answer; a retry on another sidecar is another answer of the same decision."""
        return self.own_answer_id or self.decision_id

    @property
    def action(self) -> Action:
        """What happens to the answer: the verdict's action, or UNCERTAIN where the review queue cannot take it."""
        return Action.UNCERTAIN if self.queue == "UNAVAILABLE" else self.verdict.action

    @property
    def may_act(self) -> bool:
        """Whether the answer may be acted on without a person."""
        return self.verdict.may_act and self.queue != "UNAVAILABLE"

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The verdict's, and what the state of the queue adds."""
        if not self.queue:
            return self.verdict.reasons
        return (*self.verdict.reasons, QUEUE_REASONS[self.queue])

    @property
    def final_class(self) -> str:
        """The answer that decided: the primary's, or that of the fallback step that cleared."""
        primary = self.verdict.source is AnswerSource.PRIMARY
        return self.query.predicted_class if primary else self.verdict.final_class

    @property
    def occurred_at(self) -> float:
        """When the answer was given, in seconds since the epoch."""
        return self.decided_at if self.query.occurred_at is None else self.query.occurred_at

    @property
    def expires_at(self) -> float:
        """From when on the answer is not to be acted on, in seconds since the epoch."""
        return self.decided_at + self.expires_after


QUEUE_REASONS: Mapping[str, Reason] = {
    "DELAYED": Reason.REVIEW_DELAYED,
    "UNAVAILABLE": Reason.REVIEW_UNAVAILABLE,
}


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


def artifact_of(provenance: Provenance) -> Artifact:
    """The record of a provenance, which stands before the decisions that refer to it."""
    return Artifact(digest=provenance.digest, kind="provenance", body=provenance.text)


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

T = TypeVar("T")


def _referred(value: Any) -> str:
    if isinstance(value, Provenance):
        return value.digest
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_referred)


def encode(record: Record) -> bytes:
    """The record as one JSON object, with its type under `type`."""
    return _encoder.encode(record)


def decoder(kind: type[T], resolve: Resolve) -> msgspec.json.Decoder[T]:
    """What reads the records of a kind that `encode` made; its `decode` raises msgspec.DecodeError for others.

    Args:
        kind: of the record, or the union `Record`.
        resolve: finds what decisions refer to.
    """

    def resolved(_: type[Any], digest: str) -> Provenance:
        return resolve(digest)

    return msgspec.json.Decoder(kind, dec_hook=resolved)


_decoder: msgspec.json.Decoder[Record] = decoder(Record, Provenance.missing)  # type: ignore[arg-type]


def decode(data: bytes) -> Record:
    """The record that `encode` made; of a decision's provenance there is the digest alone.

    Raises:
        msgspec.DecodeError: it is not a record of this version.
    """
    return _decoder.decode(data)
