"""The demo's folder: emptied only of what a demo made; and what the command refuses."""

from pathlib import Path

import pytest

from training import cli, errors
from training.demo import folder


def prepare(path: Path) -> None:
    folder.prepare(path, seed=1, policy="version: 1")


def test_a_demo_empties_only_what_a_demo_made(tmp_path: Path) -> None:
    own = tmp_path / "deep" / "demo"
    prepare(own)
    (own / "mlflow").mkdir()
    (own / "mlflow" / "mlflow.db").write_text("old")
    prepare(own)
    assert {path.name for path in own.iterdir()} == {
        folder.MARKER,
        "policy.yaml",
        "principals.yaml",
        "sidecar",
    }
    (own / "notes.txt").write_text("my notes")
    with pytest.raises(errors.RequestRefused, match=r"holds notes\.txt, which no demo made"):
        prepare(own)
    assert (own / "notes.txt").read_text() == "my notes"
    (tmp_path / "empty").mkdir()
    prepare(tmp_path / "empty")


def test_what_is_somebody_elses_stays(tmp_path: Path) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "policy.yaml").write_text("years of work")
    link = tmp_path / "link"
    link.symlink_to(precious)
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (precious, link, file):
        with pytest.raises(errors.RequestRefused, match="name another folder with --out"):
            prepare(path)
    assert (precious / "policy.yaml").read_text() == "years of work"
    assert (file.read_text(), link.is_symlink()) == ("mine", True)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(errors.RequestRefused, match="cannot be made"):
        prepare(tmp_path / "file" / "demo")


def test_the_demo_command_says_no_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("x")
    assert cli.main(["demo", "--out", str(tmp_path)]) == 2
    assert "holds mine.txt, which no demo made" in capsys.readouterr().err
    assert cli.main(["demo", "--requests", "10", "--out", str(tmp_path / "new")]) == 2
    assert "--requests must be at least" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "mine.txt").exists()
