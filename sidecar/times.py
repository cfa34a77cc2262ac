"""Durations and moments, read from what a person wrote and told to people and programs.

A duration is in seconds; a moment is in seconds since the epoch, and is told in UTC.
"""

import argparse
import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

MINUTE_SECONDS = 60.0
HOUR_SECONDS = 3600.0
DAY_SECONDS = 86_400.0
LONGEST_SECONDS = 36_500 * DAY_SECONDS

_UNITS: dict[str, Decimal | int] = {"ms": Decimal("0.001"), "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])")
EARLIEST_SECOND = 946_684_800.0
"""2000-01-01. No answer of a model that is labelled today is older: what seems to be is another unit."""
LAST_SECOND = 253_402_300_799.0
"""9999-12-31, the last one that RFC 3339 can write."""

_LATEST_NUMBER = 4_102_444_800.0
"""2100-01-01: a larger number is in milliseconds, or is a date and a time without what separates them."""
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?")
_SECONDS_SINCE_1970 = (
    "is not in seconds since 1970 (milliseconds must be divided by 1000; years, days and the serial dates of a "
    "spreadsheet must be written as dates such as 2025-03-31)"
)

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def duration(value: object) -> float:
    """The seconds of a duration such as `200ms`, `30s`, `10m`, `24h` or `7d`.

    Raises:
        ValueError: it is none, or longer than a century.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a number and a unit, such as 200ms, 30s, 10m, 24h or 7d")
    # Decimal, so that 1.1d is 95040 seconds and not the double beside it.
    seconds = float(Decimal(match[1]) * _UNITS[match[2]])
    if seconds > LONGEST_SECONDS:
        raise ValueError("a duration is at most 36500d")
    return seconds


def duration_text(seconds: float) -> str:
    """A duration as `duration` reads it again, to the last digit."""
    return f"{Decimal(repr(seconds)):f}s"


def moment(text: str) -> float:
    """A date, a time (RFC 3339, or ISO 8601), or seconds since 1970: seconds since the epoch.

    A date begins at 00:00, and what names no offset is in UTC. A number is read as `numbered` reads it.

    Raises:
        ValueError: it is none of these, or beyond the calendar.
    """
    try:
        if _NUMBER.fullmatch(text):
            return numbered(float(text))
        named = datetime.fromisoformat(text)
        return (named if named.tzinfo is not None else named.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is no time: write a date such as 2027-03-31, a time such as 2027-03-31T12:00Z, or seconds "
            "since 1970"
        ) from error


def numbered(number: float) -> float:
    """The moment that a number stands for: 20250131 for that day, else seconds since 1970.

    Raises:
        ValueError: as seconds it would be before 2000 or after 2099, so that it counts something else: milliseconds,
            days, years. The message continues a sentence that names the number.
    """
    if 10_000_101 <= number <= 99_991_231 and number == int(number):
        year, rest = divmod(int(number), 10_000)
        try:
            return recorded(date(year, *divmod(rest, 100)))
        except ValueError as error:
            raise ValueError(_SECONDS_SINCE_1970) from error
    if not EARLIEST_SECOND <= number < _LATEST_NUMBER:
        raise ValueError(_SECONDS_SINCE_1970)
    return number


def recorded(cell: object) -> float:
    """The moment in a cell of a file: text as `moment` reads it, a number as `numbered`, a date, or a timestamp.

    Raises:
        ValueError: it is none, or before 2000, where only what was read in the wrong unit lies. The message
            continues a sentence that names the cell.
    """
    try:
        if isinstance(cell, str) and not _NUMBER.fullmatch(cell.strip()):
            seconds = moment(cell.strip())
        elif isinstance(cell, datetime):
            seconds = (cell if cell.tzinfo is not None else cell.replace(tzinfo=UTC)).timestamp()
        elif isinstance(cell, date):
            seconds = start_of(cell)
        else:
            number = float(cell)  # type: ignore[arg-type]  # what is no number raises
            if not math.isfinite(number):
                raise ValueError("no moment")
            seconds = None
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError("is not a time (ISO 8601 or seconds since 1970)") from error
    if seconds is None:
        return numbered(number)
    if seconds < EARLIEST_SECOND:
        raise ValueError(f"is before 2000: it {_SECONDS_SINCE_1970}")
    return seconds


@dataclass(frozen=True, slots=True)
class When:
    """What a person named: a moment, or so long before another one.

    Attributes:
        text: as it was written.
        ago: seconds before that other moment; None where `at` is one of its own.
        at: seconds since the epoch; None where it is `ago`.
    """

    text: str
    ago: float | None = None
    at: float | None = None

    def seen_from(self, now: float) -> float:
        """The moment, seen from another one, both in seconds since the epoch."""
        if self.at is not None:
            return self.at
        return now - (self.ago or 0.0)


def when(text: str) -> When:
    """What is named by a duration, such as `30d`, or as a moment; the type of every `--since`.

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    try:
        return When(text, ago=duration(text))
    except ValueError:
        pass
    try:
        return When(text, at=moment(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither so long ago, such as 30d or 12h, nor a date such as 2027-03-31, nor a time such as "
            "2027-03-31T12:00Z"
        ) from None


def length(text: str) -> float:
    """The seconds of a duration, as the type of a flag.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def in_words(seconds: float) -> str:
    """A duration in words, exact: in the largest unit of which it is a whole number, such as `36 hours`."""
    for unit, size in (("day", DAY_SECONDS), ("hour", HOUR_SECONDS), ("minute", MINUTE_SECONDS)):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{seconds:g} seconds"


def about(seconds: float) -> str:
    """A duration in short, rounded: in the largest unit of which it has two, such as `3 d` or `119 s`."""
    for unit, size in (("d", DAY_SECONDS), ("h", HOUR_SECONDS), ("min", MINUTE_SECONDS)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"


def rfc3339(seconds: float, digits: Literal["seconds", "auto"] = "seconds") -> str:
    """A moment for a program: `2027-03-31T12:00:00Z`, with what is finer than a second or (`seconds`) without.

    Raises:
        ValueError, OverflowError, OSError: it is beyond the calendar.
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=digits).replace("+00:00", "Z")


def utc(seconds: float, digits: Literal["minutes", "seconds", "microseconds"] = "seconds") -> str:
    """A moment for a person: `2027-03-31 12:00:00 UTC`; one beyond the calendar as a number."""
    try:
        told = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s since the epoch"
    return f"{told.replace(tzinfo=None).isoformat(' ', digits)} UTC"


def day_of(seconds: float) -> date:
    """The UTC day of a moment."""
    return datetime.fromtimestamp(seconds, UTC).date()


def numbered_day(number: int) -> date:
    """The day that is so many days after 1 January 1970."""
    return date.fromordinal(_EPOCH_DAY + number)


def start_of(day: date) -> float:
    """When a UTC day begins."""
    return (day.toordinal() - _EPOCH_DAY) * DAY_SECONDS
