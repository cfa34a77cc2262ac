"""Each row says one thing or is a mistake with a reason; columns are never guessed."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import errors
from training.label_import import rows


def parse(**cells: str) -> rows.LabelRow | rows.Mistake:
    return rows.parse(1, {"decision_id": "d1"} | cells, source="crm", channel="IMPORTED", about="FINAL")


@pytest.mark.parametrize(
    ("cells", "value"),
    [
        ({"correct": "true"}, (True, None, False)),
        ({"correct": "FALSE"}, (False, None, False)),
        ({"correct": "1"}, (True, None, False)),
        ({"correct": "0.0"}, (False, None, False)),
        ({"true_class": "spam", "correct": ""}, (None, "spam", False)),
        ({"cannot_tell": "yes"}, (None, None, True)),
        ({"cannot_tell": "no", "correct": "1"}, (True, None, False)),
    ],
)
def test_values(cells: dict[str, str], value: tuple[object, ...]) -> None:
    row = parse(**cells)
    assert isinstance(row, rows.LabelRow)
    assert (row.correct, row.true_class, row.cannot_tell) == value


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({}, "exactly one"),
        ({"correct": "true", "true_class": "spam"}, "exactly one"),
        ({"correct": "maybe"}, "write true or false"),
        ({"cannot_tell": "perhaps"}, "write true or false"),
        ({"correct": "1", "channel": "RUMOUR"}, "channel is 'RUMOUR'"),
        ({"correct": "1", "about": "NEIGHBOUR"}, "about is 'NEIGHBOUR'"),
        ({"correct": "1", "observed_at": "yesterday"}, "ISO 8601"),
        ({"correct": "1", "observed_at": "nan"}, "ISO 8601"),
        ({"correct": "1", "observed_at": "-1"}, "ISO 8601"),
        ({"correct": "1", "observed_at": "45658"}, "serial dates"),
        ({"correct": "1", "observed_at": "1772496000000"}, "milliseconds"),
        ({"correct": "1", "decision_id": ""}, "decision_id is empty"),
    ],
)
def test_mistakes_say_what_to_write(cells: dict[str, str], told: str) -> None:
    mistake = parse(**cells)
    assert isinstance(mistake, rows.Mistake)
    assert told in mistake.message


def test_times() -> None:
    for text in (
        "2026-03-03T00:00:00Z",
        "2026-03-03",
        "1772496000",
        "20260303",
        "20260303.0",
        "2026-03-03T01:00:00+01:00",
    ):
        row = parse(correct="1", observed_at=text)
        assert isinstance(row, rows.LabelRow)
        assert row.observed_at == 1772496000.0


@given(st.text(min_size=1).filter(lambda text: text == text.strip()), st.booleans())
def test_an_event_id_of_its_own_follows_from_what_is_said(note: str, correct: bool) -> None:
    one, again = (parse(correct=str(correct), note=note) for _ in range(2))
    other = parse(correct=str(not correct), note=note)
    assert isinstance(one, rows.LabelRow)
    assert isinstance(other, rows.LabelRow)
    assert one == again
    assert one.texts["event_id"] != other.texts["event_id"]


def test_a_given_event_id_is_kept() -> None:
    row = parse(correct="1", event_id="e-7", channel="outcome", about="primary")
    assert isinstance(row, rows.LabelRow)
    assert (row.texts["event_id"], row.channel, row.about) == ("e-7", "OUTCOME", "PRIMARY")


@pytest.mark.parametrize(
    ("header", "renamed", "told"),
    [
        (["id", "correct"], {}, "no column 'decision_id'"),
        (["decision_id", "won"], {}, "no column says what turned out to be true"),
        (["decision_id", "correct", "colour"], {}, "'colour' is about nothing"),
        (["decision_id", "correct", "correct"], {}, "stands twice"),
        (["decision_id", "correct"], {"verdict": "correct"}, "has no 'verdict'"),
        (["decision_id", "won"], {"correct": "lost"}, "no column 'lost'"),
    ],
)
def test_columns_are_never_guessed(header: list[str], renamed: dict[str, str], told: str) -> None:
    with pytest.raises(errors.DataRefused, match=told):
        rows.fields_of(header, renamed)


def test_renamed_columns() -> None:
    assert rows.fields_of(["won", "id"], {"correct": "won", "decision_id": "id"}) == {
        "correct": 0,
        "decision_id": 1,
    }


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_names_that_are_whole_numbers_stay_so_and_days_are_their_midnight(
    tmp_path: Path, suffix: str
) -> None:
    frame = pd.DataFrame({"decision_id": ["a", "b", "c"], "true_class": [0.0, None, 3.0]})
    frame["cannot_tell"] = [None, True, None]
    frame["note"] = ["1.0", "2.0", None]
    frame["observed_at"] = [date(2026, 3, 3)] * 3
    path = tmp_path / f"labels.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    parsed = [
        rows.parse(number, cells, source="crm", channel="IMPORTED", about="FINAL")
        for number, cells in rows.read(path, renamed={}, ignored=())
    ]
    assert all(isinstance(row, rows.LabelRow) for row in parsed)
    assert [getattr(row, "true_class", "") for row in parsed] == ["0", None, "3"]
    assert [getattr(row, "observed_at", 0) for row in parsed] == [1772496000.0] * 3
    assert [getattr(row, "texts", {}).get("note") for row in parsed] == ["1.0", "2.0", None]
