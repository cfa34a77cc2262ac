"""One column of a labelled file into numbers; a bad cell is refused by file, row and column.

Rows are counted from 1 and without the header, as a spreadsheet user counts the data.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.times import moment
from training import errors
from training.data.dataset import LAST_SECOND
from training.measure.intervals import FloatArray, IntArray

Column = npt.NDArray[Any]

_TRUTH = {"true": 1.0, "false": 0.0}


def present(source: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    """Refuses a file that lacks one of the `wanted` columns, naming those that it has."""
    missing = [name for name in wanted if name not in found]
    if missing:
        have = ", ".join(found) or "none"
        raise errors.DataRefused(
            f"{source}: there is no column {missing[0]!r}; it has: {have}. "
            "Name the right one with --score-column, --label-column, --weight-column, --group-column, "
            "--time-column or --category-column"
        )


def scores(source: Path, name: str, column: Column) -> FloatArray:
    """(n,) numbers in [0, 1]."""
    values = _numbers(source, name, column)
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
    """(n,) numbers above 0."""
    values = _numbers(source, name, column)
    _refuse(source, name, column, values <= 0.0, "is not above 0; leave out rows that should not count")
    return values


def groups(source: Path, name: str, column: Column) -> Column:
    """(n,) keys of any type as whole numbers."""
    if column.ndim != 1:
        raise errors.DataRefused(f"{source}: {name!r} has shape {column.shape}; one key a row is needed")
    keys = np.array([str(cell).strip() for cell in column])
    empty = np.array([key == "" or _is_missing(cell) for key, cell in zip(keys, column, strict=True)])
    _refuse(source, name, column, empty, "is empty; each row needs its group")
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def categories(source: Path, name: str, column: Column) -> Column:
    """(n,) names as text; empty where a row has none, as then it belongs to no category."""
    if column.ndim != 1:
        raise errors.DataRefused(f"{source}: {name!r} has shape {column.shape}; one category a row is needed")
    return np.array(["" if _is_missing(cell) else str(cell).strip() for cell in column], dtype=np.str_)


def times(source: Path, name: str, column: Column) -> FloatArray:
    """(n,) seconds since 1970 from numbers, ISO 8601 text or timestamps."""
    if column.dtype.kind == "M":
        _refuse(source, name, column, np.isnat(column), "is missing; leave out rows without a time")
        return (column.astype("datetime64[ns]").astype(np.int64) / 1e9).astype(np.float64)
    if column.dtype == object:
        column = np.array([_seconds(cell) for cell in column], dtype=object)
    values = _numbers(source, name, column, what="a time (ISO 8601 or seconds since 1970)")
    outside = (values < 0.0) | (values > LAST_SECOND)
    _refuse(
        source, name, column, outside, "is not in seconds since 1970 (milliseconds must be divided by 1000)"
    )
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


def _numbers(source: Path, name: str, column: Column, what: str = "a number") -> FloatArray:
    if column.ndim != 1:
        raise errors.DataRefused(f"{source}: {name!r} has shape {column.shape}; one value a row is needed")
    try:
        values = column.astype(np.float64)
    except (ValueError, TypeError):
        values = np.array([_number(cell) for cell in column])
    _refuse(source, name, column, ~np.isfinite(values), f"is not {what}; leave the row out or repair it")
    return values


def _number(cell: object) -> float:
    try:
        return float(cell)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return np.nan


def _seconds(cell: object) -> object:
    if isinstance(cell, str):
        try:
            return float(cell)
        except ValueError:
            pass
        try:
            return moment(cell.strip())
        except ValueError:
            return cell
    if isinstance(cell, datetime):
        return (cell if cell.tzinfo else cell.replace(tzinfo=UTC)).timestamp()
    return cell


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
