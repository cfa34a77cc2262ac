"""One column of a labelled file into numbers; a bad cell is refused by file, row and column.

Rows are counted from 1 and without the header, as a spreadsheet user counts the data.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.times import recorded
from training import errors
from training.measure.intervals import FloatArray, IntArray

Column = npt.NDArray[Any]

ROUNDING = 1e-6
"""By how much a score may exceed 1: the room that a secondary model's answer has, too."""

LEAST_WEIGHT = 1e-12
"""Of the largest one: below it a row counts for nothing, and a sum of squares may be lost."""

_WHOLE = re.compile(r"-?[0-9]+\.0*")
_TRUTH = {"true": 1.0, "false": 0.0}


def present(source: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    """Refuses a file that lacks one of the `wanted` columns, naming those that it has, or has it twice."""
    missing = [name for name in wanted if name not in found]
    if missing:
        have = ", ".join(found) or "none"
        raise errors.DataRefused(
            f"{source}: there is no column {missing[0]!r}; it has: {have}. "
            "Name the right one with --score-column, --label-column, --weight-column, --group-column, "
            "--time-column or --category-column"
        )
    twice = [name for name in wanted if found.count(name) > 1]
    if twice:
        raise errors.DataRefused(
            f"{source}: the column {twice[0]!r} stands twice, and nothing says which one is meant: leave one out"
        )


def scores(source: Path, name: str, column: Column) -> FloatArray:
    """(n,) numbers in [0, 1]; what is above 1 by rounding, as the next float32 is, is 1."""
    values = _numbers(source, name, column)
    values = np.where((values > 1.0) & (values <= 1.0 + ROUNDING), 1.0, values)
    outside = (values < 0.0) | (values > 1.0)
    _refuse(
        source, name, column, outside, "is outside [0, 1]; scores are probabilities, not per cent or logits"
    )
    return values


def labels(source: Path, name: str, column: Column) -> FloatArray:
    """(n,) of 0.0 and 1.0; the words true and false are taken too."""
    if column.dtype == object:
        column = np.array([_TRUTH.get(str(cell).strip().lower(), cell) for cell in column], dtype=object)
    values = _numbers(source, name, column)
    _refuse(
        source,
        name,
        column,
        (values != 0.0) & (values != 1.0),
        "is neither 0 nor 1; labels say wrong or right",
    )
    return values


def class_indices(source: Path, name: str, column: Column, *, classes: int) -> IntArray:
    """(n,) whole numbers from 0 to `classes` - 1."""
    values = _numbers(source, name, column)
    bad = (values != np.floor(values)) | (values < 0) | (values >= classes)
    _refuse(source, name, column, bad, f"is not the index of a class (0 to {classes - 1})")
    return values.astype(np.int64)


def weights(source: Path, name: str, column: Column) -> FloatArray:
    """(n,) numbers above 0 and at most 1, the largest of which is 1: only their ratios mean something."""
    values = _numbers(source, name, column)
    _refuse(source, name, column, values <= 0.0, "is not above 0; leave out rows that should not count")
    scaled = np.asarray(values / values.max(), dtype=np.float64)
    _refuse(
        source,
        name,
        column,
        scaled < LEAST_WEIGHT,
        f"is less than {LEAST_WEIGHT} of the largest; leave it out",
    )
    return scaled


def groups(source: Path, name: str, column: Column) -> Column:
    """(n,) keys of any type as whole numbers."""
    if column.ndim != 1:
        raise errors.DataRefused(f"{source}: {name!r} has shape {column.shape}; one key a row is needed")
    keys = np.array(names(column.tolist()))
    _refuse(source, name, column, keys == "", "is empty; each row needs its group")
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def names(cells: Sequence[object], *, written: bool = False) -> list[str]:
    """The texts of a column of names, stripped; empty where a row has none.

    A name that is a whole number stays one: where a column of them has gaps, pandas and others keep it as
    floating point, and write 1 as 1.0.

    Args:
        cells: of the column.
        written: they were text in a file that has no other type, such as CSV: 1.0 may be a 1 there, if the whole
            column is so.
    """
    texts = ["" if _is_missing(cell) else str(cell).strip() for cell in cells]
    numbers = not written and all(
        isinstance(cell, float | Decimal) for cell in cells if not _is_missing(cell)
    )
    if (written or numbers) and all(_WHOLE.fullmatch(text) for text in texts if text):
        return [text.partition(".")[0] for text in texts]
    return texts


def categories(source: Path, name: str, column: Column) -> Column:
    """(n,) names as text; empty where a row has none, as then it belongs to no category. See `names`."""
    if column.ndim != 1:
        raise errors.DataRefused(f"{source}: {name!r} has shape {column.shape}; one category a row is needed")
    return np.array(names(column.tolist(), written=source.suffix.lower() == ".csv"), dtype=np.str_)


def times(source: Path, name: str, column: Column) -> FloatArray:
    """(n,) seconds since 1970 from numbers, ISO 8601 text, dates or timestamps; see `sidecar.times.recorded`."""
    if column.ndim != 1:
        raise errors.DataRefused(f"{source}: {name!r} has shape {column.shape}; one time a row is needed")
    if column.dtype.kind == "M":
        _refuse(source, name, column, np.isnat(column), "is missing; leave out rows without a time")
        column = column.astype("datetime64[us]").astype(object)
    values = np.empty(column.size)
    problems: dict[int, str] = {}
    for row, cell in enumerate(column.tolist()):
        try:
            values[row] = recorded(cell)
        except ValueError as problem:
            problems[row] = str(problem)
    if problems:
        bad = np.isin(np.arange(column.size), list(problems))
        _refuse(source, name, column, bad, f"{problems[min(problems)]}; leave the row out or repair it")
    return values


def logits(source: Path, name: str, column: Column) -> FloatArray:
    """(n, k) finite numbers, k of at least 2."""
    if column.ndim != 2 or column.shape[1] < 2 or column.dtype.kind not in "fiu":
        raise errors.DataRefused(
            f"{source}: {name!r} has shape {column.shape} and type {column.dtype}; numbers of shape (n, k) "
            "with k of at least 2 are needed (one score a row goes into `scores`)"
        )
    values = column.astype(np.float64)
    bad = np.asarray(~np.isfinite(values).all(axis=1))
    _refuse(source, name, column, bad, "holds a number that is not finite; leave the row out or repair it")
    return values


def both_outcomes(source: Path, name: str, correct: FloatArray) -> None:
    """Refuses a file in which every row has the same outcome."""
    if correct.min() == correct.max():
        raise errors.DataRefused(
            f"{source}: by column {name!r} all {correct.size} rows are {'right' if correct[0] else 'wrong'}, "
            "of one class only: there is nothing to learn from. Add rows of the other outcome"
        )


def _numbers(source: Path, name: str, column: Column) -> FloatArray:
    if column.ndim != 1:
        raise errors.DataRefused(f"{source}: {name!r} has shape {column.shape}; one value a row is needed")
    if column.dtype == object:
        foreign = np.array([_in_other_digits(cell) for cell in column.tolist()])
        _refuse(source, name, column, foreign, "is not written in the digits 0 to 9 alone; write it so")
    try:
        values = column.astype(np.float64)
    except (ValueError, TypeError):
        values = np.array([_number(cell) for cell in column])
    _refuse(source, name, column, ~np.isfinite(values), "is not a number; leave the row out or repair it")
    return values


def _in_other_digits(cell: object) -> bool:
    """Whether Python would read digits here that no other reader of the file does: those of Arabic, or 1_000."""
    return isinstance(cell, str) and any(
        mark == "_" or (mark.isdigit() and not mark.isascii()) for mark in cell
    )


def _number(cell: object) -> float:
    try:
        return float(cell)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return np.nan


def _is_missing(cell: object) -> bool:
    return cell is None or cell != cell  # NaN and NaT differ from themselves


def _refuse(source: Path, name: str, column: Column, bad: npt.NDArray[np.bool_], why: str) -> None:
    rows = np.flatnonzero(bad)
    if rows.size:
        more = f" (and {rows.size - 1} more rows)" if rows.size > 1 else ""
        shown = "" if column.ndim > 1 else f" {_show(column[rows[0]])}"
        raise errors.DataRefused(f"{source}: row {rows[0] + 1}, column {name!r}:{shown} {why}{more}")


def _show(cell: object) -> str:
    value = cell.item() if isinstance(cell, np.generic) else cell
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
