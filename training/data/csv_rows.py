"""The rows of a CSV file, with its mistakes named by file and row."""

import csv
from collections.abc import Iterator
from pathlib import Path

from training import errors


def read(path: Path) -> Iterator[list[str]]:
    """The header, then each row that is not empty, every cell stripped.

    Raises:
        DataRefused: the file is no readable CSV, or a row has another number of cells than the header; rows are
            counted from 1 and without it.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            rows = (row for row in csv.reader(opened, strict=True) if row)
            header = [name.strip() for name in next(rows, [])]
            yield header
            for number, row in enumerate(rows, start=1):
                if len(row) != len(header):
                    raise errors.DataRefused(
                        f"{path}: row {number} has {len(row)} cells where the header has {len(header)}; "
                        "cells are separated by commas, and one that holds a comma needs quotes"
                    )
                yield [cell.strip() for cell in row]
    except (csv.Error, UnicodeDecodeError, OSError) as problem:
        raise errors.DataRefused(f"{path}: not a readable CSV file ({first_line(problem)})") from problem


def first_line(problem: BaseException) -> str:
    """What an error of a library says, without the rest of its page."""
    lines = str(problem).splitlines()
    return lines[0] if lines else type(problem).__name__
