"""`python -m training replay`, typed by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training import cli
from training.replay.routing import History

Capture = pytest.CaptureFixture[str]
Make = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path, make_history: Make) -> tuple[Path, Path]:
    """A history as CSV, newest row first, and a policy."""
    history: History = make_history(days=70, daily=40)
    rows = [
        f"{time:.0f},{score:.6f},{int(right)},{category}"
        for time, score, right, category in zip(
            history.times, history.scores, history.correct, history.categories, strict=True
        )
    ]
    path = tmp_path / "history.csv"
    path.write_text("time,score,correct,category\n" + "\n".join(reversed(rows)) + "\n")
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "version: 1\nmodels:\n  leads:\n    calibrator: models:/leads@champion\n    evidence: logits\n"
        "    classes: [a, b]\n    categories: {general: {}, refunds: {}, pricing: {}}\n".replace(
            "pricing: {}", "pricing: {mandatory_review: true}"
        )
    )
    return path, policy


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["replay", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def test_it_tells_a_team_what_its_past_would_have_been(
    capsys: Capture, files: tuple[Path, Path], tmp_path: Path
) -> None:
    history, policy = files
    target = tmp_path / "replay.json"
    code, out, _ = run(
        capsys, "--from-file", history, "--policy", policy, "--retrain-every", "14d", "--json", target
    )
    assert code == 0
    for expected in ("right, in truth", "auto", "PROMOTED", "Labels spent", "on the raw score"):
        assert expected in out
    told = json.loads(target.read_text())
    assert (told["schema"], told["rows"], told["from"]) == (1, 2800, "2025-01-01")
    assert sum(row["decisions"] for row in told["bands"]) == 2800
    assert any(each["promoted"] for each in told["retrains"])
    held_for_ever = sum(line.endswith(",pricing") for line in history.read_text().splitlines())
    assert told["totals"]["acted"] <= 2800 - held_for_ever
    again = tmp_path / "again.json"
    run(capsys, "--from-file", history, "--policy", policy, "--retrain-every", "14d", "--json", again)
    assert again.read_text() == target.read_text()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--audit-rate", "5"), "is no share"),
        (("--model", "other"), "no model 'other'"),
        (("--calibrator", "/no/such/file"), "cannot be read"),
        (("--time-column", "when"), "no column 'when'"),
        (("--json", "/no/such/folder/x.json", "--retrain-every", "30d"), "cannot be written"),
    ],
)
def test_wrong_input_is_refused_in_one_line(
    capsys: Capture, files: tuple[Path, Path], flags: tuple[str, ...], expected: str
) -> None:
    code, _, err = run(capsys, "--from-file", files[0], "--policy", files[1], *flags)
    assert code == 2
    assert expected in err


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--retrain-every", "5", "--retrain-every: a duration is"),
        ("--retrain-every", "1s", "at least an hour"),
        ("--label-window", "1s", "at least an hour"),
        ("--seed", "-1", "is no seed"),
    ],
)
def test_wrong_flags_are_refused(
    capsys: Capture, files: tuple[Path, Path], flag: str, value: str, expected: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(capsys, "--from-file", files[0], "--policy", files[1], flag, value)
    assert expected in capsys.readouterr().err


def test_a_history_of_one_moment_is_refused(
    capsys: Capture, files: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "moment.csv"
    path.write_text("time,score,correct\n20250101,0.9,1\n20250101,0.8,0\n")
    code, _, err = run(capsys, "--from-file", path, "--policy", files[1])
    assert code == 2
    assert "the same time" in err
