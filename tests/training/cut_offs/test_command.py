"""`python -m training bands`, from the command line to the diff."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import calibrators
from sidecar.policy import loading
from training import cli


def bands(*arguments: str | Path) -> int:
    return cli.main(["bands", *map(str, arguments)])


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """2,000 well calibrated scores."""
    rng = np.random.default_rng(5)
    scores = rng.choice([0.98, 0.93, 0.86, 0.74, 0.6, 0.3], 2000)
    right = rng.random(2000) < scores
    rows = "\n".join(
        f"{score},{int(label)},{1_700_000_000 + row}"
        for row, (score, label) in enumerate(zip(scores, right, strict=True))
    )
    path = tmp_path / "labels.csv"
    path.write_text(f"score,correct,time\n{rows}\n")
    return path


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    path = tmp_path / "cal.json"
    path.write_text(calibrators.dumps(calibrators.Calibrator(map=calibrators.Identity())))
    return path


@pytest.mark.slow
def test_from_the_ledger_to_a_diff_that_patch_takes(
    world: Any, policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.fill(3000)
    out = policy_file.parent / "bands.diff"
    before = policy_file.read_text()
    code = bands(
        *("--model", "leads", "--ledger-url", world.write(), "--policy", policy_file, "--out", out),
        *("--target", "auto=0.95", "--target", "flagged=0.85", "--minutes-per-review", "3"),
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert policy_file.read_text() == before  # a diff, never the policy
    assert "together with confidence 0.90 (delta 0.10)" in printed
    assert "hours" in printed
    if shutil.which("patch"):
        subprocess.run(["patch", policy_file, out], check=True, capture_output=True)
        text = policy_file.read_text()
        assert world.calibrator.digest in text
        assert "void: certify again" in text
        found = {band.name: band for band in loading.parse(text).policy.models["leads"].bands}
        assert found["auto"].promise is not None
        promise = found["auto"].promise
        assert (float(promise.accuracy), float(promise.confidence)) == (0.95, 0.9)
        assert found["auto"].audit_rate == 0.25
        assert 0.5 < found["flagged"].from_ < found["auto"].from_ < 0.98


def test_the_policy_that_decided_is_the_default(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    world.fill(2000)
    assert bands("--model", "leads", "--ledger-url", world.write(), "--target", "auto=0.80") == 0
    printed = capsys.readouterr().out
    assert "in the policy" in printed
    assert "Name the policy file with --policy to get a diff of it." in printed
    assert "+++" not in printed


def test_costs_of_the_policy_and_costs_of_the_command_line(
    labels: Path, identity: Path, policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = policy_file.read_text()
    costs = "{error: 10, review: 2, flag: 0.5, flag_catch_rate: 0.5, value: 4, rejection: 0.5}"
    policy_file.write_text(text.replace("    bands:", f"    costs: {costs}\n    bands:", 1))
    common = ("--from-file", labels, "--calibrator", identity, "--policy", policy_file)
    common += ("--target", "auto=0.90", "--target", "flagged=0.70")
    assert bands(*common) == 0
    printed = capsys.readouterr().out
    assert "cheapest" in printed
    assert "proposed" in printed
    assert "an error that the next day's look undoes costs 10 times as much as a flag" in printed
    assert "+      - {name: auto,    from: 0.98" not in printed
    assert bands(*common, "--costs", "none") == 0
    assert "cheapest" not in capsys.readouterr().out
    assert bands(*common, "--costs", "error=10,review=2") == 2
    assert "flag_catch_rate" in capsys.readouterr().err


def test_a_file_without_policy_has_the_default_bands_and_no_diff(
    labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bands("--from-file", labels, "--time-column", "time", "--target", "auto=0.90") == 0
    printed = capsys.readouterr().out
    assert "was fitted to the earlier half of them, the other rows certify" in " ".join(printed.split())
    assert "certified" in printed
    assert "+++" not in printed


def test_no_band_yet_is_an_answer(
    labels: Path, identity: Path, policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = labels.with_name("few.csv")
    few.write_text("\n".join(labels.read_text().splitlines()[:120]))
    common = ("--from-file", few, "--calibrator", identity, "--policy", policy_file)
    assert bands(*common, "--target", "auto=0.95") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "No automatic band can be certified yet" in printed
    assert "more labels from 0." in printed
    assert "+++" not in printed
    out = policy_file.parent / "none.diff"
    assert bands(*common, "--target", "auto=0.9999", "--out", out) == 0
    assert "never at this accuracy" in " ".join(capsys.readouterr().out.split())
    assert not out.exists()


def test_a_calibrator_of_these_very_labels_is_refused(
    labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = labels.with_name("own.json")
    assert cli.main(["fit", "--from-file", str(labels), "--out", str(own)]) == 0
    capsys.readouterr()
    assert bands("--from-file", labels, "--calibrator", own, "--target", "auto=0.90") == 2
    assert "fitted to these very labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "auto=1"], "above 0 and below 1"),
        (["--target", "auto=0"], "above 0 and below 1"),
        (["--target", "auto=90%"], "above 0 and below 1"),
        (["--target", "auto=nan"], "above 0 and below 1"),
        (["--target", "auto=0.90001"], "at most four digits"),
        (["--target", "auto"], "write BAND=SHARE"),
        (["--target", "auto=0.9", "--target", "auto=0.8"], "once for each band"),
        (["--target", "automatic=0.9"], "not a band of the policy; the bands that act are: auto, flagged"),
        (["--target", "hold=0.9"], "does not act"),
        (["--target", "auto=0.9", "--delta", "0"], "--delta 0"),
        (["--target", "auto=0.9", "--delta", "0.6"], "at most 0.5"),
        (["--target", "auto=0.9", "--costs", "error=10"], "review: Field required"),
        (["--target", "auto=0.9", "--costs", "error"], "NAME=NUMBER"),
        (["--target", "auto=0.9", "--minutes-per-review", "0"], "must be above 0"),
        (["--target", "auto=0.9", "--out", "x.diff"], "--out needs --policy"),
        (["--target", "auto=0.9", "--model", "leads"], "add --policy FILE"),
        (["--target", "auto=0.9", "--since", "30d"], "of the ledger, not of a file"),
        (["--target", "auto=0.9", "--calibrator", "none.json"], "none.json: cannot be read"),
        (["--target", "auto=0.9", "--score-column", "confidence"], "no column 'confidence'"),
        (["--target", "auto=0.9", "--policy", "none.yaml"], "none.yaml: cannot be read"),
    ],
)
def test_what_cannot_be(
    labels: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bands("--from-file", labels, *arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_neither_model_nor_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert bands("--target", "auto=0.9") == 2
    assert "--model M is needed" in capsys.readouterr().err


def test_a_file_without_both_outcomes(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels.write_text("score,correct\n0.9,1\n0.8,1\n")
    assert bands("--from-file", labels, "--target", "auto=0.9") == 2
    assert "of one class only" in capsys.readouterr().err


def test_a_policy_of_several_models_needs_a_name(
    labels: Path, policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy_file.write_text(policy_file.read_text() + "  other: {calibrator: 'file:x', evidence: score}\n")
    common = ("--from-file", labels, "--policy", policy_file, "--target", "auto=0.9")
    assert bands(*common) == 2
    assert "several models (leads, other): name one" in capsys.readouterr().err
    assert bands(*common, "--model", "third") == 2
    assert "no model 'third'" in capsys.readouterr().err
    assert bands(*common, "--model", "other") == 0


def test_the_ledger_without_labels(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    world.decide(1, 0.95)
    url = world.write()
    assert bands("--model", "leads", "--ledger-url", url, "--target", "auto=0.9") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "No automatic band can be certified yet: no label can certify a cut-off" in printed
    assert "auto: at least 22 labels are needed, even if none is wrong" in printed
    with pytest.raises(SystemExit) as end:
        bands("--model", "leads", "--ledger-url", url, "--target", "auto=0.9", "--since", "soon")
    assert end.value.code == 2
    assert "argument --since: 'soon' is neither so long ago" in capsys.readouterr().err
    assert bands("--model", "others", "--ledger-url", url, "--target", "auto=0.9") == 2
    assert "'others'" in capsys.readouterr().err


def test_real_labels_are_divided_by_item(hitl_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = bands(
        *("--from-file", hitl_file, "--score-column", "confidence", "--label-column", "correct_theme"),
        *("--group-column", "item", "--target", "auto=0.90"),
    )
    printed = " ".join(capsys.readouterr().out.split())
    assert code == 0
    # 113 items, each repeated by every model and run: a random half fits, and each of the rest counts once.
    assert "57 labels that the calibrator" in printed
    assert "beyond the one that each group may have" in printed
