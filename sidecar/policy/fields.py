"""The kinds of values in a policy file, each with the one form that it has and a message for any other."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from sidecar import dialect, times
from sidecar.policy.actions import Action


def _file_version(value: object) -> object:
    if type(value) is not int or value != 1:
        raise ValueError("must be 1: the only format that this version of Trueband reads")
    return value


def _date(value: object) -> object:
    """YAML reads 2027-03-31 as a date; JSON, as the canonical text is, has only text."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError("a date is written 2027-03-31") from error
    return value


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("must be a number")
    # Through the shortest text, so that 0.9 is nine tenths and not the binary fraction beside it.
    return Decimal(str(value))


def _person_action(value: object) -> object:
    if value not in (Action.HOLD_FOR_REVIEW, Action.ESCALATE):
        raise ValueError("must be HOLD_FOR_REVIEW or ESCALATE: nothing else leaves the decision to a person")
    return Action(str(value))


def _calibrator_uri(value: str) -> str:
    if not re.fullmatch("file:.+", value) and dialect.registered(value) is None:
        raise ValueError(f"{value!r} is no calibrator source: write {dialect.SOURCE_FORMS}")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is no IANA time zone such as Europe/Berlin") from error
    return value


FileVersion = Annotated[Literal[1], BeforeValidator(_file_version)]
Duration = Annotated[
    float,
    BeforeValidator(times.duration),
    PlainSerializer(times.duration_text, return_type=str, when_used="json"),
]
"""In seconds."""

Day = Annotated[date, BeforeValidator(_date)]
PersonAction = Annotated[Literal[Action.HOLD_FOR_REVIEW, Action.ESCALATE], BeforeValidator(_person_action)]
CalibratorUri = Annotated[str, AfterValidator(_calibrator_uri)]
Edge = Annotated[
    Decimal, BeforeValidator(_decimal), PlainSerializer(float, return_type=float), Field(ge=0, le=1)
]
Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Word = Annotated[str, Field(min_length=1)]


def as_tuple(value: object) -> object:
    """A YAML sequence as a tuple; anything else as it is, for the type to refuse."""
    return tuple(value) if isinstance(value, list) else value


class Strict(BaseModel):
    """No unknown key, no silent conversion, no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
