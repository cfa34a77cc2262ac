"""Durations and moments, read from what a person wrote and told to people and programs.

A duration is in seconds; a moment is in seconds since the epoch, and is told in UTC.
"""

import argparse
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
_EPOCH_SECONDS = re.compile(r"[0-9]{9,12}(?:\.[0-9]+)?")
"""Shorter numbers are rather a duration without its unit than a moment before 1973."""

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
    """A date, a time (RFC 3339, or ISO 8601), or nine and more digits: seconds since the epoch.

    A date begins at 00:00, and what names no offset is in UTC.

    Raises:
        ValueError: it is none of these, or beyond the calendar.
    """
    if _EPOCH_SECONDS.fullmatch(text):
        return float(text)
    try:
        named = datetime.fromisoformat(text)
        return (named if named.tzinfo is not None else named.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is no time: write a date such as 2027-03-31, a time such as 2027-03-31T12:00Z, or seconds "
            "since 1970"
        ) from error


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
