from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_CONTENT_FILTER: _ClassVar[FinishReason]
    FINISH_REASON_TOOL_CALL: _ClassVar[FinishReason]
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_CONTENT_FILTER: FinishReason
FINISH_REASON_TOOL_CALL: FinishReason

class Evidence(_message.Message):
    __slots__ = ("score", "positive_probability", "probabilities", "logits", "token_log_probabilities")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    LOGITS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_LOG_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    score: Score
    positive_probability: PositiveProbability
    probabilities: Probabilities
    logits: Logits
    token_log_probabilities: TokenLogProbabilities
    def __init__(self, score: _Optional[_Union[Score, _Mapping]] = ..., positive_probability: _Optional[_Union[PositiveProbability, _Mapping]] = ..., probabilities: _Optional[_Union[Probabilities, _Mapping]] = ..., logits: _Optional[_Union[Logits, _Mapping]] = ..., token_log_probabilities: _Optional[_Union[TokenLogProbabilities, _Mapping]] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("confidence",)
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    confidence: float
    def __init__(self, confidence: _Optional[float] = ...) -> None: ...

class PositiveProbability(_message.Message):
    __slots__ = ("probability", "positive_class")
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_CLASS_FIELD_NUMBER: _ClassVar[int]
    probability: float
    positive_class: str
    def __init__(self, probability: _Optional[float] = ..., positive_class: _Optional[str] = ...) -> None: ...

class Probabilities(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class Logits(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class TokenLogProbabilities(_message.Message):
    __slots__ = ("values", "answer_start", "answer_end", "finish_reason")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    ANSWER_START_FIELD_NUMBER: _ClassVar[int]
    ANSWER_END_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    answer_start: int
    answer_end: int
    finish_reason: FinishReason
    def __init__(self, values: _Optional[_Iterable[float]] = ..., answer_start: _Optional[int] = ..., answer_end: _Optional[int] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ...) -> None: ...
