import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trueband.v1 import decision_pb2 as _decision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CalibratorStatus(_message.Message):
    __slots__ = ("model", "model_version", "uri", "calibrator", "in_force_since", "confirmed_at", "last_error", "last_error_code", "last_error_at", "stale", "from_cache", "source")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    CALIBRATOR_FIELD_NUMBER: _ClassVar[int]
    IN_FORCE_SINCE_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_AT_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    FROM_CACHE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    model: str
    model_version: str
    uri: str
    calibrator: _decision_pb2.CalibratorReference
    in_force_since: _timestamp_pb2.Timestamp
    confirmed_at: _timestamp_pb2.Timestamp
    last_error: str
    last_error_code: str
    last_error_at: _timestamp_pb2.Timestamp
    stale: bool
    from_cache: bool
    source: str
    def __init__(self, model: _Optional[str] = ..., model_version: _Optional[str] = ..., uri: _Optional[str] = ..., calibrator: _Optional[_Union[_decision_pb2.CalibratorReference, _Mapping]] = ..., in_force_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., confirmed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_error: _Optional[str] = ..., last_error_code: _Optional[str] = ..., last_error_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stale: _Optional[bool] = ..., from_cache: _Optional[bool] = ..., source: _Optional[str] = ...) -> None: ...

class JournalStatus(_message.Message):
    __slots__ = ("backlog_records", "backlog_age", "size_bytes", "max_size_bytes", "last_error", "last_forwarded_at", "corrupt_bytes", "cut_bytes", "append_error", "refused_records", "missing_records")
    BACKLOG_RECORDS_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_AGE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_FORWARDED_AT_FIELD_NUMBER: _ClassVar[int]
    CORRUPT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    APPEND_ERROR_FIELD_NUMBER: _ClassVar[int]
    REFUSED_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MISSING_RECORDS_FIELD_NUMBER: _ClassVar[int]
    backlog_records: int
    backlog_age: _duration_pb2.Duration
    size_bytes: int
    max_size_bytes: int
    last_error: str
    last_forwarded_at: _timestamp_pb2.Timestamp
    corrupt_bytes: int
    cut_bytes: int
    append_error: str
    refused_records: int
    missing_records: int
    def __init__(self, backlog_records: _Optional[int] = ..., backlog_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., size_bytes: _Optional[int] = ..., max_size_bytes: _Optional[int] = ..., last_error: _Optional[str] = ..., last_forwarded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., corrupt_bytes: _Optional[int] = ..., cut_bytes: _Optional[int] = ..., append_error: _Optional[str] = ..., refused_records: _Optional[int] = ..., missing_records: _Optional[int] = ...) -> None: ...

class BrakeStatus(_message.Message):
    __slots__ = ("known", "confirmed_at", "last_error")
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    known: bool
    confirmed_at: _timestamp_pb2.Timestamp
    last_error: str
    def __init__(self, known: _Optional[bool] = ..., confirmed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_error: _Optional[str] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("sidecar_id", "engine_version", "started_at", "policy_digest", "policy_in_force_since", "policy_last_error", "floors_digest", "calibrators", "journal", "mandatory_without_human_total", "serving", "challengers", "brake")
    SIDECAR_ID_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    POLICY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    POLICY_IN_FORCE_SINCE_FIELD_NUMBER: _ClassVar[int]
    POLICY_LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    FLOORS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CALIBRATORS_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    MANDATORY_WITHOUT_HUMAN_TOTAL_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    CHALLENGERS_FIELD_NUMBER: _ClassVar[int]
    BRAKE_FIELD_NUMBER: _ClassVar[int]
    sidecar_id: str
    engine_version: str
    started_at: _timestamp_pb2.Timestamp
    policy_digest: str
    policy_in_force_since: _timestamp_pb2.Timestamp
    policy_last_error: str
    floors_digest: str
    calibrators: _containers.RepeatedCompositeFieldContainer[CalibratorStatus]
    journal: JournalStatus
    mandatory_without_human_total: int
    serving: bool
    challengers: _containers.RepeatedCompositeFieldContainer[CalibratorStatus]
    brake: BrakeStatus
    def __init__(self, sidecar_id: _Optional[str] = ..., engine_version: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., policy_digest: _Optional[str] = ..., policy_in_force_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., policy_last_error: _Optional[str] = ..., floors_digest: _Optional[str] = ..., calibrators: _Optional[_Iterable[_Union[CalibratorStatus, _Mapping]]] = ..., journal: _Optional[_Union[JournalStatus, _Mapping]] = ..., mandatory_without_human_total: _Optional[int] = ..., serving: _Optional[bool] = ..., challengers: _Optional[_Iterable[_Union[CalibratorStatus, _Mapping]]] = ..., brake: _Optional[_Union[BrakeStatus, _Mapping]] = ...) -> None: ...

class ReloadNowRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ReloadNowResponse(_message.Message):
    __slots__ = ("calibrators", "policy_digest", "policy_error", "challengers")
    CALIBRATORS_FIELD_NUMBER: _ClassVar[int]
    POLICY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    POLICY_ERROR_FIELD_NUMBER: _ClassVar[int]
    CHALLENGERS_FIELD_NUMBER: _ClassVar[int]
    calibrators: _containers.RepeatedCompositeFieldContainer[CalibratorStatus]
    policy_digest: str
    policy_error: str
    challengers: _containers.RepeatedCompositeFieldContainer[CalibratorStatus]
    def __init__(self, calibrators: _Optional[_Iterable[_Union[CalibratorStatus, _Mapping]]] = ..., policy_digest: _Optional[str] = ..., policy_error: _Optional[str] = ..., challengers: _Optional[_Iterable[_Union[CalibratorStatus, _Mapping]]] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("policy_json", "digest", "specification")
    POLICY_JSON_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SPECIFICATION_FIELD_NUMBER: _ClassVar[int]
    policy_json: str
    digest: str
    specification: str
    def __init__(self, policy_json: _Optional[str] = ..., digest: _Optional[str] = ..., specification: _Optional[str] = ...) -> None: ...

class SuspensionScope(_message.Message):
    __slots__ = ("tenant", "model", "model_version", "band", "category", "source")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    BAND_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    model: str
    model_version: str
    band: str
    category: str
    source: _decision_pb2.AnswerSource
    def __init__(self, tenant: _Optional[str] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., band: _Optional[str] = ..., category: _Optional[str] = ..., source: _Optional[_Union[_decision_pb2.AnswerSource, str]] = ...) -> None: ...

class Suspension(_message.Message):
    __slots__ = ("suspension_id", "scope", "explanation", "suspended_by", "suspended_at")
    SUSPENSION_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_BY_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_AT_FIELD_NUMBER: _ClassVar[int]
    suspension_id: str
    scope: SuspensionScope
    explanation: str
    suspended_by: str
    suspended_at: _timestamp_pb2.Timestamp
    def __init__(self, suspension_id: _Optional[str] = ..., scope: _Optional[_Union[SuspensionScope, _Mapping]] = ..., explanation: _Optional[str] = ..., suspended_by: _Optional[str] = ..., suspended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SuspendRequest(_message.Message):
    __slots__ = ("scope", "explanation", "suspended_by")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_BY_FIELD_NUMBER: _ClassVar[int]
    scope: SuspensionScope
    explanation: str
    suspended_by: str
    def __init__(self, scope: _Optional[_Union[SuspensionScope, _Mapping]] = ..., explanation: _Optional[str] = ..., suspended_by: _Optional[str] = ...) -> None: ...

class SuspendResponse(_message.Message):
    __slots__ = ("suspension",)
    SUSPENSION_FIELD_NUMBER: _ClassVar[int]
    suspension: Suspension
    def __init__(self, suspension: _Optional[_Union[Suspension, _Mapping]] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("suspension_id", "explanation", "resumed_by")
    SUSPENSION_ID_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    RESUMED_BY_FIELD_NUMBER: _ClassVar[int]
    suspension_id: str
    explanation: str
    resumed_by: str
    def __init__(self, suspension_id: _Optional[str] = ..., explanation: _Optional[str] = ..., resumed_by: _Optional[str] = ...) -> None: ...

class ResumeResponse(_message.Message):
    __slots__ = ("suspension",)
    SUSPENSION_FIELD_NUMBER: _ClassVar[int]
    suspension: Suspension
    def __init__(self, suspension: _Optional[_Union[Suspension, _Mapping]] = ...) -> None: ...

class ListSuspensionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSuspensionsResponse(_message.Message):
    __slots__ = ("suspensions",)
    SUSPENSIONS_FIELD_NUMBER: _ClassVar[int]
    suspensions: _containers.RepeatedCompositeFieldContainer[Suspension]
    def __init__(self, suspensions: _Optional[_Iterable[_Union[Suspension, _Mapping]]] = ...) -> None: ...
