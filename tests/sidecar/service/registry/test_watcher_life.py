"""The watcher's life: restarts from the cache, several slots, other policies, files that change."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import calibrators
from calibrators import Calibrator
from sidecar.errors import JournalUnavailable, RegistryFailure
from sidecar.service.registry import CalibratorSlot, Expectation

M = CalibratorSlot("m")
URI = "models:/cal@champion"
EXPECTED = Expectation(uri=URI, evidence="score")
Make = Callable[..., Calibrator]
MakeShelf = Callable[..., object]
Eventually = Callable[[Callable[[], object]], None]


# The cache.


def test_a_restart_serves_from_the_cache_with_the_registry_away(make_watcher, shelf, changes) -> None:
    first = make_watcher(URI, open_source=lambda _: shelf, clock=lambda: 1000.0)
    first.start()
    first.reload_now()
    first.stop()

    def away(_: str) -> object:
        raise RegistryFailure("away")

    second = make_watcher(URI, open_source=away, changes=changes, clock=lambda: 5000.0)
    second.load_cache()
    [status] = second.statuses()
    held = second.current()[M]
    assert held.calibrator == shelf.calibrator
    assert held.reference == first.current()[M].reference
    assert (held.in_force_since, held.confirmed_at, held.from_cache) == (5000.0, 1000.0, True)
    assert (status.attempted, status.last_error) == (True, None)
    assert changes.seen == [(M, shelf.calibrator.digest)]

    second.start()
    [status] = second.reload_now()
    assert (status.last_error_code, status.attempted) == ("REGISTRY_UNAVAILABLE", True)
    assert second.current()[M] is held


def test_a_cached_calibrator_is_confirmed_by_one_question(make_watcher, shelf, changes) -> None:
    first = make_watcher(URI, open_source=lambda _: shelf)
    first.start()
    first.reload_now()
    first.stop()
    shelf.fetched.clear()
    second = make_watcher(URI, open_source=lambda _: shelf, changes=changes, clock=lambda: 2e9)
    second.load_cache()
    second.start()
    second.reload_now()
    held = second.current()[M]
    assert (held.from_cache, held.confirmed_at) == (False, 2e9)
    assert shelf.fetched == []
    assert len(changes.seen) == 1


def test_the_time_of_confirmation_is_kept_on_disk_but_not_at_every_poll(
    make_watcher, shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    watcher = make_watcher(URI, open_source=lambda _: shelf, clock=lambda: now[0], poll_seconds=60.0)
    watcher.start()
    watcher.reload_now()
    [path] = make_watcher.directory.glob("*.json")
    first = path.read_bytes()
    now[0] += 59.0
    watcher.reload_now()
    assert path.read_bytes() == first
    now[0] += 2.0
    watcher.reload_now()
    assert path.read_bytes() != first
    again = make_watcher(URI, open_source=lambda _: shelf, clock=lambda: 9e9)
    again.load_cache()
    assert again.current()[M].confirmed_at == 1061.0


def test_a_clock_that_was_set_back_does_not_make_a_cached_calibrator_young_for_ever(
    make_watcher, shelf
) -> None:
    first = make_watcher(URI, open_source=lambda _: shelf, clock=lambda: 5000.0)
    first.start()
    first.reload_now()
    first.stop()
    second = make_watcher(URI, open_source=lambda _: shelf, clock=lambda: 1000.0)
    second.load_cache()
    assert second.current()[M].confirmed_at == 1000.0


def _damage(directory: Path, case: str) -> None:
    [path] = directory.glob("*.json")
    data = path.read_bytes()
    if case == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif case == "changed":
        path.write_bytes(data.replace(b"1.5", b"1.4"))
    elif case == "unreadable":
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("case", ["torn", "changed", "unreadable"])
def test_a_damaged_cache_is_ignored_said_aloud_and_not_fatal(make_watcher, shelf, case: str) -> None:
    first = make_watcher(URI, open_source=lambda _: shelf)
    first.start()
    first.reload_now()
    first.stop()
    _damage(make_watcher.directory, case)
    second = make_watcher(URI, open_source=lambda _: shelf)
    second.load_cache()
    [status] = second.statuses()
    assert status.in_force is None
    assert (status.last_error_code, status.attempted) == ("CACHE_UNUSABLE", False)
    second.start()
    [status] = second.reload_now()
    assert status.in_force is not None
    assert status.last_error_code == ("CACHE_UNUSABLE" if case == "unreadable" else None)


@pytest.mark.parametrize(
    ("expected", "code"),
    [
        (replace(EXPECTED, uri="models:/other@champion"), "CACHE_UNUSABLE"),
        (replace(EXPECTED, criterion="tone"), "EVIDENCE_MISMATCH"),
    ],
)
def test_a_cache_that_the_policy_does_not_ask_for_any_more_is_not_used(
    make_watcher, shelf, expected: Expectation, code: str
) -> None:
    first = make_watcher(URI, open_source=lambda _: shelf)
    first.start()
    first.reload_now()
    first.stop()
    second = make_watcher({M: expected}, open_source=lambda _: shelf)
    second.load_cache()
    assert second.current() == {}
    assert second.statuses()[0].last_error_code == code


def test_a_cache_folder_that_cannot_be_used_is_said_aloud_and_the_calibrator_serves(
    make_watcher, shelf
) -> None:
    make_watcher.directory.parent.mkdir(exist_ok=True)
    make_watcher.directory.write_text("a file in its place")
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.load_cache()
    assert watcher.statuses()[0].last_error_code == "CACHE_UNUSABLE"
    watcher.start()
    [status] = watcher.reload_now()
    assert status.in_force is not None
    assert status.last_error_code == "CACHE_UNUSABLE"


def test_a_cached_calibrator_that_cannot_be_recorded_does_not_serve(make_watcher, shelf, changes) -> None:
    first = make_watcher(URI, open_source=lambda _: shelf)
    first.start()
    first.reload_now()
    first.stop()
    changes.error = JournalUnavailable("the disk is full")
    second = make_watcher(URI, open_source=lambda _: shelf, changes=changes)
    second.load_cache()
    assert second.current() == {}
    assert second.statuses()[0].last_error_code == "JOURNAL_UNAVAILABLE"


# Several slots, another policy, and the ends of a watcher's life.


def test_one_bad_source_does_not_hold_up_the_others(
    make_watcher, make_calibrator: Make, make_shelf: MakeShelf
) -> None:
    shelves = {f"models:/{name}@champion": make_shelf(make_calibrator(model=name)) for name in "abc"}
    shelves["models:/b@champion"].error = RegistryFailure("away")
    slots = {CalibratorSlot(name): replace(EXPECTED, uri=f"models:/{name}@champion") for name in "abc"}
    watcher = make_watcher(slots, open_source=shelves.__getitem__)
    watcher.start()
    statuses = watcher.reload_now()
    assert [status.slot.model for status in statuses] == ["a", "b", "c"]
    assert [status.in_force is not None for status in statuses] == [True, False, True]


def test_one_model_can_be_reloaded_alone(make_watcher, make_calibrator: Make, make_shelf: MakeShelf) -> None:
    shelves = {f"models:/{name}@champion": make_shelf(make_calibrator(model=name)) for name in "ab"}
    slots = {CalibratorSlot(name): replace(EXPECTED, uri=f"models:/{name}@champion") for name in "ab"}
    watcher = make_watcher(slots, open_source=shelves.__getitem__, poll_seconds=60.0)
    watcher.start()
    watcher.reload_now()
    before = {uri: shelf.asked for uri, shelf in shelves.items()}
    [status] = watcher.reload_now("b")
    assert status.slot == CalibratorSlot("b")
    assert shelves["models:/a@champion"].asked == before["models:/a@champion"]
    assert shelves["models:/b@champion"].asked > before["models:/b@champion"]
    assert watcher.reload_now("nobody") == ()


def test_a_reload_gives_up_in_time_and_says_what_is(make_watcher, shelf) -> None:
    shelf.hold = threading.Event()
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    began = time.monotonic()
    [status] = watcher.reload_now(timeout=0.05)
    assert time.monotonic() - began < 20.0
    assert not status.attempted
    assert watcher.stop(0.01) is False  # it says so when the thread does not end in time
    shelf.hold.set()
    assert watcher.stop(15.0) is True


def test_a_reload_of_a_watcher_that_does_not_run_returns_at_once(make_watcher, shelf) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    assert watcher.reload_now(timeout=60.0)[0].attempted is False
    watcher.start()
    watcher.reload_now()
    assert watcher.stop()
    assert watcher.reload_now(timeout=60.0)[0].in_force is not None
    assert M in watcher.current()  # stopping takes nothing out of force


def test_a_reload_that_waits_ends_when_the_watcher_stops(make_watcher, shelf, eventually: Eventually) -> None:
    shelf.hold = threading.Event()
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    eventually(lambda: shelf.asked)
    waiting = threading.Thread(target=watcher.reload_now, kwargs={"timeout": 60.0})
    waiting.start()
    watcher.stop(0.0)
    waiting.join(20.0)
    assert not waiting.is_alive()
    shelf.hold.set()


def test_a_watcher_starts_once(make_watcher, shelf) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    with pytest.raises(RuntimeError):
        watcher.start()
    unstarted = make_watcher(URI, open_source=lambda _: shelf)
    assert unstarted.stop() is True


def test_a_new_policy_is_watched_at_once(
    make_watcher, make_calibrator: Make, changes, eventually: Eventually, make_shelf: MakeShelf
) -> None:
    shelves = {f"models:/{name}@champion": make_shelf(make_calibrator(model=name)) for name in "abc"}
    slots = {CalibratorSlot(name): replace(EXPECTED, uri=f"models:/{name}@champion") for name in "abc"}
    watcher = make_watcher(
        {key: slots[key] for key in (CalibratorSlot("a"), CalibratorSlot("b"))},
        open_source=shelves.__getitem__,
        changes=changes,
    )
    watcher.start()
    watcher.reload_now()
    kept = watcher.current()[CalibratorSlot("b")]
    watcher.retarget({key: slots[key] for key in (CalibratorSlot("b"), CalibratorSlot("c"))})
    assert CalibratorSlot("a") not in watcher.current()
    assert watcher.current()[CalibratorSlot("b")].reference == kept.reference
    assert changes.seen[-1] == (CalibratorSlot("a"), None)
    eventually(lambda: CalibratorSlot("c") in watcher.current())
    assert [status.slot.model for status in watcher.statuses()] == ["b", "c"]


def test_a_slot_with_another_source_holds_nothing_until_that_was_asked(
    make_watcher, make_calibrator: Make, changes, eventually: Eventually, make_shelf: MakeShelf
) -> None:
    old, new = make_shelf(make_calibrator(1.5), "7"), make_shelf(make_calibrator(1.25), "8")
    new.hold = threading.Event()
    shelves = {URI: old, "models:/new@champion": new}
    watcher = make_watcher(URI, open_source=shelves.__getitem__, changes=changes, poll_seconds=60.0)
    watcher.start()
    watcher.reload_now()
    watcher.retarget({M: replace(EXPECTED, uri="models:/new@champion")})
    assert watcher.current() == {}
    assert watcher.statuses()[0].in_force is None
    new.hold.set()
    eventually(lambda: M in watcher.current())
    assert watcher.current()[M].reference.version == "8"
    assert [digest for _, digest in changes.seen] == [old.calibrator.digest, None, new.calibrator.digest]


def test_an_answer_that_the_policy_has_overtaken_is_not_used(
    make_watcher, make_calibrator: Make, eventually: Eventually, make_shelf: MakeShelf
) -> None:
    old, new = make_shelf(make_calibrator(1.5), "7"), make_shelf(make_calibrator(1.25), "8")
    old.hold = threading.Event()
    shelves = {URI: old, "models:/new@champion": new}
    watcher = make_watcher(URI, open_source=shelves.__getitem__, poll_seconds=60.0)
    watcher.start()
    eventually(lambda: old.asked)
    watcher.retarget({M: replace(EXPECTED, uri="models:/new@champion")})
    old.hold.set()
    eventually(lambda: M in watcher.current())
    assert watcher.current()[M].reference.version == "8"
    assert watcher.statuses()[0].uri == "models:/new@champion"


def test_a_changed_expectation_keeps_what_still_fits_and_drops_what_does_not(
    make_watcher, shelf, make_calibrator: Make
) -> None:
    shelf.set(make_calibrator(model_versions=("v1",)), "1")
    watcher = make_watcher(URI, open_source=lambda _: shelf, poll_seconds=60.0)
    watcher.start()
    watcher.reload_now()
    held = watcher.current()[M]
    watcher.retarget({M: replace(EXPECTED, model_version="v1")})
    assert watcher.current()[M].reference == held.reference
    watcher.retarget({M: replace(EXPECTED, model_version="v2")})
    assert watcher.current() == {}
    [status] = watcher.reload_now()
    assert (status.in_force, status.last_error_code) == (None, "EVIDENCE_MISMATCH")


def test_a_return_to_an_earlier_source_is_served_from_its_cache(make_watcher, shelf) -> None:
    def opened(uri: str) -> object:
        if uri != URI:
            raise RegistryFailure("away")
        return shelf

    watcher = make_watcher(URI, open_source=opened, poll_seconds=60.0)
    watcher.start()
    watcher.reload_now()
    watcher.retarget({M: replace(EXPECTED, uri="models:/typo@champion")})
    assert watcher.current() == {}
    watcher.reload_now()
    shelf.hold = threading.Event()
    watcher.retarget({M: EXPECTED})
    assert watcher.current()[M].from_cache  # before the source has said anything
    shelf.hold.set()
    watcher.reload_now()
    assert not watcher.current()[M].from_cache


# File sources, on real files.


def test_a_file_is_reread_when_it_changes(
    make_watcher, tmp_path: Path, make_calibrator: Make, changes, eventually: Eventually
) -> None:
    path = tmp_path / "cal.json"
    first, second = make_calibrator(1.5), make_calibrator(1.25)
    path.write_text(calibrators.dumps(first))
    watcher = make_watcher(f"file:{path}", changes=changes, poll_seconds=0.02)
    watcher.start()
    eventually(lambda: M in watcher.current())
    held = watcher.current()[M]
    assert (held.reference.name, held.reference.version) == (str(path), "")
    eventually(lambda: watcher.current()[M].confirmed_at > held.confirmed_at)

    path.write_text(calibrators.dumps(second)[:-20])  # caught in the middle of a copy
    eventually(lambda: watcher.statuses()[0].last_error_code == "DOCUMENT_MALFORMED")
    assert watcher.current()[M].calibrator == first
    staged = tmp_path / "next"
    staged.write_text(calibrators.dumps(second))
    os.replace(staged, path)
    eventually(lambda: watcher.current()[M].calibrator == second)
    path.unlink()
    eventually(lambda: watcher.statuses()[0].last_error_code == "FILE_UNREADABLE")
    assert watcher.current()[M].calibrator == second
    assert [digest for _, digest in changes.seen] == [first.digest, second.digest]


def test_a_file_that_only_looks_different_is_the_same_calibrator(
    make_watcher, tmp_path: Path, make_calibrator: Make, changes
) -> None:
    path = tmp_path / "cal.json"
    path.write_text(calibrators.dumps(make_calibrator()))
    watcher = make_watcher(f"file:{path}", changes=changes)
    watcher.start()
    watcher.reload_now()
    path.write_text(path.read_text() + "\n")
    [status] = watcher.reload_now()
    assert status.last_error is None
    assert len(changes.seen) == 1


def test_a_file_that_is_gone_at_a_restart_is_served_from_the_cache(
    make_watcher, tmp_path: Path, make_calibrator: Make
) -> None:
    path = tmp_path / "cal.json"
    path.write_text(calibrators.dumps(make_calibrator()))
    first = make_watcher(f"file:{path}")
    first.start()
    first.reload_now()
    first.stop()
    path.unlink()
    second = make_watcher(f"file:{path}")
    second.load_cache()
    assert second.current()[M].calibrator == make_calibrator()
    second.start()
    [status] = second.reload_now()
    assert status.last_error_code == "FILE_UNREADABLE"
    assert second.current()[M].from_cache
