"""From labelled decisions to streams: per stratum, the audit labels in the order in which they became known.

A stream is one stratum (model, model version, source, band, final action, planned propensity) under one
calibrator and one promise; all its labels were drawn with the same probability, so they need no weights. A
category that has a promise or bands of its own forms streams of its own, and its decisions are in no other:
each decision is under exactly one promise (`model.promise_of`), so each label counts once. A promise is about
decisions that acted; what did not act, such as a rejection, has none, and its stream is watched for
calibration alone.
"""

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from sidecar.decision.records import Decision
from sidecar.decision.steps import CalibratorReference, FallbackStep
from sidecar.decision.tasks import task_id
from sidecar.ledger.labelled import Labelled
from sidecar.policy import model as policy_model
from sidecar.policy.actions import AnswerSource, Intent, TaskKind
from sidecar.policy.model import Band, Category, Model

SUBJECTS = {AnswerSource.PRIMARY: "PRIMARY", AnswerSource.SECONDARY: "SECONDARY", AnswerSource.RULES: "RULE"}
STEPS = {AnswerSource.SECONDARY: "secondary", AnswerSource.RULES: "rules"}
OTHER_TASKS = (TaskKind.HOLD, TaskKind.ESCALATION, TaskKind.BATCH)
ID_BYTES = 6

EntryOf = Callable[[str], Model | None]
"""From a policy's digest to its section on the model; None where nobody knows that policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What a stream is: two of them never share a label.

    Attributes:
        model: the model.
        model_version: its version; empty where requests name none.
        source: whose answers: PRIMARY, RULES or SECONDARY.
        band: of the answer.
        action: the final action.
        audit_rate: the planned propensity of the labels, in (0, 1].
        category: in its normal form, where the category has a promise or bands of its own; else empty.
        calibrator: the digest of what made the calibrated confidences; empty where nothing did.
        primary_calibrator: the digest of the primary's calibrator, whose change starts a new stream.
        promise: the accuracy that is promised of what acted; None where nothing is.
    """

    model: str
    model_version: str
    source: str
    band: str
    action: str
    audit_rate: float
    category: str
    calibrator: str
    primary_calibrator: str
    promise: float | None

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that follow from what the stream is."""
        return _id(self)

    @property
    def slot(self) -> tuple[str, str, str, str, float, str]:
        """What it is apart from calibrator and promise, which may change under it."""
        return (self.model_version, self.source, self.band, self.action, self.audit_rate, self.category)

    def __str__(self) -> str:
        parts = [self.band, f"{self.model} {self.model_version}".strip()]
        if self.category:
            parts.append(f"category {self.category}")
        if self.source != AnswerSource.PRIMARY:
            parts.append(f"answers of {self.source.lower()}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One audit label.

    Attributes:
        decision_id: the decision.
        recorded_at: when the label became known, in seconds since the epoch.
        decided_at: when the answer was given.
        correct: whether the answer was right.
        confidence: the calibrated confidence in it, in [0, 1]; None where there is none.
    """

    decision_id: str
    recorded_at: float
    decided_at: float
    correct: bool
    confidence: float | None

    @property
    def moment(self) -> tuple[float, str]:
        """The order in which labels become known."""
        return self.recorded_at, self.decision_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The streams of a model's labels, and why other labels are in none.

    Attributes:
        observations: of each stream, in the order in which they became known.
        left_out: how many labels feed no stream, by reason.
    """

    observations: dict[Stream, tuple[Observation, ...]]
    left_out: dict[str, int]


@functools.lru_cache(maxsize=4096)
def _id(stream: Stream) -> str:
    return hashlib.blake2b(msgspec.json.encode(stream), digest_size=ID_BYTES).hexdigest()


def build(labelled: Iterable[Labelled], entry_of: EntryOf) -> Streams:
    """The streams of labelled decisions.

    Only what an audit drew counts: a hold has another kind of decision behind it, of a next-day batch those come
    first that somebody took, and what people volunteer is not a sample of anything. Whether the answer would
    have been labelled without the draw, too, makes no difference: the draw alone decides what feeds. Under a
    budget a label waits until its period is closed.

    Args:
        labelled: of one model, in any order; each (decision, subject) once, as the ledger gives them.
        entry_of: the policy that a decision was made under, by which its promise is found.
    """
    observations: dict[Stream, list[Observation]] = {}
    left_out: Counter[str] = Counter()
    for row in labelled:
        reason = unusable(row)
        if reason:
            left_out[reason] += 1
            continue
        entry = entry_of(row.decision.provenance.policy_digest)
        if entry is None:
            left_out["under a policy that the ledger does not have"] += 1
            continue
        stream, confidence = _stream(row, entry)
        observations.setdefault(stream, []).append(
            Observation(
                decision_id=row.decision.decision_id,
                recorded_at=row.label.recorded_at,
                decided_at=row.decision.decided_at,
                correct=row.correct,
                confidence=confidence,
            )
        )
    return Streams(
        observations={
            stream: tuple(sorted(rows, key=lambda row: row.moment)) for stream, rows in observations.items()
        },
        left_out=dict(left_out),
    )


def unusable(row: Labelled) -> str:
    """Why a label is none that an audit drew, about the answer that decided; empty where it is one."""
    decision = row.decision
    if decision.query.intent is not Intent.LIVE:
        return "of a shadow request"
    if row.about != SUBJECTS[decision.verdict.source]:
        return "about another answer than the one that decided"
    for kind in OTHER_TASKS:
        task = task_id(decision.decision_id, kind)
        if row.label.task_id in (task, task_id(task, TaskKind.ADJUDICATION)):
            return f"from a task of kind {kind}"
    if not row.drawn or not decision.drawn:
        return "not drawn for audit"
    if row.propensity is None:
        return "whose probability is not known yet"
    return ""


def promise_of(entry: Model, *, band: str, category: str) -> tuple[float | None, str]:
    """The accuracy that a policy promises of what acts in a band, and the category whose own promise it is.

    Args:
        entry: the policy of the model.
        band: a band's name.
        category: in its normal form.
    """
    own = category_of(entry, category)
    found = band_of(entry, band=band, category=category)
    promise = None if found is None else policy_model.promise_of(found, own)
    apart = own is not None and (own.promise is not None or own.bands is not None)
    return (None if promise is None else float(promise.accuracy)), (category if apart else "")


def band_of(entry: Model, *, band: str, category: str) -> Band | None:
    """The band of that name as it holds for a category; None where the policy has none."""
    bands = policy_model.bands_of(entry, category_of(entry, category))
    return next((each for each in bands if each.name == band), None)


def category_of(entry: Model, category: str) -> Category | None:
    """What a policy says about a category in its normal form; None where it does not list it."""
    return policy_model.listed(entry).get(category)


def _stream(each: Labelled, entry: Model) -> tuple[Stream, float | None]:
    decision = each.decision
    promise, category = promise_of(entry, band=decision.verdict.band, category=decision.query.category)
    confidence, calibrator = decision.verdict.calibrated_confidence, _digest(decision.provenance.calibrator)
    step = _step(decision)
    if step is not None:
        confidence, calibrator = step.calibrated_confidence, _digest(step.calibrator)
    stream = Stream(
        model=decision.query.model,
        model_version=decision.query.model_version,
        source=decision.verdict.source.value,
        band=decision.verdict.band,
        action=decision.action.value,
        audit_rate=decision.verdict.audit_rate,
        category=category,
        calibrator=calibrator,
        primary_calibrator=_digest(decision.provenance.calibrator),
        promise=promise if decision.may_act else None,
    )
    return stream, confidence


def _step(decision: Decision) -> FallbackStep | None:
    """The step whose answer decided; None where that is the primary's."""
    name = STEPS.get(decision.verdict.source)
    return next((step for step in decision.steps if step.step == name and step.outcome == "CLEARED"), None)


def _digest(calibrator: CalibratorReference | None) -> str:
    return "" if calibrator is None else calibrator.digest
