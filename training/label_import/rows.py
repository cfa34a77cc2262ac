"""Rows: what a line of a label file says, checked cell by cell; nothing is sent from here."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sidecar import times
from training import errors
from training.data import columns, files

Channel = Literal["IMPORTED", "OUTCOME", "VOLUNTEERED", "REVIEW_TASK", "AUDIT_TASK"]
About = Literal["FINAL", "PRIMARY", "SECONDARY", "RULE"]
VALUES = ("correct", "true_class", "cannot_tell")

TEXTS = (
    "decision_id",
    "event_id",
    "true_category",
    "criterion",
    "guideline_version",
    "task_id",
    "supersedes",
    "reviewer",
    "note",
)

NAMES = tuple(field for field in (*TEXTS, "true_class") if field != "note")
"""Fields that name something: a whole number among them is one, however the file writes it."""

FIELDS = ("decision_id", *VALUES, "about", "channel", "observed_at", *TEXTS[1:])
"""What a column may be about; only `decision_id` and one value are needed."""

_TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
_YES = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRow:
    """One label, as the file says it.

    Attributes:
        number: of the row, from 1 and without the header.
        texts: the fields of `TEXTS` that are not empty; `event_id` always is there.
        correct: the value, unless it is a class or nobody could tell.
        true_class: the value, if it is a class.
        cannot_tell: the value, if nobody could tell.
        about: whose answer is judged.
        channel: how the label came about.
        observed_at: seconds since the epoch; None: when it is recorded.
    """

    number: int
    texts: Mapping[str, str]
    correct: bool | None
    true_class: str | None
    cannot_tell: bool
    about: About
    channel: Channel
    observed_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A row that says nothing that could be sent, and why."""

    number: int
    decision_id: str
    message: str


def read(
    path: Path, *, renamed: Mapping[str, str], ignored: Collection[str]
) -> tuple[tuple[int, dict[str, str]], ...]:
    """The rows of a CSV or Parquet file: their numbers, from 1, and their texts by field.

    Args:
        path: ends in .csv, .parquet or .pq.
        renamed: column by field; see `fields_of`.
        ignored: columns that are left out.

    Raises:
        DataRefused: the file or its columns cannot be used.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet", ".pq"):
        raise errors.DataRefused(f"{path}: the name must end in .csv or .parquet to say what it is")
    if not path.is_file():
        raise errors.DataRefused(f"{path}: there is no such file")
    header, cells = _csv(path) if suffix == ".csv" else _parquet(path)
    absent = [name for name in ignored if name not in header]
    if absent:
        raise errors.DataRefused(
            f"{path}: there is no column {absent[0]!r} to ignore; it has {', '.join(header)}"
        )
    try:
        kept = [name for name in header if name not in ignored]
        places = {field: header.index(kept[place]) for field, place in fields_of(kept, renamed).items()}
    except errors.DataRefused as error:
        raise errors.DataRefused(f"{path}: {error}") from error
    if not cells:
        raise errors.DataRefused(f"{path}: there are no rows")
    written = suffix == ".csv"
    texts = {
        field: columns.names([row[place] for row in cells], written=written and field in NAMES)
        for field, place in places.items()
    }
    return tuple(
        (number, {field: column[number - 1] for field, column in texts.items()})
        for number in range(1, len(cells) + 1)
    )


def fields_of(header: Sequence[str], renamed: Mapping[str, str]) -> dict[str, int]:
    """Which field stands in which column.

    Args:
        header: of the file.
        renamed: column by field, where it has another name than the field.

    Raises:
        DataRefused: a column is missing, is about nothing that a label says, or stands twice.
    """
    unknown = [field for field in renamed if field not in FIELDS]
    if unknown:
        raise errors.DataRefused(f"a label has no {unknown[0]!r}; it has {', '.join(FIELDS)}")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise errors.DataRefused(f"the column {twice[0]!r} stands twice: leave one out")
    absent = [name for name in renamed.values() if name not in header]
    if absent:
        raise errors.DataRefused(f"there is no column {absent[0]!r}; the file has {', '.join(header)}")
    places = {
        field: header.index(renamed.get(field, field))
        for field in FIELDS
        if renamed.get(field, field) in header
    }
    if "decision_id" not in places:
        raise errors.DataRefused(
            f"there is no column 'decision_id'; the file has {', '.join(header) or 'no column'}. "
            "Name the right one with --column decision_id=NAME"
        )
    if not any(value in places for value in VALUES):
        raise errors.DataRefused(
            f"no column says what turned out to be true: {', '.join(VALUES)}. Name it with --column correct=NAME"
        )
    unused = [name for place, name in enumerate(header) if place not in places.values()]
    if unused:
        raise errors.DataRefused(
            f"column {unused[0]!r} is about nothing that a label says ({', '.join(FIELDS)}): name what it is with "
            f"--column FIELD={unused[0]}, or leave it out with --ignore {unused[0]}"
        )
    return places


def parse(
    number: int, cells: Mapping[str, str], *, source: str, channel: Channel, about: About
) -> LabelRow | Mistake:
    """What a row says, or why it says nothing.

    A row without an event id gets one from its source and content, so that a file may be sent again.

    Args:
        number: of the row.
        cells: text by field, stripped.
        source: the system that says so.
        channel: where the row names none.
        about: where the row names none.
    """

    def mistake(message: str) -> Mistake:
        return Mistake(number=number, decision_id=cells.get("decision_id", ""), message=message)

    texts = {field: cells[field] for field in TEXTS if cells.get(field)}
    if "decision_id" not in texts:
        return mistake("decision_id is empty")
    correct = _TRUTH.get(cells.get("correct", "").lower())
    if cells.get("correct") and correct is None:
        return mistake(f"correct is {cells['correct']!r:.40}: write true or false")
    told = cells.get("cannot_tell", "").lower()
    cannot_tell = (_TRUTH | _YES).get(told, False)
    if told and told not in _TRUTH | _YES:
        return mistake(f"cannot_tell is {told!r:.40}: write true or false")
    true_class = cells.get("true_class") or None
    if sum((correct is not None, true_class is not None, cannot_tell)) != 1:
        return mistake("exactly one of correct, true_class and cannot_tell must say something")
    chosen_channel, chosen_about = (
        cells.get("channel", "").upper() or channel,
        cells.get("about", "").upper() or about,
    )
    if chosen_channel not in get_args(Channel):
        return mistake(f"channel is {chosen_channel!r:.40}: one of {', '.join(get_args(Channel))}")
    if chosen_about not in get_args(About):
        return mistake(f"about is {chosen_about!r:.40}: one of {', '.join(get_args(About))}")
    try:
        observed_at = times.recorded(cells["observed_at"]) if cells.get("observed_at") else None
    except ValueError as problem:
        return mistake(f"observed_at {cells['observed_at']!r:.40} {problem}")
    if "event_id" not in texts:
        texts["event_id"] = _event_id(source, {**cells, "channel": chosen_channel, "about": chosen_about})
    return LabelRow(
        number=number,
        texts=texts,
        correct=correct,
        true_class=true_class,
        cannot_tell=cannot_tell,
        about=chosen_about,  # type: ignore[arg-type]  # checked above
        channel=chosen_channel,  # type: ignore[arg-type]  # checked above
        observed_at=observed_at,
    )


def _event_id(source: str, cells: Mapping[str, str]) -> str:
    said = json.dumps([source, sorted((field, text) for field, text in cells.items() if text)])
    return f"row-{hashlib.sha256(said.encode()).hexdigest()[:32]}"


def _csv(path: Path) -> tuple[list[str], list[list[object]]]:
    lines = files.csv_rows(path)
    return next(lines), [list(line) for line in lines]


def _parquet(path: Path) -> tuple[list[str], list[list[object]]]:
    from pyarrow import lib, parquet

    try:
        with parquet.ParquetFile(path) as opened:
            table = opened.read()
    except (lib.ArrowException, OSError) as error:
        raise errors.DataRefused(f"{path}: not a readable Parquet file ({error})") from error
    cells = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return [str(name) for name in table.column_names], [list(row) for row in cells]
