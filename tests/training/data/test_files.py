import csv
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from training import errors
from training.data import files
from training.measure import diagram

ROWS = [
    (0.9, 1, 2.0, "a", "2024-03-03T00:00:00Z"),
    (0.4, 0, 1.0, "b", "2024-03-04"),
    (0.7, 1, 1.0, "a", "1709424000"),
]
NAMES = ["score", "correct", "w", "g", "t"]
EXTRAS = {"weight_column": "w", "group_column": "g", "time_column": "t"}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_csv(path: Path, rows: list[tuple[Any, ...]]) -> Path:
    with path.open("w", newline="") as opened:
        csv.writer(opened).writerows([NAMES, *rows])
    return path


def test_csv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    from_csv = files.read(write_csv(tmp_path / "a.csv", ROWS), **EXTRAS)
    frame = pd.DataFrame(ROWS, columns=NAMES)
    frame.to_parquet(tmp_path / "a.parquet")
    assert files.read(tmp_path / "a.parquet", **EXTRAS).digest == from_csv.digest
    assert from_csv.scores.tolist() == [0.9, 0.4, 0.7]
    assert from_csv.weights.tolist() == [1.0, 0.5, 0.5]  # the largest is 1
    assert from_csv.groups is not None
    assert from_csv.groups.tolist() == [0, 1, 0]
    assert from_csv.window == ("2024-03-03T00:00:00Z", "2024-03-04T00:00:00Z")
    assert from_csv.evidence == "score"


def test_parquet_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"score": np.float32([0.25, 0.5]), "correct": [True, False]})
    frame["t"] = pd.to_datetime(["2024-03-03", "2024-03-04"], utc=True)
    frame["u"] = pd.to_datetime(["2024-03-03", "2024-03-04"])
    frame.to_parquet(tmp_path / "a.parquet")
    data = files.read(tmp_path / "a.parquet", time_column="t")
    assert data.scores.tolist() == [0.25, 0.5]
    assert data.correct.tolist() == [1.0, 0.0]
    assert data.window == ("2024-03-03T00:00:00Z", "2024-03-04T00:00:00Z")
    assert files.read(tmp_path / "a.parquet", time_column="u").window == data.window


def test_a_day_is_its_midnight_however_the_file_keeps_it(tmp_path: Path) -> None:
    days = [date(2025, 1, 31), date(2025, 2, 1)]
    frame = pd.DataFrame(
        {"score": [0.25, 0.5], "correct": [1, 0], "day": days, "number": [20250131, 20250201]}
    )
    frame["gap"] = frame.number.astype("float64")
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    for name in ("a.csv", "a.parquet"):
        for column in ("day", "number", "gap"):
            data = files.read(tmp_path / name, time_column=column)
            assert data.window == ("2025-01-31T00:00:00Z", "2025-02-01T00:00:00Z")


def test_times_of_another_unit_are_refused_in_parquet_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"score": [0.25, 0.5], "correct": [1, 0], "serial": [45658, 45659]})
    frame["read_wrongly"] = pd.to_datetime([20250131, 20250201])
    frame["days"] = [20089.0, None]
    frame.to_parquet(tmp_path / "a.parquet")
    for column in ("serial", "read_wrongly", "days"):
        with pytest.raises(errors.DataRefused, match="not in seconds since 1970"):
            files.read(tmp_path / "a.parquet", time_column=column)


def test_names_that_are_whole_numbers_stay_so(tmp_path: Path) -> None:
    frame = pd.DataFrame({"score": [0.25, 0.5, 0.75], "correct": [1, 0, 1]})
    frame["n"] = pd.array([1, None, 12], dtype="Int64")
    frame["f"] = [1.0, None, 12.0]
    frame["text"] = ["1.0", None, "12.5"]
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    for name in ("a.csv", "a.parquet"):
        for column in ("n", "f"):
            data = files.read(tmp_path / name, category_column=column)
            assert data.categories is not None
            assert data.categories.tolist() == ["1", "", "12"]
        data = files.read(tmp_path / name, category_column="text")
        assert data.categories is not None
        assert data.categories.tolist() == ["1.0", "", "12.5"]


def test_a_column_that_stands_twice_is_refused_in_parquet(tmp_path: Path) -> None:
    table = pa.table(
        [pa.array([0.5, 0.6]), pa.array([1, 0]), pa.array([0.7, 0.8])], ["score", "correct", "score"]
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(errors.DataRefused, match="'score' stands twice"):
        files.read(tmp_path / "a.parquet")


@pytest.mark.parametrize("weight", ["1e154", "1e308", "1e-310", "1"])
def test_equal_weights_are_no_weights(tmp_path: Path, weight: str) -> None:
    path = write(tmp_path / "a.csv", f"score,correct,w\n0.5,1,{weight}\n0.4,0,{weight}\n")
    assert files.read(path, weight_column="w").digest == files.read(path).digest


def test_a_weight_that_counts_for_nothing_beside_another_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "score,correct,w\n0.5,1,1e-200\n0.4,0,1e200\n")
    with pytest.raises(errors.DataRefused, match="row 1, column 'w'"):
        files.read(path, weight_column="w")


def test_a_score_above_one_by_rounding_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "score,correct\n1.0000001192092896,1\n0.4,0\n")
    assert files.read(path).scores.tolist() == [1.0, 0.4]
    path = write(tmp_path / "b.csv", "score,correct\n1.00001,1\n0.4,0\n")
    with pytest.raises(errors.DataRefused, match="outside"):
        files.read(path)


def test_csv_details(tmp_path: Path) -> None:
    content = '\ufeffid, score ,correct\r\n"x, y",0.5,TRUE\r\n\r\n2,1,false\r\n'
    data = files.read(write(tmp_path / "a.csv", content))
    assert data.scores.tolist() == [0.5, 1.0]
    assert data.correct.tolist() == [1.0, 0.0]


def test_positive_scores_become_confidence_in_the_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "score,correct\n0.9,1\n0.2,1\n0.5,0\n0.1,0\n")
    data = files.read(path, score_is="positive")
    assert data.scores == pytest.approx([0.9, 0.8, 0.5, 0.9])
    assert data.correct.tolist() == [1.0, 0.0, 0.0, 1.0]
    assert (data.evidence, data.answer) == ("positive_probability", "argmax")


def test_npz_of_logits_and_of_scores(tmp_path: Path) -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]], dtype=np.float32)
    np.savez(tmp_path / "l.npz", logits=logits, labels=np.int16([0, 0, 0]), groups=["x", "y", "x"])
    data = files.read(tmp_path / "l.npz")
    assert data.vectors is not None
    assert data.correct.tolist() == [1.0, 0.0, 1.0]
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1, 0]
    np.savez(tmp_path / "s.npz", scores=[0.5, 0.6], labels=[0, 1], weights=[1.0, 3.0], times=[1.7e9, 1.7e9])
    data = files.read(tmp_path / "s.npz")
    assert data.weights.tolist() == [1.0 / 3.0, 1.0]
    assert data.times is not None
    np.savez(tmp_path / "n.npz", logits=logits, p=[0.5, 0.6, 0.7], y=[0, 1, 1])
    named = files.read(tmp_path / "n.npz", score_column="p", label_column="y")
    assert named.vectors is None
    assert named.scores.tolist() == [0.5, 0.6, 0.7]


GOOD = "score,correct,w,g,t\n0.9,1,2,a,20250105\n0.4,0,1,b,20250106\n"


@pytest.mark.parametrize(
    ("name", "content", "arguments", "words"),
    [
        ("a.csv", "", {}, ["no column 'score'", "it has: none", "--score-column"]),
        ("a.csv", "p,correct\n0.5,1\n", {}, ["no column 'score'", "it has: p, correct"]),
        ("a.csv", "score;correct\n0.5;1\n", {}, ["no column 'score'", "score;correct"]),
        ("a.csv", GOOD, {"weight_column": "weight"}, ["no column 'weight'", "--weight-column"]),
        ("a.csv", "score,correct\n", {}, ["no rows"]),
        ("a.csv", "score,correct\n0.5,1\n0.6,1\n", {}, ["'correct'", "all 2 rows are right", "Add rows"]),
        ("a.csv", "score,correct\n0.5,0\n0.6,0\n", {}, ["all 2 rows are wrong"]),
        (
            "a.csv",
            "score,correct\n0.5,1\nhigh,0\n",
            {},
            ["row 2", "column 'score'", "'high'", "not a number"],
        ),
        ("a.csv", "score,correct\n0.5,1\n,0\n", {}, ["row 2", "column 'score'", "''"]),
        ("a.csv", "score,correct\n0.5,1\nnan,0\n", {}, ["row 2", "not a number"]),
        ("a.csv", "score,correct\n0.5,1\ninf,0\n", {}, ["row 2", "not a number"]),
        (
            "a.csv",
            "score,correct\n0.5,1\n85,0\n92,1\n",
            {},
            ["row 2", "outside [0, 1]", "per cent", "1 more"],
        ),
        ("a.csv", "score,correct\n0.5,1\n0.5,2\n", {}, ["row 2", "column 'correct'", "neither 0 nor 1"]),
        ("a.csv", "score,correct\n0.5,1\n0.5,no\n", {}, ["row 2", "column 'correct'", "'no'"]),
        ("a.csv", "score,correct\n0.5,1\n0.5\n", {}, ["row 2", "1 cells", "header has 2"]),
        ("a.csv", 'score,correct\n0.5,1\n"0.5,0\n', {}, ["not a readable CSV"]),
        ("a.csv", b"score,correct\n\xff\xfe,1\n", {}, ["not a readable CSV"]),
        ("a.csv", GOOD.replace("2,a", "0,a"), {"weight_column": "w"}, ["row 1", "column 'w'", "above 0"]),
        ("a.csv", GOOD.replace("2,a", "-2,a"), {"weight_column": "w"}, ["row 1", "column 'w'"]),
        ("a.csv", GOOD.replace("b", ""), {"group_column": "g"}, ["row 2", "column 'g'", "empty"]),
        (
            "a.csv",
            GOOD.replace("20250106", "soon"),
            {"time_column": "t"},
            ["row 2", "column 't'", "ISO 8601"],
        ),
        ("a.csv", GOOD.replace("20250106", "1.7e15"), {"time_column": "t"}, ["row 2", "milliseconds"]),
        ("a.csv", GOOD.replace("20250106", "45658"), {"time_column": "t"}, ["row 2", "serial dates"]),
        ("a.csv", GOOD.replace("20250106", "2025"), {"time_column": "t"}, ["row 2", "years"]),
        ("a.csv", GOOD.replace("20250106", "1970-01-01"), {"time_column": "t"}, ["row 2", "before 2000"]),
        ("a.csv", "score,correct\n0.5,1\n\u0660.\u0665,0\n", {}, ["row 2", "digits 0 to 9"]),
        ("a.csv", "score,correct\n0.5,1\n0.5_1,0\n", {}, ["row 2", "digits 0 to 9"]),
        ("a.csv", "score,correct,score\n0.5,1,0.6\n", {}, ["'score' stands twice", "leave one out"]),
        ("a.csv", "score,correct, t,t \n0.5,1,5,5\n", {"time_column": "t"}, ["'t' stands twice"]),
        ("a.csv", "score,correct\n0.9,1\n0.2,0\n", {"score_is": "positive"}, ["every answer", "right"]),
        ("a.txt", GOOD, {}, [".csv, .parquet or .npz"]),
        ("a.parquet", b"PAR1 but not really", {}, ["not a readable Parquet"]),
        ("a.npz", b"PK not a zip", {}, ["not a readable .npz"]),
        ("a.npz", b"", {}, ["not a readable .npz"]),
    ],
)
def test_bad_files_are_named(
    tmp_path: Path, name: str, content: str | bytes, arguments: dict[str, Any], words: list[str]
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(errors.DataRefused) as refused:
        files.read(path, **arguments)
    message = str(refused.value)
    assert str(path) in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("arrays", "arguments", "words"),
    [
        ({"labels": [0, 1]}, {}, ["no column 'scores'"]),
        ({"logits": [[1.0, 2.0]] * 2}, {}, ["no column 'labels'"]),
        ({"scores": [0.1, 0.2], "labels": [0]}, {}, ["differ in length", "scores: 2", "labels: 1"]),
        ({"scores": [[0.1], [0.2]], "labels": [0, 1]}, {}, ["'scores'", "shape (2, 1)"]),
        ({"logits": [0.1, 0.2], "labels": [0, 1]}, {}, ["'logits'", "shape (2,)", "`scores`"]),
        ({"logits": [[1.0], [2.0]], "labels": [0, 0]}, {}, ["at least 2"]),
        ({"logits": [[1.0, np.nan], [2.0, 0.0]], "labels": [0, 0]}, {}, ["row 1", "'logits'", "not finite"]),
        ({"logits": [[1.0, 0.0], [2.0, 0.0]], "labels": [0, 2]}, {}, ["row 2", "'labels'", "0 to 1"]),
        ({"logits": [[1.0, 0.0], [2.0, 0.0]], "labels": [0.5, 1]}, {}, ["row 1", "'labels'"]),
        ({"logits": [[1.0, 0.0], [2.0, 0.0]], "labels": [0, 0]}, {}, ["of one class only"]),
        (
            {"logits": [[1.0, 0.0], [2.0, 0.0]], "labels": [0, 1]},
            {"score_is": "positive"},
            ["leave `--score-is positive` out"],
        ),
        ({"scores": np.array(0.5), "labels": np.array(1)}, {}, ["no rows"]),
        ({"scores": np.array([{}, {}], dtype=object), "labels": [0, 1]}, {}, ["not a readable .npz"]),
    ],
)
def test_bad_arrays_are_named(
    tmp_path: Path, arrays: dict[str, Any], arguments: dict[str, Any], words: list[str]
) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(errors.DataRefused) as refused:
        files.read(path, **arguments)
    for word in (str(path), *words):
        assert word in str(refused.value)


def test_parquet_nulls_are_named(tmp_path: Path) -> None:
    pd.DataFrame({"score": [0.5, None], "correct": [1, 0]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(errors.DataRefused, match=r"row 2, column 'score'"):
        files.read(tmp_path / "a.parquet")
    pd.DataFrame({"score": [0.5, 0.6], "correct": [1, 0], "g": ["x", None]}).to_parquet(
        tmp_path / "b.parquet"
    )
    with pytest.raises(errors.DataRefused, match=r"row 2, column 'g'"):
        files.read(tmp_path / "b.parquet", group_column="g")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.DataRefused, match="no such file"):
        files.read(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(errors.DataRefused, match="no such file"):
        files.read(tmp_path / "folder.csv")


def test_published_table_of_human_in_the_loop_routing(hitl_file: Path, tmp_path: Path) -> None:
    """Claude, level L1, threshold 0.80: 56.81 % automated, 90.65 % of it right, 94.69 % with people."""
    frame = pd.read_csv(hitl_file)
    frame[(frame.model == "claude") & (frame.level == "L1")].to_csv(tmp_path / "claude.csv", index=False)
    data = files.read(
        tmp_path / "claude.csv",
        score_column="confidence",
        label_column="correct_code",
        group_column="item",
        time_column="timestamp",
    )
    automatic = diagram.BandSpan(name="auto", low=0.80, high=1.0, automatic=True).holds(data.scores)
    shares = (automatic.mean(), data.correct[automatic].mean(), np.where(automatic, data.correct, 1.0).mean())
    assert [round(100 * float(share), 2) for share in shares] == [56.81, 90.65, 94.69]
    assert len(data) == 1130
    assert data.groups is not None
    assert len(np.unique(data.groups)) == 113


def test_categories_come_in_their_normal_form(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "score,correct,what\n0.9,1,Legal-Language \n0.4,0,\n0.7,1,refunds\n")
    data = files.read(path, category_column="what")
    assert data.categories is not None
    assert data.categories.tolist() == ["legal_language", "", "refunds"]
    assert files.read(path).categories is None
    pd.DataFrame({"score": [0.9, 0.4], "correct": [1, 0], "what": ["a", None]}).to_parquet(
        tmp_path / "a.parquet"
    )
    stored = files.read(tmp_path / "a.parquet", category_column="what")
    assert stored.categories is not None
    assert stored.categories.tolist() == ["a", ""]
    with pytest.raises(errors.DataRefused, match=r"no column 'kind'.*--category-column"):
        files.read(path, category_column="kind")
    np.savez(tmp_path / "a.npz", scores=[0.9, 0.4], labels=[1, 0], categories=np.array(["a", "B "]))
    packed = files.read(tmp_path / "a.npz")
    assert packed.categories is not None
    assert packed.categories.tolist() == ["a", "b"]
