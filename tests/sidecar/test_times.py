"""What a person writes for a duration or a moment is read in one way, and told in one way."""

import argparse
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import times

NOON = datetime(2027, 3, 31, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2027, 3, 31, tzinfo=UTC)
DAY = 86400.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("200ms", 0.2),
        ("10s", 10.0),
        ("90m", 5400.0),
        ("24h", DAY),
        ("1.1d", 95040.0),
        ("36500d", 36500 * DAY),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_the_decimal_that_was_written(text: str, seconds: float) -> None:
    assert times.duration(text) == times.length(text) == seconds


@pytest.mark.parametrize(
    "value", ["", "30", "d", "-1d", "1 d", "1w", "1e3s", "\u0663s", "36501d", 30, None, True]
)
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="a duration is"):
        times.duration(value)


def test_a_flag_says_what_is_no_duration() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a duration is a number and a unit"):
        times.length("a week")


@given(st.floats(0.0, times.LONGEST_SECONDS))
def test_a_duration_that_was_written_is_read_again(seconds: float) -> None:
    assert times.duration(times.duration_text(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-03-31", NOON - DAY / 2),
        ("2027-03-31T12:00", NOON),
        ("2027-03-31 12:00:00Z", NOON),
        ("2027-03-31T14:00+02:00", NOON),
        ("2027-03-31T12:00:00.5Z", NOON + 0.5),
        ("1791000000", 1791000000.0),
        ("1791000000.25", 1791000000.25),
        ("20270331", NOON - DAY / 2),
        ("20270331.0", NOON - DAY / 2),
    ],
)
def test_moments(text: str, moment: float) -> None:
    assert times.moment(text) == moment
    assert times.when(text).seen_from(0.0) == moment


@pytest.mark.parametrize(
    "cell",
    ["20270331", 20270331, 20270331.0, date(2027, 3, 31), MIDNIGHT.replace(tzinfo=None), " 2027-03-31 "],
)
def test_a_day_in_a_file_is_its_midnight(cell: object) -> None:
    assert times.recorded(cell) == NOON - DAY / 2


@pytest.mark.parametrize(
    "cell",
    [
        0,
        5,
        2025,
        "2025",
        20089,
        "20089",
        45658,
        "45658.5",
        1735689600000,
        "1735689600000",
        202503311200,
        True,
    ],
)
def test_what_counts_something_else_than_seconds_is_refused(cell: object) -> None:
    with pytest.raises(ValueError, match="not in seconds since 1970"):
        times.recorded(cell)


@pytest.mark.parametrize("cell", ["1970-01-01", datetime(1970, 1, 1, tzinfo=UTC), date(1999, 12, 31)])
def test_what_a_file_dates_before_2000_was_read_in_another_unit(cell: object) -> None:
    with pytest.raises(ValueError, match="before 2000"):
        times.recorded(cell)


@pytest.mark.parametrize("cell", ["", "soon", None, float("nan"), "\u0661\u0667", "1e999"])
def test_what_is_no_time_in_a_file(cell: object) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        times.recorded(cell)


@pytest.mark.parametrize(
    "text", ["", "soon", "31.3.2027", "2027-02-30", "30", "-1791000000", "nan", "45658", "1735689600000"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="is no time: write a date"):
        times.moment(text)
    with pytest.raises(argparse.ArgumentTypeError, match="is neither so long ago"):
        times.when(text)


def test_so_long_ago_is_seen_from_another_moment() -> None:
    assert times.when("30d").seen_from(NOON) == NOON - 30 * DAY
    assert times.when("12h").seen_from(NOON) == NOON - DAY / 2
    assert times.when("0s").seen_from(NOON) == NOON
    assert times.when("30d").text == "30d"


@pytest.mark.parametrize(
    ("seconds", "words", "short"),
    [
        (0.0, "0 seconds", "0 s"),
        (1.5, "1.5 seconds", "2 s"),
        (60.0, "1 minute", "60 s"),
        (119.0, "119 seconds", "119 s"),
        (5400.0, "90 minutes", "90 min"),
        (7200.0, "2 hours", "2 h"),
        (36 * 3600.0, "36 hours", "36 h"),
        (DAY, "1 day", "24 h"),
        (5 * DAY, "5 days", "5 d"),
    ],
)
def test_durations_for_a_person(seconds: float, words: str, short: str) -> None:
    assert times.in_words(seconds) == words
    assert times.about(seconds) == short


def test_moments_for_programs_and_people() -> None:
    moment = NOON + 0.25
    assert times.rfc3339(moment) == "2027-03-31T12:00:00Z"
    assert times.rfc3339(moment, "auto") == "2027-03-31T12:00:00.250000Z"
    assert times.rfc3339(NOON, "auto") == "2027-03-31T12:00:00Z"
    assert times.utc(moment) == "2027-03-31 12:00:00 UTC"
    assert times.utc(moment, "minutes") == "2027-03-31 12:00 UTC"
    assert times.utc(moment, "microseconds") == "2027-03-31 12:00:00.250000 UTC"
    assert times.utc(1e18) == "1000000000000000000 s since the epoch"


@given(st.integers(0, 2**37))
def test_a_moment_that_was_written_is_read_again(seconds: int) -> None:
    assert times.moment(times.rfc3339(seconds)) == seconds


@given(st.integers(0, 2_000_000))
def test_days_are_numbered_from_1970_on(number: int) -> None:
    day = times.numbered_day(number)
    assert times.start_of(day) == number * DAY
    assert times.day_of(number * DAY) == times.day_of((number + 1) * DAY - 1) == day


def test_the_first_day() -> None:
    assert times.numbered_day(0) == times.day_of(0.0) == date(1970, 1, 1)
