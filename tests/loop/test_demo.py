"""The demo itself, as a newcomer runs it, with fewer requests."""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.process

CHAPTERS = (
    "A real, overconfident model",
    "A sidecar without a calibrator",
    "A first calibrator, from a labelled holdout file",
    "answers about clean images, routed over gRPC",
    "A mandatory category",
    "answers about noisy images, routed over gRPC",
    "A person reviews one held answer",
    "A labeller works the queue",
    "the gate's verdict",
    "The hot swap",
    "What is left",
)
FILES = (
    *("reliability-calibrated.png", "reliability-retrained.png", "policy.yaml", "holdout.npz"),
    *("sidecar/ledger.db", "mlflow/mlflow.db"),
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a demo that ran to its end, and all that it said."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    # Whatever the shell is set to is not for the demo; a wide terminal, so that no line of a table is cut.
    given = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    given |= {
        "COLUMNS": "200",
        "NO_COLOR": "1",
        "TRUEBAND_ADDRESS": "0.0.0.0:1",
        "TRUEBAND_LISTEN": "0.0.0.0:1",
        "TRUEBAND_POLICY": "/nowhere",
    }
    run = subprocess.run(
        [sys.executable, "-m", "training", "demo", "--requests", "8000", "--out", str(folder)],
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    return folder, run.stdout


def test_it_tells_the_whole_story_in_order(told: tuple[Path, str]) -> None:
    _, said = told
    places = [said.find(chapter) for chapter in CHAPTERS]
    assert -1 not in places, [chapter for chapter, place in zip(CHAPTERS, places, strict=True) if place < 0]
    assert places == sorted(places)


def row(said: str, table: str, band: str) -> str:
    """The row of a band in the table whose title begins so."""
    _, found, rest = said.partition(table)
    assert found
    return next(line for line in rest.splitlines() if f" {band} " in line)


def test_one_sees_the_raw_band_break_its_promise_and_the_calibrated_one_keep_it(
    told: tuple[Path, str],
) -> None:
    _, said = told
    # On the left the raw confidence, or the first calibrator on noisy images; on the right what is better.
    for table in ("Clean images, calibrator version 1", "noisy images under both versions"):
        cells = [cell.strip() for cell in row(said, table, "auto").split("│")]
        assert [cell for cell in cells if cell in ("BROKEN", "within chance", "yes")] == ["BROKEN", "yes"]


def test_it_holds_what_no_confidence_may_release(told: tuple[Path, str]) -> None:
    _, said = told
    assert "200 held for review, 0 may act (REASON_NO_CALIBRATOR)" in said
    chapter = " ".join(said[said.index("A mandatory category") :].split())
    assert re.match(
        r"A mandatory category .* raw (1\.0000|0\.99\d\d), calibrated (1\.0000|0\.9\d{3}), band auto -> "
        r"ACTION_HOLD_FOR_REVIEW, may act: False \(BAND, MANDATORY_REVIEW; floor "
        r"mandatory_category:pricing\)",
        chapter,
    )


def test_the_answers_show_the_hot_swap(told: tuple[Path, str]) -> None:
    _, said = told
    swap = said[said.index("The hot swap") :]
    assert re.search(r"before +calibrator version 1: ", swap)
    assert re.search(r"after +calibrator version 2: ", swap)


def test_what_it_names_at_the_end_is_there(told: tuple[Path, str]) -> None:
    folder, said = told
    for name in FILES:
        assert str(folder / name) in said
        assert (folder / name).stat().st_size > 0
    assert (folder / "reliability-calibrated.png").read_bytes().startswith(b"\x89PNG")
    command = said.rstrip().splitlines()[-1]
    assert "mlflow server --backend-store-uri" in command
    assert f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}" in command
    with closing(sqlite3.connect(folder / "sidecar" / "ledger.db")) as ledger:
        (answers,) = ledger.execute("SELECT COUNT(*) FROM answers").fetchone()
        (acted,) = ledger.execute(
            "SELECT COUNT(*) FROM answers JOIN answer_kinds USING (kind_id) WHERE mandatory AND may_act"
        ).fetchone()
        (labels,) = ledger.execute("SELECT COUNT(*) FROM labels").fetchone()
    assert answers >= 8000 + 200
    assert acted == 0
    assert labels > 1000


def test_no_process_is_left_behind(told: tuple[Path, str]) -> None:
    folder, _ = told
    left = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in argument for argument in process.cmdline()):
                left.append(process)
        except psutil.Error:
            continue
    assert left == []
