"""Which decisions a report is about."""

from datetime import UTC, date, datetime

import pytest

from sidecar.times import when
from training import errors
from training.report import window

NOW = datetime(2027, 3, 31, 12, tzinfo=UTC).timestamp()
DAY = 86400.0


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30d", NOW - 30 * DAY),
        ("12h", NOW - 12 * 3600.0),
        ("2027-03-01", datetime(2027, 3, 1, tzinfo=UTC).timestamp()),
        ("2027-03-01T06:30Z", datetime(2027, 3, 1, 6, 30, tzinfo=UTC).timestamp()),
        ("2027-03-01T06:30+02:00", datetime(2027, 3, 1, 4, 30, tzinfo=UTC).timestamp()),
    ],
)
def test_moments(text: str, moment: float) -> None:
    assert window.of(since=when(text), until=None, as_of=None, now=NOW).since == moment


def test_so_long_ago_counts_from_the_moment_of_which_is_told() -> None:
    found = window.of(since=when("10d"), until=when("3d"), as_of=when("2027-03-21"), now=NOW)
    told = datetime(2027, 3, 21, tzinfo=UTC).timestamp()
    assert (found.since, found.until, found.as_of) == (told - 10 * DAY, told - 3 * DAY, told)
    assert found.today == date(2027, 3, 21)
    assert found.end == told - 3 * DAY


def test_everything_up_to_now_by_default() -> None:
    found = window.of(since=None, until=None, as_of=None, now=NOW)
    assert found.since is None
    assert found.end > NOW, "what was decided at this very moment is in it"
    assert window.of(since=None, until=when("2099-01-01"), as_of=None, now=NOW).end == found.end


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"since": "1d", "until": "2d"}, "before it begins"),
        ({"since": "2027-04-01"}, "before it begins"),
        ({"as_of": "2027-03-31T12:01Z"}, "yet to come"),
    ],
)
def test_what_is_no_window(flags: dict[str, str], named: str) -> None:
    given = {"since": None, "until": None, "as_of": None} | {flag: when(text) for flag, text in flags.items()}
    with pytest.raises(errors.RequestRefused, match=named):
        window.of(**given, now=NOW)  # type: ignore[arg-type]
