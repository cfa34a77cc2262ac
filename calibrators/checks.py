"""Checks of single fields: each gives the value in its plain form, or refuses it by the name of its key."""

import math

from calibrators.errors import CalibratorRefused


def number(value: object, key: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number in [low, high] as a plain float; minus zero as zero, for equal values have one digest.

    Raises:
        CalibratorRefused: DOCUMENT_MALFORMED (not a number), NOT_FINITE or OUT_OF_RANGE.
    """
    if isinstance(value, (bool, str, bytes)):
        raise CalibratorRefused(f"{key} must be a number, not {value!r}", code="DOCUMENT_MALFORMED")
    try:
        result = float(value) + 0.0  # type: ignore[arg-type]
    except OverflowError:
        result = math.inf
    except (TypeError, ValueError) as error:
        raise CalibratorRefused(
            f"{key} must be a number, not {value!r:.80}", code="DOCUMENT_MALFORMED"
        ) from error
    if not math.isfinite(result):
        raise CalibratorRefused(f"{key} is {result}: it must be a finite number", code="NOT_FINITE")
    if not low <= result <= high:
        raise CalibratorRefused(f"{key} is {result}: it must lie in [{low}, {high}]", code="OUT_OF_RANGE")
    return result


def steepness(value: object, key: str) -> float:
    """A finite parameter that would rank the answers in reverse if it were below zero.

    Raises:
        CalibratorRefused: as `number`, and NOT_MONOTONE below zero.
    """
    result = number(value, key)
    if result < 0.0:
        raise CalibratorRefused(
            f"{key} is {result}: below 0 it would rank the answers in reverse; "
            "where a fit asks for that, the score is uninformative",
            code="NOT_MONOTONE",
        )
    return result


def count(value: object, key: str) -> int:
    """A whole number that is not negative, as a plain int.

    Raises:
        CalibratorRefused: DOCUMENT_MALFORMED, NOT_FINITE or OUT_OF_RANGE.
    """
    result = number(value, key, low=0.0)
    if isinstance(value, int):  # not by way of a float, which holds 53 bits
        return int(value)
    if result != int(result):
        raise CalibratorRefused(f"{key} is {result}: it must be a whole number", code="DOCUMENT_MALFORMED")
    return int(result)


def text(value: object, key: str, *, empty: bool = False) -> str:
    """A text that can be written as UTF-8; not empty unless `empty` says that it may be.

    Raises:
        CalibratorRefused: DOCUMENT_MALFORMED.
    """
    if not isinstance(value, str):
        raise CalibratorRefused(f"{key} must be a text", code="DOCUMENT_MALFORMED")
    if not value and not empty:
        raise CalibratorRefused(f"{key} must not be empty", code="DOCUMENT_MALFORMED")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise CalibratorRefused(f"{key} holds half a character", code="DOCUMENT_MALFORMED") from error
    return value


def member(value: object, members: tuple[str, ...], key: str) -> None:
    """Passes one of the permitted words.

    Raises:
        CalibratorRefused: DOCUMENT_MALFORMED.
    """
    if value not in members:
        raise CalibratorRefused(
            f"{key} is {value!r:.80}: it must be one of {', '.join(members)}", code="DOCUMENT_MALFORMED"
        )
