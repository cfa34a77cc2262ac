"""A label file as text: the header, and each row's cells by field."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from training import errors
from training.data import csv_rows
from training.label_import import rows


def read(
    path: Path, *, renamed: Mapping[str, str], ignored: Collection[str]
) -> tuple[tuple[int, dict[str, str]], ...]:
    """The rows of a CSV or Parquet file: their numbers, from 1, and their texts by field.

    Args:
        path: ends in .csv, .parquet or .pq.
        renamed: column by field; see `rows.fields_of`.
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
        places = {field: header.index(kept[place]) for field, place in rows.fields_of(kept, renamed).items()}
    except errors.DataRefused as error:
        raise errors.DataRefused(f"{path}: {error}") from error
    if not cells:
        raise errors.DataRefused(f"{path}: there are no rows")
    return tuple(
        (number, {field: row[place] for field, place in places.items()})
        for number, row in enumerate(cells, start=1)
    )


def _csv(path: Path) -> tuple[list[str], list[list[str]]]:
    rows = csv_rows.read(path)
    return next(rows), list(rows)


def _parquet(path: Path) -> tuple[list[str], list[list[str]]]:
    from pyarrow import lib, parquet

    try:
        with parquet.ParquetFile(path) as opened:
            table = opened.read()
    except (lib.ArrowException, OSError) as error:
        raise errors.DataRefused(f"{path}: not a readable Parquet file ({error})") from error
    columns = [list(map(_text, column.to_pylist())) for column in table.columns]
    return [str(name) for name in table.column_names], [list(row) for row in _rows(columns)]


def _rows(columns: list[list[str]]) -> Iterator[tuple[str, ...]]:
    return zip(*columns, strict=True)


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN differs from itself
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else str(value).strip()
