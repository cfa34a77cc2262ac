"""Labelled files into datasets: CSV, Parquet and .npz, with every mistake named by file, row and column."""

import csv
import zipfile
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from calibrators.evidence import EvidenceKind
from training import errors
from training.data import columns
from training.data.dataset import Dataset
from training.measure.intervals import FloatArray

ScoreIs = Literal["confidence", "positive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which column holds what. In an .npz file these are array names, used where they exist."""

    score: str = "score"
    label: str = "correct"
    weight: str | None = None
    group: str | None = None
    time: str | None = None
    category: str | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns to read, each once."""
        named = (self.score, self.label, self.weight, self.group, self.time, self.category)
        return tuple(dict.fromkeys(name for name in named if name is not None))


def read(
    path: str | Path,
    score_column: str = "score",
    label_column: str = "correct",
    weight_column: str | None = None,
    group_column: str | None = None,
    time_column: str | None = None,
    category_column: str | None = None,
    score_is: ScoreIs = "confidence",
) -> Dataset:
    """The labelled rows of a CSV, Parquet or .npz file.

    With `score_is="confidence"` the score is the confidence in the answer that was given and the label is 1
    where that answer was right. With `"positive"` the score is P(positive) and the label is the true class, 1
    for positive: the answer is "positive" exactly if the score is at least 0.5, the confidence in it is
    max(p, 1 - p), and it is correct where it equals the label.

    An .npz file holds either `logits` (n, k) and `labels` (n,), the index of the true class, the answer being
    the most likely class; or `scores` (n,) and `labels` (n,) of 0/1. `weights`, `groups`, `times` and
    `categories` (n,) are optional there; other names are taken where the column arguments give them.

    Times are seconds since 1970 or ISO 8601, UTC where no offset is given.

    Raises:
        DataRefused: the file, a column or a row cannot be used; the message names it and says what to do.
    """
    source = Path(path)
    layout = Layout(
        score=score_column,
        label=label_column,
        weight=weight_column,
        group=group_column,
        time=time_column,
        category=category_column,
    )
    suffix = source.suffix.lower()
    if suffix not in (".csv", ".parquet", ".pq", ".npz"):
        raise errors.DataRefused(f"{source}: the name must end in .csv, .parquet or .npz to say what it is")
    if not source.is_file():
        raise errors.DataRefused(f"{source}: there is no such file")
    if suffix == ".npz":
        return _read_npz(source, layout, score_is)
    table = _read_csv(source, layout) if suffix == ".csv" else _read_parquet(source, layout)
    scores = columns.scores(source, layout.score, table[layout.score])
    labels = columns.labels(source, layout.label, table[layout.label])
    return _from_scores(source, layout, table, scores, labels, score_is)


def column_names(path: str | Path) -> tuple[str, ...]:
    """The columns of a CSV or Parquet file, or the arrays of an .npz file; none where it cannot be read."""
    source = Path(path)
    try:
        if source.suffix.lower() == ".csv":
            return tuple(next(csv_rows(source)))
        if source.suffix.lower() == ".npz":
            with np.load(source, allow_pickle=False) as archive:
                return tuple(archive.files)
        from pyarrow import parquet

        return tuple(str(name) for name in parquet.read_schema(source).names)
    except (OSError, ValueError, zipfile.BadZipFile, errors.DataRefused):
        return ()


def csv_rows(path: Path) -> Iterator[list[str]]:
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


def _from_scores(
    source: Path,
    layout: Layout,
    table: dict[str, npt.NDArray[Any]],
    scores: FloatArray,
    labels: FloatArray,
    score_is: ScoreIs,
) -> Dataset:
    kind: EvidenceKind = "score"
    columns.both_outcomes(source, layout.label, labels)
    if score_is == "positive":
        kind = "positive_probability"
        answers = (scores >= 0.5).astype(np.float64)
        scores = np.maximum(scores, 1.0 - scores)
        labels = (answers == labels).astype(np.float64)
        if labels.min() == labels.max():
            raise errors.DataRefused(
                f"{source}: every answer (positive where the score is at least 0.5) is "
                f"{'right' if labels[0] else 'wrong'}; "
                "there is nothing to learn from. Add rows of the other outcome"
            )
    return Dataset.of(scores, labels, evidence=kind, **_extras(source, layout, table))


def _extras(source: Path, layout: Layout, table: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
    return {
        "weights": None
        if layout.weight is None
        else columns.weights(source, layout.weight, table[layout.weight]),
        "groups": None if layout.group is None else columns.groups(source, layout.group, table[layout.group]),
        "times": None if layout.time is None else columns.times(source, layout.time, table[layout.time]),
        "categories": None
        if layout.category is None
        else columns.categories(source, layout.category, table[layout.category]),
    }


def _read_csv(source: Path, layout: Layout) -> dict[str, npt.NDArray[Any]]:
    rows = csv_rows(source)
    header = next(rows)
    columns.present(source, layout.wanted, header)
    places = [header.index(name) for name in layout.wanted]
    cells = [[row[place] for place in places] for row in rows]
    table = np.array(cells, dtype=object).reshape(len(cells), len(places))
    return _table(source, {name: table[:, place] for place, name in enumerate(layout.wanted)})


def _read_parquet(source: Path, layout: Layout) -> dict[str, npt.NDArray[Any]]:
    from pyarrow import lib, parquet

    try:
        with parquet.ParquetFile(source) as opened:
            columns.present(source, layout.wanted, [str(name) for name in opened.schema_arrow.names])
            table = opened.read(columns=list(layout.wanted))
    except (lib.ArrowException, OSError) as problem:
        raise errors.DataRefused(
            f"{source}: not a readable Parquet file ({first_line(problem)})"
        ) from problem
    # Cell by cell, for whatever has gaps would come as floating point: the name 1 as 1.0, the day 20250131 as a number.
    cells = {name: table.column(name) for name in layout.wanted}
    return _table(
        source,
        {
            name: np.fromiter(column.to_pylist(), dtype=object, count=len(column))
            if column.null_count or not _is_plain(column.type)
            else column.to_numpy()
            for name, column in cells.items()
        },
    )


def _is_plain(kind: Any) -> bool:
    """Whether numpy has the type itself."""
    from pyarrow import types

    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_timestamp(kind)
    )


def _read_npz(source: Path, layout: Layout, score_is: ScoreIs) -> Dataset:
    try:
        with np.load(source, allow_pickle=False) as archive:
            arrays = {str(name): np.asarray(archive[name]) for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as problem:
        raise errors.DataRefused(f"{source}: not a readable .npz file ({first_line(problem)})") from problem
    defaults = Layout()
    label = layout.label if layout.label != defaults.label else "labels"
    score = layout.score if layout.score != defaults.score else "scores"
    # A column that was asked for must be there; the usual names are taken where they are.
    layout = Layout(
        score=score,
        label=label,
        weight=layout.weight or _where("weights", arrays),
        group=layout.group or _where("groups", arrays),
        time=layout.time or _where("times", arrays),
        category=layout.category or _where("categories", arrays),
    )
    vector = "logits" in arrays and layout.score == "scores"
    wanted = ("logits", *layout.wanted[1:]) if vector else layout.wanted
    columns.present(source, wanted, list(arrays))
    table = _table(source, {name: arrays[name] for name in wanted})
    if not vector:
        scores = columns.scores(source, layout.score, table[layout.score])
        labels = columns.labels(source, layout.label, table[layout.label])
        return _from_scores(source, layout, table, scores, labels, score_is)
    if score_is == "positive":
        raise errors.DataRefused(f"{source}: it holds logits, so leave `--score-is positive` out")
    logits = columns.logits(source, "logits", table["logits"])
    truths = columns.class_indices(source, layout.label, table[layout.label], classes=logits.shape[1])
    columns.both_outcomes(source, layout.label, (logits.argmax(axis=1) == truths).astype(np.float64))
    return Dataset.from_logits(logits, truths, **_extras(source, layout, table))


def _table(source: Path, table: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    lengths = {name: len(column) if column.ndim else 0 for name, column in table.items()}
    if not min(lengths.values()):
        raise errors.DataRefused(f"{source}: there are no rows; a labelled file needs at least two")
    if len(set(lengths.values())) > 1:
        sizes = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise errors.DataRefused(f"{source}: the arrays differ in length ({sizes}); give one entry a row")
    return table


def _where(name: str, found: Container[str]) -> str | None:
    return name if name in found else None
