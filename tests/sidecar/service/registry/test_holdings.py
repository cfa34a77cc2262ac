"""What holdings keep on disk."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.service.registry import holdings
from sidecar.service.registry.holdings import Cached, CacheUnusable, CalibratorCache
from sidecar.service.registry.slots import CalibratorSlot

SLOT = CalibratorSlot("lead-classifier", "v8")
URI = "models:/cal@champion"
CACHED = Cached(
    uri=URI,
    name="cal",
    version="3",
    digest="sha256:00",
    confirmed_at=1.79e9 + 0.1,
    document='{"schema": 1, "ü": "\\n"}',
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "calibrators"


def test_what_is_written_is_read_back_bit_for_bit(directory: Path) -> None:
    store = CalibratorCache(directory)
    assert store.read(SLOT, uri=URI) is None
    store.write(SLOT, CACHED)
    assert CalibratorCache(directory).read(SLOT, uri=URI) == CACHED
    store.write(SLOT, replace(CACHED, version="4"))
    assert store.read(SLOT, uri=URI) == replace(CACHED, version="4")
    assert len(list(directory.iterdir())) == 1
    store.remove(SLOT)
    assert store.read(SLOT, uri=URI) is None
    store.remove(SLOT)


def test_only_the_owner_may_read_it(directory: Path) -> None:
    store = CalibratorCache(directory)
    store.write(SLOT, CACHED)
    assert stat.S_IMODE(store.path(SLOT).stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_what_came_from_another_source_is_not_used(directory: Path) -> None:
    store = CalibratorCache(directory)
    store.write(SLOT, CACHED)
    with pytest.raises(
        CacheUnusable, match=r"came from models:/cal@champion, not from models:/cal/3"
    ) as refused:
        store.read(SLOT, uri="models:/cal/3")
    assert refused.value.code == "CACHE_UNUSABLE"


@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_one_flipped_bit_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    store = CalibratorCache(tmp_path_factory.mktemp("cache"))
    store.write(SLOT, CACHED)
    path = store.path(SLOT)
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 1 << bit
    path.write_bytes(data)
    try:
        read = store.read(SLOT, uri=URI)
    except CacheUnusable:
        read = None
    assert read in (None, CACHED)  # the case of a hexadecimal escape may flip, which changes nothing


def _sealed(fields: object) -> str:
    body = json.dumps(fields)
    return json.dumps({"sha256": holdings._checksum(body), "body": body})


FIELDS = {"schema": 1, "slot": list(SLOT), **{name: getattr(CACHED, name) for name in Cached.__slots__}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{" * 100_000,
        '{"sha256": "x"}',
        '{"sha256": 1, "body": 2}',
        _sealed(None),
        _sealed({}),
        _sealed({**FIELDS, "schema": 2}),
        _sealed({**FIELDS, "slot": ["other", ""]}),
        _sealed({**FIELDS, "surprise": True}),
        _sealed({**FIELDS, "confirmed_at": "yesterday"}),
        _sealed({**FIELDS, "confirmed_at": float("inf")}),
        _sealed({**FIELDS, "document": None}),
        " " * (holdings.MAX_CACHED_BYTES + 1),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_and_named(directory: Path, text: str) -> None:
    store = CalibratorCache(directory)
    directory.mkdir(parents=True)
    store.path(SLOT).write_text(text)
    with pytest.raises(CacheUnusable, match=r"lead-classifier-v8-.*damaged"):
        store.read(SLOT, uri=URI)


def test_the_sealed_fields_are_what_is_written(directory: Path) -> None:
    # So that the table above fails for the reason that it names.
    store = CalibratorCache(directory)
    directory.mkdir(parents=True)
    store.path(SLOT).write_text(_sealed(FIELDS))
    assert store.read(SLOT, uri=URI) == CACHED


def test_names_that_a_file_system_would_confuse_have_files_of_their_own(tmp_path: Path) -> None:
    store = CalibratorCache(tmp_path)
    slots = [
        CalibratorSlot("a/b"),
        CalibratorSlot("a_b"),
        CalibratorSlot("a", "b"),
        CalibratorSlot("a-b"),
        CalibratorSlot("A-b"),
        CalibratorSlot("../../etc"),
        CalibratorSlot("x" * 128),
    ]
    paths = {str(store.path(slot)).lower() for slot in slots}
    assert len(paths) == len(slots)
    assert all(store.path(slot).parent == tmp_path for slot in slots)
    for slot in slots:
        store.write(slot, replace(CACHED, name=slot.name))
    assert [store.read(slot, uri=URI).name for slot in slots] == [slot.name for slot in slots]  # type: ignore[union-attr]


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_other(
    directory: Path, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CalibratorCache(directory)
    store.write(SLOT, CACHED)
    with monkeypatch.context() as patched:
        patched.setattr(os, function, full)
        with pytest.raises(CacheUnusable, match="No space left"):
            store.write(SLOT, replace(CACHED, version="4"))
    assert store.read(SLOT, uri=URI) == CACHED
    assert len(list(directory.iterdir())) == 1


def test_a_write_is_on_disk_before_it_takes_the_place_of_the_old(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def noting(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*arguments: object) -> object:
            calls.append(name)
            return real(*arguments)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noting(name))
    CalibratorCache(directory).write(SLOT, CACHED)
    assert calls == [
        "fsync",
        "replace",
        "fsync",
    ]  # the file, then its name, then the folder that holds the name


def test_prepare_makes_the_folder_and_clears_what_a_crash_left(directory: Path) -> None:
    store = CalibratorCache(directory)
    store.prepare()
    store.write(SLOT, CACHED)
    (directory / "lead-classifier-xyz.tmp").write_text("half")
    store.prepare()
    assert [path.suffix for path in directory.iterdir()] == [".json"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = CalibratorCache(tmp_path / "file" / "calibrators")
    for use in (store.prepare, lambda: store.write(SLOT, CACHED), lambda: store.read(SLOT, uri=URI)):
        with pytest.raises(CacheUnusable, match="calibrators"):
            use()
