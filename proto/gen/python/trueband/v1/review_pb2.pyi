import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trueband.v1 import decision_pb2 as _decision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_KIND_UNSPECIFIED: _ClassVar[TaskKind]
    TASK_KIND_HOLD: _ClassVar[TaskKind]
    TASK_KIND_BATCH: _ClassVar[TaskKind]
    TASK_KIND_AUDIT: _ClassVar[TaskKind]
    TASK_KIND_ESCALATION: _ClassVar[TaskKind]
    TASK_KIND_ADJUDICATION: _ClassVar[TaskKind]

class TaskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATE_UNSPECIFIED: _ClassVar[TaskState]
    TASK_STATE_OPEN: _ClassVar[TaskState]
    TASK_STATE_LEASED: _ClassVar[TaskState]
    TASK_STATE_COMPLETED: _ClassVar[TaskState]
    TASK_STATE_EXPIRED: _ClassVar[TaskState]
    TASK_STATE_WITHDRAWN: _ClassVar[TaskState]

class Disposition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISPOSITION_UNSPECIFIED: _ClassVar[Disposition]
    DISPOSITION_RELEASE: _ClassVar[Disposition]
    DISPOSITION_RELEASE_CORRECTED: _ClassVar[Disposition]
    DISPOSITION_REFUSE: _ClassVar[Disposition]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_CORRECT: _ClassVar[Verdict]
    VERDICT_INCORRECT: _ClassVar[Verdict]
    VERDICT_CANNOT_TELL: _ClassVar[Verdict]

class OutcomeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_KIND_UNSPECIFIED: _ClassVar[OutcomeKind]
    OUTCOME_KIND_PENDING: _ClassVar[OutcomeKind]
    OUTCOME_KIND_RELEASED: _ClassVar[OutcomeKind]
    OUTCOME_KIND_CORRECTED: _ClassVar[OutcomeKind]
    OUTCOME_KIND_REFUSED: _ClassVar[OutcomeKind]
    OUTCOME_KIND_EXPIRED: _ClassVar[OutcomeKind]
    OUTCOME_KIND_RECALLED: _ClassVar[OutcomeKind]
TASK_KIND_UNSPECIFIED: TaskKind
TASK_KIND_HOLD: TaskKind
TASK_KIND_BATCH: TaskKind
TASK_KIND_AUDIT: TaskKind
TASK_KIND_ESCALATION: TaskKind
TASK_KIND_ADJUDICATION: TaskKind
TASK_STATE_UNSPECIFIED: TaskState
TASK_STATE_OPEN: TaskState
TASK_STATE_LEASED: TaskState
TASK_STATE_COMPLETED: TaskState
TASK_STATE_EXPIRED: TaskState
TASK_STATE_WITHDRAWN: TaskState
DISPOSITION_UNSPECIFIED: Disposition
DISPOSITION_RELEASE: Disposition
DISPOSITION_RELEASE_CORRECTED: Disposition
DISPOSITION_REFUSE: Disposition
VERDICT_UNSPECIFIED: Verdict
VERDICT_CORRECT: Verdict
VERDICT_INCORRECT: Verdict
VERDICT_CANNOT_TELL: Verdict
OUTCOME_KIND_UNSPECIFIED: OutcomeKind
OUTCOME_KIND_PENDING: OutcomeKind
OUTCOME_KIND_RELEASED: OutcomeKind
OUTCOME_KIND_CORRECTED: OutcomeKind
OUTCOME_KIND_REFUSED: OutcomeKind
OUTCOME_KIND_EXPIRED: OutcomeKind
OUTCOME_KIND_RECALLED: OutcomeKind

class Task(_message.Message):
    __slots__ = ("task_id", "kind", "state", "decision_id", "answer_id", "reasons", "tenant", "model", "model_version", "category", "predicted_class", "calibrated_confidence", "blind", "context", "steps", "created_at", "due_at", "mandatory", "lease", "subject_ref", "candidates", "skill", "origin_kind", "lower_confidence")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_CLASS_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    BLIND_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    MANDATORY_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_REF_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    SKILL_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_KIND_FIELD_NUMBER: _ClassVar[int]
    LOWER_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    kind: TaskKind
    state: TaskState
    decision_id: str
    answer_id: str
    reasons: _containers.RepeatedScalarFieldContainer[_decision_pb2.Reason]
    tenant: str
    model: str
    model_version: str
    category: str
    predicted_class: str
    calibrated_confidence: float
    blind: bool
    context: _containers.ScalarMap[str, str]
    steps: _containers.RepeatedCompositeFieldContainer[_decision_pb2.FallbackStep]
    created_at: _timestamp_pb2.Timestamp
    due_at: _timestamp_pb2.Timestamp
    mandatory: bool
    lease: Lease
    subject_ref: str
    candidates: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Candidate]
    skill: str
    origin_kind: TaskKind
    lower_confidence: float
    def __init__(self, task_id: _Optional[str] = ..., kind: _Optional[_Union[TaskKind, str]] = ..., state: _Optional[_Union[TaskState, str]] = ..., decision_id: _Optional[str] = ..., answer_id: _Optional[str] = ..., reasons: _Optional[_Iterable[_Union[_decision_pb2.Reason, str]]] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., category: _Optional[str] = ..., predicted_class: _Optional[str] = ..., calibrated_confidence: _Optional[float] = ..., blind: _Optional[bool] = ..., context: _Optional[_Mapping[str, str]] = ..., steps: _Optional[_Iterable[_Union[_decision_pb2.FallbackStep, _Mapping]]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., mandatory: _Optional[bool] = ..., lease: _Optional[_Union[Lease, _Mapping]] = ..., subject_ref: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[_decision_pb2.Candidate, _Mapping]]] = ..., skill: _Optional[str] = ..., origin_kind: _Optional[_Union[TaskKind, str]] = ..., lower_confidence: _Optional[float] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("reviewer", "fence", "expires_at")
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    reviewer: str
    fence: int
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, reviewer: _Optional[str] = ..., fence: _Optional[int] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("decision_id", "kind", "final_class", "decided_by", "by_person", "shown_digest", "decided_at", "expires_at", "explanation")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FINAL_CLASS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    BY_PERSON_FIELD_NUMBER: _ClassVar[int]
    SHOWN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    kind: OutcomeKind
    final_class: str
    decided_by: str
    by_person: bool
    shown_digest: str
    decided_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    explanation: str
    def __init__(self, decision_id: _Optional[str] = ..., kind: _Optional[_Union[OutcomeKind, str]] = ..., final_class: _Optional[str] = ..., decided_by: _Optional[str] = ..., by_person: _Optional[bool] = ..., shown_digest: _Optional[str] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., explanation: _Optional[str] = ...) -> None: ...

class LeaseTasksRequest(_message.Message):
    __slots__ = ("kinds", "models", "categories", "skills", "count", "lease_duration")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    LEASE_DURATION_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[TaskKind]
    models: _containers.RepeatedScalarFieldContainer[str]
    categories: _containers.RepeatedScalarFieldContainer[str]
    skills: _containers.RepeatedScalarFieldContainer[str]
    count: int
    lease_duration: _duration_pb2.Duration
    def __init__(self, kinds: _Optional[_Iterable[_Union[TaskKind, str]]] = ..., models: _Optional[_Iterable[str]] = ..., categories: _Optional[_Iterable[str]] = ..., skills: _Optional[_Iterable[str]] = ..., count: _Optional[int] = ..., lease_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class LeaseTasksResponse(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[Task]
    def __init__(self, tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ...) -> None: ...

class ExtendLeaseRequest(_message.Message):
    __slots__ = ("task_id", "fence", "lease_duration")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    LEASE_DURATION_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fence: int
    lease_duration: _duration_pb2.Duration
    def __init__(self, task_id: _Optional[str] = ..., fence: _Optional[int] = ..., lease_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExtendLeaseResponse(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ...) -> None: ...

class CompleteTaskRequest(_message.Message):
    __slots__ = ("task_id", "fence", "verdict", "true_class", "disposition", "explanation", "true_category")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    TRUE_CLASS_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    TRUE_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fence: int
    verdict: Verdict
    true_class: str
    disposition: Disposition
    explanation: str
    true_category: str
    def __init__(self, task_id: _Optional[str] = ..., fence: _Optional[int] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., true_class: _Optional[str] = ..., disposition: _Optional[_Union[Disposition, str]] = ..., explanation: _Optional[str] = ..., true_category: _Optional[str] = ...) -> None: ...

class CompleteTaskResponse(_message.Message):
    __slots__ = ("task", "stale")
    TASK_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    task: Task
    stale: bool
    def __init__(self, task: _Optional[_Union[Task, _Mapping]] = ..., stale: _Optional[bool] = ...) -> None: ...

class DeclineTaskRequest(_message.Message):
    __slots__ = ("task_id", "fence", "explanation")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fence: int
    explanation: str
    def __init__(self, task_id: _Optional[str] = ..., fence: _Optional[int] = ..., explanation: _Optional[str] = ...) -> None: ...

class DeclineTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: Task
    def __init__(self, task: _Optional[_Union[Task, _Mapping]] = ...) -> None: ...

class ReleaseTaskRequest(_message.Message):
    __slots__ = ("task_id", "fence")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fence: int
    def __init__(self, task_id: _Optional[str] = ..., fence: _Optional[int] = ...) -> None: ...

class ReleaseTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: Task
    def __init__(self, task: _Optional[_Union[Task, _Mapping]] = ...) -> None: ...

class GetTaskRequest(_message.Message):
    __slots__ = ("task_id",)
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    def __init__(self, task_id: _Optional[str] = ...) -> None: ...

class GetTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: Task
    def __init__(self, task: _Optional[_Union[Task, _Mapping]] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ("kinds", "states", "model", "category", "decision_id", "page_size", "page_token")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[TaskKind]
    states: _containers.RepeatedScalarFieldContainer[TaskState]
    model: str
    category: str
    decision_id: str
    page_size: int
    page_token: str
    def __init__(self, kinds: _Optional[_Iterable[_Union[TaskKind, str]]] = ..., states: _Optional[_Iterable[_Union[TaskState, str]]] = ..., model: _Optional[str] = ..., category: _Optional[str] = ..., decision_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTasksResponse(_message.Message):
    __slots__ = ("tasks", "next_page_token", "total")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[Task]
    next_page_token: str
    total: int
    def __init__(self, tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class GetOutcomeRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class GetOutcomeResponse(_message.Message):
    __slots__ = ("outcome",)
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    def __init__(self, outcome: _Optional[_Union[Outcome, _Mapping]] = ...) -> None: ...

class WatchDecisionRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class WatchDecisionResponse(_message.Message):
    __slots__ = ("outcome",)
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    def __init__(self, outcome: _Optional[_Union[Outcome, _Mapping]] = ...) -> None: ...

class ListOutcomesRequest(_message.Message):
    __slots__ = ("cursor", "page_size", "tenant")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    page_size: int
    tenant: str
    def __init__(self, cursor: _Optional[str] = ..., page_size: _Optional[int] = ..., tenant: _Optional[str] = ...) -> None: ...

class ListOutcomesResponse(_message.Message):
    __slots__ = ("outcomes", "next_cursor")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    next_cursor: str
    def __init__(self, outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...
