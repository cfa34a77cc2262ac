"""A file is there whole or not at all, and on the disk before it takes the place of another."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar import durable_file


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that matter, in their order."""
    calls: list[str] = []

    def noting(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*arguments: object) -> object:
            calls.append(name)
            return real(*arguments)

        return call

    for name in ("fsync", "replace", "link"):
        monkeypatch.setattr(os, name, noting(name))
    return calls


def test_a_write_is_on_disk_before_it_takes_the_place_of_the_old(tmp_path: Path, noted: list[str]) -> None:
    path = tmp_path / "file.json"
    durable_file.replace(path, b"one")
    assert noted == ["fsync", "replace", "fsync"], (
        "the file, then its name, then the folder that holds the name"
    )
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o777 == 0o600
    durable_file.replace(path, b"two")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"two"]


def test_a_hint_is_whole_and_costs_no_sync(tmp_path: Path, noted: list[str]) -> None:
    durable_file.replace(tmp_path / "hint", b"one", synced=False)
    assert noted == ["replace"]
    assert (tmp_path / "hint").read_bytes() == b"one"


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable_file.replace(tmp_path / "file", b"old")
    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match="No space left"):
        durable_file.replace(tmp_path / "file", b"new")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]


def test_what_is_not_private_has_the_mode_that_the_process_gives_its_files(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        durable_file.replace(tmp_path / "open", b"", private=False)
    finally:
        os.umask(mask)
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o640


def test_what_is_made_once_stays(tmp_path: Path, noted: list[str]) -> None:
    path = tmp_path / "keys.json"
    durable_file.create(path, b"first")
    assert noted == ["fsync", "link", "fsync"]
    durable_file.create(path, b"second")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"first"]
    assert path.stat().st_mode & 0o777 == 0o600
