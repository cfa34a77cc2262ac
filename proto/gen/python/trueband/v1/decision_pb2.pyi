import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trueband.v1 import evidence_pb2 as _evidence_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_UNSPECIFIED: _ClassVar[Action]
    ACTION_AUTO_ROUTE: _ClassVar[Action]
    ACTION_AUTO_ROUTE_FLAGGED: _ClassVar[Action]
    ACTION_HOLD_FOR_REVIEW: _ClassVar[Action]
    ACTION_ESCALATE: _ClassVar[Action]
    ACTION_REJECT: _ClassVar[Action]
    ACTION_UNCERTAIN: _ClassVar[Action]

class AnswerSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANSWER_SOURCE_UNSPECIFIED: _ClassVar[AnswerSource]
    ANSWER_SOURCE_PRIMARY: _ClassVar[AnswerSource]
    ANSWER_SOURCE_RULES: _ClassVar[AnswerSource]
    ANSWER_SOURCE_SECONDARY: _ClassVar[AnswerSource]

class Intent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INTENT_UNSPECIFIED: _ClassVar[Intent]
    INTENT_LIVE: _ClassVar[Intent]
    INTENT_SHADOW: _ClassVar[Intent]

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_BAND: _ClassVar[Reason]
    REASON_MANDATORY_REVIEW: _ClassVar[Reason]
    REASON_UNKNOWN_CATEGORY: _ClassVar[Reason]
    REASON_NO_CALIBRATOR: _ClassVar[Reason]
    REASON_CALIBRATOR_STALE: _ClassVar[Reason]
    REASON_MODEL_VERSION_UNCALIBRATED: _ClassVar[Reason]
    REASON_EVIDENCE_MISMATCH: _ClassVar[Reason]
    REASON_TRUNCATED_GENERATION: _ClassVar[Reason]
    REASON_DETECTOR: _ClassVar[Reason]
    REASON_SUSPENDED: _ClassVar[Reason]
    REASON_REVIEW_DELAYED: _ClassVar[Reason]
    REASON_REVIEW_UNAVAILABLE: _ClassVar[Reason]
    REASON_OBSERVE_MODE: _ClassVar[Reason]
    REASON_SHADOW: _ClassVar[Reason]
    REASON_RULE: _ClassVar[Reason]
    REASON_SECONDARY: _ClassVar[Reason]
    REASON_DEADLINE: _ClassVar[Reason]
    REASON_ANSWER_UNCALIBRATED: _ClassVar[Reason]
    REASON_INVARIANT_GUARD: _ClassVar[Reason]
    REASON_NO_LOWER_BOUND: _ClassVar[Reason]
    REASON_REJECT_UNPROVEN: _ClassVar[Reason]
    REASON_SUSPENSIONS_UNKNOWN: _ClassVar[Reason]
    REASON_CONTEXT_MISSING: _ClassVar[Reason]

class StepOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_OUTCOME_UNSPECIFIED: _ClassVar[StepOutcome]
    STEP_OUTCOME_CLEARED: _ClassVar[StepOutcome]
    STEP_OUTCOME_NOT_CLEARED: _ClassVar[StepOutcome]
    STEP_OUTCOME_NO_ANSWER: _ClassVar[StepOutcome]
    STEP_OUTCOME_FAILED: _ClassVar[StepOutcome]
    STEP_OUTCOME_SKIPPED: _ClassVar[StepOutcome]
ACTION_UNSPECIFIED: Action
ACTION_AUTO_ROUTE: Action
ACTION_AUTO_ROUTE_FLAGGED: Action
ACTION_HOLD_FOR_REVIEW: Action
ACTION_ESCALATE: Action
ACTION_REJECT: Action
ACTION_UNCERTAIN: Action
ANSWER_SOURCE_UNSPECIFIED: AnswerSource
ANSWER_SOURCE_PRIMARY: AnswerSource
ANSWER_SOURCE_RULES: AnswerSource
ANSWER_SOURCE_SECONDARY: AnswerSource
INTENT_UNSPECIFIED: Intent
INTENT_LIVE: Intent
INTENT_SHADOW: Intent
REASON_UNSPECIFIED: Reason
REASON_BAND: Reason
REASON_MANDATORY_REVIEW: Reason
REASON_UNKNOWN_CATEGORY: Reason
REASON_NO_CALIBRATOR: Reason
REASON_CALIBRATOR_STALE: Reason
REASON_MODEL_VERSION_UNCALIBRATED: Reason
REASON_EVIDENCE_MISMATCH: Reason
REASON_TRUNCATED_GENERATION: Reason
REASON_DETECTOR: Reason
REASON_SUSPENDED: Reason
REASON_REVIEW_DELAYED: Reason
REASON_REVIEW_UNAVAILABLE: Reason
REASON_OBSERVE_MODE: Reason
REASON_SHADOW: Reason
REASON_RULE: Reason
REASON_SECONDARY: Reason
REASON_DEADLINE: Reason
REASON_ANSWER_UNCALIBRATED: Reason
REASON_INVARIANT_GUARD: Reason
REASON_NO_LOWER_BOUND: Reason
REASON_REJECT_UNPROVEN: Reason
REASON_SUSPENSIONS_UNKNOWN: Reason
REASON_CONTEXT_MISSING: Reason
STEP_OUTCOME_UNSPECIFIED: StepOutcome
STEP_OUTCOME_CLEARED: StepOutcome
STEP_OUTCOME_NOT_CLEARED: StepOutcome
STEP_OUTCOME_NO_ANSWER: StepOutcome
STEP_OUTCOME_FAILED: StepOutcome
STEP_OUTCOME_SKIPPED: StepOutcome

class CalibratorReference(_message.Message):
    __slots__ = ("name", "version", "kind", "digest", "stale_age")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    STALE_AGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    kind: str
    digest: str
    stale_age: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., kind: _Optional[str] = ..., digest: _Optional[str] = ..., stale_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class FallbackStep(_message.Message):
    __slots__ = ("step", "outcome", "code", "duration", "answer_class", "raw_confidence", "calibrated_confidence", "calibrator", "rule", "lower_confidence")
    STEP_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    ANSWER_CLASS_FIELD_NUMBER: _ClassVar[int]
    RAW_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATOR_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    LOWER_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    step: str
    outcome: StepOutcome
    code: str
    duration: _duration_pb2.Duration
    answer_class: str
    raw_confidence: float
    calibrated_confidence: float
    calibrator: CalibratorReference
    rule: str
    lower_confidence: float
    def __init__(self, step: _Optional[str] = ..., outcome: _Optional[_Union[StepOutcome, str]] = ..., code: _Optional[str] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., answer_class: _Optional[str] = ..., raw_confidence: _Optional[float] = ..., calibrated_confidence: _Optional[float] = ..., calibrator: _Optional[_Union[CalibratorReference, _Mapping]] = ..., rule: _Optional[str] = ..., lower_confidence: _Optional[float] = ...) -> None: ...

class FloorHit(_message.Message):
    __slots__ = ("floor", "reason", "permitted")
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PERMITTED_FIELD_NUMBER: _ClassVar[int]
    floor: str
    reason: Reason
    permitted: _containers.RepeatedScalarFieldContainer[Action]
    def __init__(self, floor: _Optional[str] = ..., reason: _Optional[_Union[Reason, str]] = ..., permitted: _Optional[_Iterable[_Union[Action, str]]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("answer_class", "raw_confidence", "calibrated_confidence")
    ANSWER_CLASS_FIELD_NUMBER: _ClassVar[int]
    RAW_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    answer_class: str
    raw_confidence: float
    calibrated_confidence: float
    def __init__(self, answer_class: _Optional[str] = ..., raw_confidence: _Optional[float] = ..., calibrated_confidence: _Optional[float] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("may_act", "action", "band", "raw_confidence", "calibrated_confidence", "lower_confidence", "reasons", "final_class", "source", "decision_id", "answer_id", "replayed", "enforced", "intent", "calibrator", "policy_digest", "floors_digest", "tenant", "model", "model_version", "category", "sidecar_id", "engine_version", "decided_at", "expires_at", "steps", "floors", "candidates", "retry_after", "subject_ref")
    MAY_ACT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    BAND_FIELD_NUMBER: _ClassVar[int]
    RAW_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    LOWER_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    FINAL_CLASS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    ENFORCED_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    CALIBRATOR_FIELD_NUMBER: _ClassVar[int]
    POLICY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FLOORS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SIDECAR_ID_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    FLOORS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_REF_FIELD_NUMBER: _ClassVar[int]
    may_act: bool
    action: Action
    band: str
    raw_confidence: float
    calibrated_confidence: float
    lower_confidence: float
    reasons: _containers.RepeatedScalarFieldContainer[Reason]
    final_class: str
    source: AnswerSource
    decision_id: str
    answer_id: str
    replayed: bool
    enforced: bool
    intent: Intent
    calibrator: CalibratorReference
    policy_digest: str
    floors_digest: str
    tenant: str
    model: str
    model_version: str
    category: str
    sidecar_id: str
    engine_version: str
    decided_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    steps: _containers.RepeatedCompositeFieldContainer[FallbackStep]
    floors: _containers.RepeatedCompositeFieldContainer[FloorHit]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    retry_after: _duration_pb2.Duration
    subject_ref: str
    def __init__(self, may_act: _Optional[bool] = ..., action: _Optional[_Union[Action, str]] = ..., band: _Optional[str] = ..., raw_confidence: _Optional[float] = ..., calibrated_confidence: _Optional[float] = ..., lower_confidence: _Optional[float] = ..., reasons: _Optional[_Iterable[_Union[Reason, str]]] = ..., final_class: _Optional[str] = ..., source: _Optional[_Union[AnswerSource, str]] = ..., decision_id: _Optional[str] = ..., answer_id: _Optional[str] = ..., replayed: _Optional[bool] = ..., enforced: _Optional[bool] = ..., intent: _Optional[_Union[Intent, str]] = ..., calibrator: _Optional[_Union[CalibratorReference, _Mapping]] = ..., policy_digest: _Optional[str] = ..., floors_digest: _Optional[str] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., category: _Optional[str] = ..., sidecar_id: _Optional[str] = ..., engine_version: _Optional[str] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[FallbackStep, _Mapping]]] = ..., floors: _Optional[_Iterable[_Union[FloorHit, _Mapping]]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., subject_ref: _Optional[str] = ...) -> None: ...

class DecisionRecord(_message.Message):
    __slots__ = ("decision_id", "answers", "acted", "held", "evidence")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    ACTED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    answers: _containers.RepeatedCompositeFieldContainer[Decision]
    acted: bool
    held: bool
    evidence: _evidence_pb2.Evidence
    def __init__(self, decision_id: _Optional[str] = ..., answers: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ..., acted: _Optional[bool] = ..., held: _Optional[bool] = ..., evidence: _Optional[_Union[_evidence_pb2.Evidence, _Mapping]] = ...) -> None: ...

class GetDecisionRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class GetDecisionResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: DecisionRecord
    def __init__(self, decision: _Optional[_Union[DecisionRecord, _Mapping]] = ...) -> None: ...

class ListDecisionsRequest(_message.Message):
    __slots__ = ("tenant", "subject_ref", "model", "decided_from", "decided_to", "page_size", "page_token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_REF_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FROM_FIELD_NUMBER: _ClassVar[int]
    DECIDED_TO_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    subject_ref: str
    model: str
    decided_from: _timestamp_pb2.Timestamp
    decided_to: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., subject_ref: _Optional[str] = ..., model: _Optional[str] = ..., decided_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDecisionsResponse(_message.Message):
    __slots__ = ("decisions", "next_page_token", "not_kept")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NOT_KEPT_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[DecisionRecord]
    next_page_token: str
    not_kept: int
    def __init__(self, decisions: _Optional[_Iterable[_Union[DecisionRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., not_kept: _Optional[int] = ...) -> None: ...
