import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trueband.v1 import decision_pb2 as _decision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LabelChannel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LABEL_CHANNEL_UNSPECIFIED: _ClassVar[LabelChannel]
    LABEL_CHANNEL_REVIEW_TASK: _ClassVar[LabelChannel]
    LABEL_CHANNEL_AUDIT_TASK: _ClassVar[LabelChannel]
    LABEL_CHANNEL_OUTCOME: _ClassVar[LabelChannel]
    LABEL_CHANNEL_VOLUNTEERED: _ClassVar[LabelChannel]
    LABEL_CHANNEL_IMPORTED: _ClassVar[LabelChannel]

class LabelSubject(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LABEL_SUBJECT_UNSPECIFIED: _ClassVar[LabelSubject]
    LABEL_SUBJECT_FINAL: _ClassVar[LabelSubject]
    LABEL_SUBJECT_PRIMARY: _ClassVar[LabelSubject]
    LABEL_SUBJECT_SECONDARY: _ClassVar[LabelSubject]
    LABEL_SUBJECT_RULE: _ClassVar[LabelSubject]

class LabelStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LABEL_STATUS_UNSPECIFIED: _ClassVar[LabelStatus]
    LABEL_STATUS_ACCEPTED: _ClassVar[LabelStatus]
    LABEL_STATUS_DUPLICATE: _ClassVar[LabelStatus]
    LABEL_STATUS_REJECTED: _ClassVar[LabelStatus]

class LabelState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LABEL_STATE_UNSPECIFIED: _ClassVar[LabelState]
    LABEL_STATE_COUNTED: _ClassVar[LabelState]
    LABEL_STATE_SUPERSEDED: _ClassVar[LabelState]
    LABEL_STATE_CONFLICTING: _ClassVar[LabelState]
    LABEL_STATE_ORPHAN: _ClassVar[LabelState]
    LABEL_STATE_LATE: _ClassVar[LabelState]
    LABEL_STATE_REPEATED: _ClassVar[LabelState]
    LABEL_STATE_NO_ANSWER: _ClassVar[LabelState]
    LABEL_STATE_STALE: _ClassVar[LabelState]
LABEL_CHANNEL_UNSPECIFIED: LabelChannel
LABEL_CHANNEL_REVIEW_TASK: LabelChannel
LABEL_CHANNEL_AUDIT_TASK: LabelChannel
LABEL_CHANNEL_OUTCOME: LabelChannel
LABEL_CHANNEL_VOLUNTEERED: LabelChannel
LABEL_CHANNEL_IMPORTED: LabelChannel
LABEL_SUBJECT_UNSPECIFIED: LabelSubject
LABEL_SUBJECT_FINAL: LabelSubject
LABEL_SUBJECT_PRIMARY: LabelSubject
LABEL_SUBJECT_SECONDARY: LabelSubject
LABEL_SUBJECT_RULE: LabelSubject
LABEL_STATUS_UNSPECIFIED: LabelStatus
LABEL_STATUS_ACCEPTED: LabelStatus
LABEL_STATUS_DUPLICATE: LabelStatus
LABEL_STATUS_REJECTED: LabelStatus
LABEL_STATE_UNSPECIFIED: LabelState
LABEL_STATE_COUNTED: LabelState
LABEL_STATE_SUPERSEDED: LabelState
LABEL_STATE_CONFLICTING: LabelState
LABEL_STATE_ORPHAN: LabelState
LABEL_STATE_LATE: LabelState
LABEL_STATE_REPEATED: LabelState
LABEL_STATE_NO_ANSWER: LabelState
LABEL_STATE_STALE: LabelState

class CannotTell(_message.Message):
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: str
    def __init__(self, explanation: _Optional[str] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("decision_id", "about", "correct", "true_class", "cannot_tell", "true_category", "criterion", "guideline_version", "source", "event_id", "task_id", "observed_at", "channel", "supersedes", "reviewer", "note")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    TRUE_CLASS_FIELD_NUMBER: _ClassVar[int]
    CANNOT_TELL_FIELD_NUMBER: _ClassVar[int]
    TRUE_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CRITERION_FIELD_NUMBER: _ClassVar[int]
    GUIDELINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    about: LabelSubject
    correct: bool
    true_class: str
    cannot_tell: CannotTell
    true_category: str
    criterion: str
    guideline_version: str
    source: str
    event_id: str
    task_id: str
    observed_at: _timestamp_pb2.Timestamp
    channel: LabelChannel
    supersedes: str
    reviewer: str
    note: str
    def __init__(self, decision_id: _Optional[str] = ..., about: _Optional[_Union[LabelSubject, str]] = ..., correct: _Optional[bool] = ..., true_class: _Optional[str] = ..., cannot_tell: _Optional[_Union[CannotTell, _Mapping]] = ..., true_category: _Optional[str] = ..., criterion: _Optional[str] = ..., guideline_version: _Optional[str] = ..., source: _Optional[str] = ..., event_id: _Optional[str] = ..., task_id: _Optional[str] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., channel: _Optional[_Union[LabelChannel, str]] = ..., supersedes: _Optional[str] = ..., reviewer: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class RecordLabelRequest(_message.Message):
    __slots__ = ("label",)
    LABEL_FIELD_NUMBER: _ClassVar[int]
    label: Label
    def __init__(self, label: _Optional[_Union[Label, _Mapping]] = ...) -> None: ...

class RecordLabelResponse(_message.Message):
    __slots__ = ("status", "reason")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    status: LabelStatus
    reason: str
    def __init__(self, status: _Optional[_Union[LabelStatus, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class RecordLabelsRequest(_message.Message):
    __slots__ = ("labels",)
    LABELS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    def __init__(self, labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...

class RecordLabelsItem(_message.Message):
    __slots__ = ("status", "reason", "message")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    status: LabelStatus
    reason: str
    message: str
    def __init__(self, status: _Optional[_Union[LabelStatus, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class RecordLabelsResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RecordLabelsItem]
    def __init__(self, items: _Optional[_Iterable[_Union[RecordLabelsItem, _Mapping]]] = ...) -> None: ...

class GetLabelsRequest(_message.Message):
    __slots__ = ("decision_id", "page_token")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    page_token: str
    def __init__(self, decision_id: _Optional[str] = ..., page_token: _Optional[str] = ...) -> None: ...

class LabelRecord(_message.Message):
    __slots__ = ("label", "state", "recorded_at", "drawn")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    DRAWN_FIELD_NUMBER: _ClassVar[int]
    label: Label
    state: LabelState
    recorded_at: _timestamp_pb2.Timestamp
    drawn: bool
    def __init__(self, label: _Optional[_Union[Label, _Mapping]] = ..., state: _Optional[_Union[LabelState, str]] = ..., recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., drawn: _Optional[bool] = ...) -> None: ...

class GetLabelsResponse(_message.Message):
    __slots__ = ("labels", "resolution_version", "answered_by", "next_page_token")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_VERSION_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[LabelRecord]
    resolution_version: int
    answered_by: _decision_pb2.AnswerSource
    next_page_token: str
    def __init__(self, labels: _Optional[_Iterable[_Union[LabelRecord, _Mapping]]] = ..., resolution_version: _Optional[int] = ..., answered_by: _Optional[_Union[_decision_pb2.AnswerSource, str]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
