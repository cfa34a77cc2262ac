"""The watcher over sources of our own: what goes in force, when, and what never does."""

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import calibrators
from calibrators import Calibrator, CalibratorRefused
from sidecar.errors import JournalUnavailable, RegistryFailure
from sidecar.registry import Expectation, Resolved, Slot

M = Slot("m")
URI = "models:/cal@champion"
EXPECTED = Expectation(uri=URI, evidence="score")
Make = Callable[..., Calibrator]


class Shelf:
    """A source whose answers a test sets."""

    def __init__(self, calibrator: Calibrator | None = None, version: str = "1") -> None:
        self.error: BaseException | None = None
        self.hold: threading.Event | None = None
        self.asked = 0
        self.fetched: list[str] = []
        self.revoked_versions: set[str] = set()
        self.moves: list[Callable[[], None]] = []
        self.body: bytes | None = None
        if calibrator is not None:
            self.set(calibrator, version)

    def set(self, calibrator: Calibrator, version: str, *, body: bytes | None = None) -> None:
        self.calibrator = calibrator
        self.version = version
        self.body = body
        self.error = None

    def current(self) -> Resolved:
        self.asked += 1
        if self.hold is not None:
            assert self.hold.wait(30.0)
        if self.error is not None:
            raise self.error
        return Resolved(
            name="cal",
            version=self.version,
            digest=self.calibrator.digest,
            revoked=self.version in self.revoked_versions,
        )

    def fetch(self, resolved: Resolved) -> bytes:
        self.fetched.append(resolved.version)
        body = calibrators.dumps(self.calibrator).encode() if self.body is None else self.body
        if self.moves:
            self.moves.pop(0)()
        return body

    def revoked(self, version: str) -> bool:
        return version in self.revoked_versions


@pytest.fixture
def shelf(make_calibrator: Make) -> Shelf:
    return Shelf(make_calibrator())


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_nothing_is_in_force_before_the_first_answer(make_watcher, shelf: Shelf) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    assert watcher.current() == {}
    [status] = watcher.statuses()
    assert (status.slot, status.uri, status.in_force, status.attempted) == (M, URI, None, False)
    assert shelf.asked == 0


def test_what_the_source_calls_current_goes_in_force_and_is_announced_before_it_is_visible(
    make_watcher, shelf: Shelf, changes, make_calibrator: Make
) -> None:
    clock = iter(range(1000, 10**9)).__next__
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes, clock=lambda: float(clock()))
    watcher.start()
    first, second = shelf.calibrator, make_calibrator(1.25)
    [status] = watcher.reload_now()
    assert status.last_error is None
    held = watcher.current()[M]
    assert held.calibrator == first
    assert (held.reference.name, held.reference.version) == ("cal", "1")
    assert (held.reference.kind, held.reference.digest) == ("platt", first.digest)
    assert (held.uri, held.from_cache) == (URI, False)
    assert status.in_force is not None
    assert status.attempted

    shelf.set(second, "2")
    watcher.reload_now()
    assert watcher.current()[M].calibrator == second
    assert watcher.current()[M].in_force_since > held.in_force_since
    assert changes.seen == [(M, first.digest), (M, second.digest)]
    assert changes.visible == [None, first.digest]


def test_the_mapping_of_a_snapshot_never_changes(make_watcher, shelf: Shelf, make_calibrator: Make) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    watcher.reload_now()
    snapshot = watcher.current()
    held = snapshot[M]
    shelf.set(make_calibrator(1.25), "2")
    watcher.reload_now()
    assert snapshot[M] is held
    assert watcher.current() is not snapshot
    with pytest.raises(TypeError):
        snapshot[M] = held


def test_polling_picks_a_change_up_by_itself(make_watcher, shelf: Shelf, make_calibrator: Make) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, poll_seconds=0.02)
    watcher.start()
    eventually(lambda: M in watcher.current())
    newcomer = make_calibrator(1.25)
    shelf.set(newcomer, "2")
    eventually(lambda: watcher.current()[M].calibrator == newcomer)


def test_an_unchanged_source_confirms_without_a_download(make_watcher, shelf: Shelf, changes) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes)
    watcher.start()
    watcher.reload_now()
    before = watcher.current()[M]
    time.sleep(0.01)
    watcher.reload_now()
    after = watcher.current()[M]
    assert shelf.fetched == ["1"]
    assert after.confirmed_at > before.confirmed_at
    assert replace(after, confirmed_at=before.confirmed_at) == before
    assert len(changes.seen) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"garbage", "DOCUMENT_MALFORMED"),
        (b"", "DOCUMENT_MALFORMED"),
        (b" " * (1 << 20) + b"{}", "DOCUMENT_TOO_LARGE"),
    ],
)
def test_a_bad_document_never_goes_in_force_and_the_last_good_one_stays(
    make_watcher, shelf: Shelf, changes, make_calibrator: Make, body: bytes, code: str
) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes)
    watcher.start()
    watcher.reload_now()
    good = watcher.current()[M]
    shelf.set(make_calibrator(1.25), "2", body=body)
    [status] = watcher.reload_now()
    assert status.last_error_code == code
    assert status.last_error_at is not None
    assert status.in_force is watcher.current()[M]
    assert watcher.current()[M].reference == good.reference
    # Nobody confirmed the good one: its age goes on growing.
    assert watcher.current()[M].confirmed_at == good.confirmed_at
    assert len(changes.seen) == 1


def test_a_refused_document_is_not_downloaded_at_every_poll_but_a_request_looks_again(
    make_watcher, shelf: Shelf
) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, poll_seconds=0.01, monotonic=Frozen())
    shelf.body = b"garbage"
    watcher.start()
    watcher.reload_now()
    fetched, asked = len(shelf.fetched), shelf.asked
    eventually(lambda: shelf.asked > asked)
    assert len(shelf.fetched) == fetched
    shelf.body = None  # repaired in place, under the same number
    [status] = watcher.reload_now()
    assert status.last_error is None
    assert status.in_force is not None


class Frozen:
    """A monotonic clock that stands nearly still: everything is due soon, no refusal runs out."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.0001
        return self.now


def test_a_calibrator_for_something_else_is_refused_at_load(
    make_watcher, shelf: Shelf, make_calibrator: Make
) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    watcher.reload_now()
    shelf.set(make_calibrator(1.25, model="another"), "2")
    [status] = watcher.reload_now()
    assert status.last_error_code == "EVIDENCE_MISMATCH"
    assert watcher.current()[M].reference.version == "1"


def test_an_alias_that_moves_during_the_download_puts_in_force_what_it_says_at_the_end(
    make_watcher, shelf: Shelf, changes, make_calibrator: Make
) -> None:
    second = make_calibrator(1.25)
    shelf.moves = [lambda: shelf.set(second, "2")]
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes)
    watcher.start()
    watcher.reload_now()
    assert watcher.current()[M].reference.version == "2"
    assert changes.seen == [(M, second.digest)]


def test_an_alias_that_never_rests_changes_nothing(make_watcher, shelf: Shelf, make_calibrator: Make) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, poll_seconds=60.0)
    watcher.start()
    watcher.reload_now()
    numbers = iter(range(2, 100))

    def move() -> None:
        number = next(numbers)
        shelf.set(make_calibrator(1.0 + 1.0 / number), str(number))
        shelf.moves.append(move)

    move()
    [status] = watcher.reload_now()
    assert status.last_error_code == "CALIBRATOR_MOVED"
    assert watcher.current()[M].reference.version == "1"


def test_a_source_that_says_nothing_or_is_away_changes_nothing(make_watcher, shelf: Shelf) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    watcher.reload_now()
    held = watcher.current()[M]
    for error in (RegistryFailure("gone", code="ALIAS_UNKNOWN"), RegistryFailure("away")):
        shelf.error = error
        [status] = watcher.reload_now()
        assert (status.last_error, status.last_error_code) == (str(error), error.code)
        assert watcher.current()[M] is held


@pytest.mark.parametrize(
    "error", [ValueError("?"), SystemExit(3), KeyboardInterrupt(), MemoryError(), GeneratorExit()]
)
def test_the_refresh_thread_survives_whatever_a_source_raises(
    make_watcher, shelf: Shelf, error: BaseException, make_calibrator: Make
) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    watcher.reload_now()
    shelf.error = error
    [status] = watcher.reload_now()
    assert status.last_error_code == "UNEXPECTED"
    assert type(error).__name__ in (status.last_error or "")
    assert M in watcher.current()
    shelf.set(make_calibrator(1.25), "2")
    [status] = watcher.reload_now()
    assert status.last_error is None
    assert watcher.current()[M].reference.version == "2"


def test_the_refresh_thread_survives_its_own_mistakes(make_watcher, shelf: Shelf) -> None:
    calls = iter([ZeroDivisionError("a broken clock"), None])

    def jitter() -> float:
        if (error := next(calls, None)) is not None:
            raise error
        return 0.5

    watcher = make_watcher(URI, open_source=lambda _: shelf, jitter=jitter)
    watcher.start()
    eventually(lambda: watcher.statuses()[0].attempted)
    assert M in watcher.current()


def test_what_cannot_be_recorded_does_not_go_in_force(
    make_watcher, shelf: Shelf, changes, make_calibrator: Make
) -> None:
    changes.error = JournalUnavailable("the disk is full")
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes)
    watcher.start()
    [status] = watcher.reload_now()
    assert (status.last_error_code, status.in_force) == ("JOURNAL_UNAVAILABLE", None)
    assert watcher.current() == {}
    assert not list(make_watcher.directory.glob("*.json"))
    changes.error = None
    [status] = watcher.reload_now()
    assert status.in_force is not None
    assert status.last_error is None


def test_a_revoked_version_is_refused_and_the_good_one_stays(
    make_watcher, shelf: Shelf, make_calibrator: Make
) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    watcher.reload_now()
    shelf.set(make_calibrator(1.25), "2")
    shelf.revoked_versions = {"2"}
    [status] = watcher.reload_now()
    assert status.last_error_code == "CALIBRATOR_REVOKED"
    assert watcher.current()[M].reference.version == "1"
    assert shelf.fetched == ["1"]


@pytest.mark.parametrize("elsewhere", ["same version", "bad newcomer", "no alias"])
def test_a_calibrator_in_force_that_is_revoked_is_taken_out_and_not_brought_back(
    make_watcher, shelf: Shelf, changes, make_calibrator: Make, elsewhere: str
) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes)
    watcher.start()
    watcher.reload_now()
    first = shelf.calibrator
    shelf.revoked_versions = {"1"}
    if elsewhere == "bad newcomer":
        shelf.set(make_calibrator(1.25), "2", body=b"garbage")
    elif elsewhere == "no alias":
        shelf.error = RegistryFailure("no alias", code="ALIAS_UNKNOWN")
    [status] = watcher.reload_now()
    assert status.in_force is None
    assert status.last_error_code is not None
    assert watcher.current() == {}
    assert changes.seen == [(M, first.digest), (M, None)]
    assert not list(make_watcher.directory.glob("*.json"))

    restarted = make_watcher(URI, open_source=lambda _: shelf)
    restarted.load_cache()
    assert restarted.current() == {}

    shelf.revoked_versions = set()
    shelf.set(first, "1")
    [status] = watcher.reload_now()
    assert status.in_force is not None


def test_a_withdrawal_happens_even_if_it_cannot_be_recorded(make_watcher, shelf: Shelf, changes) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes)
    watcher.start()
    watcher.reload_now()
    changes.error = JournalUnavailable("the disk is full")
    shelf.revoked_versions = {"1"}
    watcher.reload_now()
    assert watcher.current() == {}


def test_a_republished_calibrator_goes_in_force_under_its_new_number(
    make_watcher, shelf: Shelf, changes
) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes)
    watcher.start()
    watcher.reload_now()
    shelf.version = "2"
    watcher.reload_now()
    assert watcher.current()[M].reference.version == "2"
    assert len(changes.seen) == 2


# The cache.


def test_a_restart_serves_from_the_cache_with_the_registry_away(make_watcher, shelf: Shelf, changes) -> None:
    first = make_watcher(URI, open_source=lambda _: shelf, clock=lambda: 1000.0)
    first.start()
    first.reload_now()
    first.stop()

    def away(_: str) -> Shelf:
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


def test_a_cached_calibrator_is_confirmed_by_one_question(make_watcher, shelf: Shelf, changes) -> None:
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
    make_watcher, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
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
    make_watcher, shelf: Shelf
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
def test_a_damaged_cache_is_ignored_said_aloud_and_not_fatal(make_watcher, shelf: Shelf, case: str) -> None:
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
    make_watcher, shelf: Shelf, expected: Expectation, code: str
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
    make_watcher, shelf: Shelf
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


def test_a_cached_calibrator_that_cannot_be_recorded_does_not_serve(
    make_watcher, shelf: Shelf, changes
) -> None:
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


def test_one_bad_source_does_not_hold_up_the_others(make_watcher, make_calibrator: Make) -> None:
    shelves = {f"models:/{name}@champion": Shelf(make_calibrator(model=name)) for name in "abc"}
    shelves["models:/b@champion"].error = RegistryFailure("away")
    slots = {Slot(name): replace(EXPECTED, uri=f"models:/{name}@champion") for name in "abc"}
    watcher = make_watcher(slots, open_source=shelves.__getitem__)
    watcher.start()
    statuses = watcher.reload_now()
    assert [status.slot.model for status in statuses] == ["a", "b", "c"]
    assert [status.in_force is not None for status in statuses] == [True, False, True]


def test_one_model_can_be_reloaded_alone(make_watcher, make_calibrator: Make) -> None:
    shelves = {f"models:/{name}@champion": Shelf(make_calibrator(model=name)) for name in "ab"}
    slots = {Slot(name): replace(EXPECTED, uri=f"models:/{name}@champion") for name in "ab"}
    watcher = make_watcher(slots, open_source=shelves.__getitem__, poll_seconds=60.0)
    watcher.start()
    watcher.reload_now()
    before = {uri: shelf.asked for uri, shelf in shelves.items()}
    [status] = watcher.reload_now("b")
    assert status.slot == Slot("b")
    assert shelves["models:/a@champion"].asked == before["models:/a@champion"]
    assert shelves["models:/b@champion"].asked > before["models:/b@champion"]
    assert watcher.reload_now("nobody") == ()


def test_a_reload_gives_up_in_time_and_says_what_is(make_watcher, shelf: Shelf) -> None:
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


def test_a_reload_of_a_watcher_that_does_not_run_returns_at_once(make_watcher, shelf: Shelf) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    assert watcher.reload_now(timeout=60.0)[0].attempted is False
    watcher.start()
    watcher.reload_now()
    assert watcher.stop()
    assert watcher.reload_now(timeout=60.0)[0].in_force is not None
    assert M in watcher.current()  # stopping takes nothing out of force


def test_a_reload_that_waits_ends_when_the_watcher_stops(make_watcher, shelf: Shelf) -> None:
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


def test_a_watcher_starts_once(make_watcher, shelf: Shelf) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    with pytest.raises(RuntimeError):
        watcher.start()
    unstarted = make_watcher(URI, open_source=lambda _: shelf)
    assert unstarted.stop() is True


def test_a_new_policy_is_watched_at_once(make_watcher, make_calibrator: Make, changes) -> None:
    shelves = {f"models:/{name}@champion": Shelf(make_calibrator(model=name)) for name in "abc"}
    slots = {Slot(name): replace(EXPECTED, uri=f"models:/{name}@champion") for name in "abc"}
    watcher = make_watcher(
        {key: slots[key] for key in (Slot("a"), Slot("b"))}, open_source=shelves.__getitem__, changes=changes
    )
    watcher.start()
    watcher.reload_now()
    kept = watcher.current()[Slot("b")]
    watcher.retarget({key: slots[key] for key in (Slot("b"), Slot("c"))})
    assert Slot("a") not in watcher.current()
    assert watcher.current()[Slot("b")].reference == kept.reference
    assert changes.seen[-1] == (Slot("a"), None)
    eventually(lambda: Slot("c") in watcher.current())
    assert [status.slot.model for status in watcher.statuses()] == ["b", "c"]


def test_a_slot_with_another_source_holds_nothing_until_that_was_asked(
    make_watcher, make_calibrator: Make, changes
) -> None:
    old, new = Shelf(make_calibrator(1.5), "7"), Shelf(make_calibrator(1.25), "8")
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


def test_an_answer_that_the_policy_has_overtaken_is_not_used(make_watcher, make_calibrator: Make) -> None:
    old, new = Shelf(make_calibrator(1.5), "7"), Shelf(make_calibrator(1.25), "8")
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
    make_watcher, shelf: Shelf, make_calibrator: Make
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


def test_a_return_to_an_earlier_source_is_served_from_its_cache(make_watcher, shelf: Shelf) -> None:
    def opened(uri: str) -> Shelf:
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
    make_watcher, tmp_path: Path, make_calibrator: Make, changes
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


def test_readers_never_see_half_a_change(make_watcher, make_calibrator: Make, changes) -> None:
    """Random swaps and refusals under readers: each snapshot is a whole calibrator that was announced."""
    rng = random.Random(20260921)
    good = [make_calibrator(1.0 + number / 64) for number in range(8)]
    shelf = Shelf(good[0], "1")
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes, poll_seconds=60.0)
    watcher.start()
    watcher.reload_now()
    problems: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            held = watcher.current()[M]
            if held.reference.digest != held.calibrator.digest:
                problems.append("reference and calibrator differ")
            if (M, held.reference.digest) not in changes.seen:
                problems.append("visible before it was announced")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(2, 60):
        calibrator = rng.choice(good)
        shelf.set(calibrator, str(number), body=rng.choice([None, None, b"garbage"]))
        watcher.reload_now()
    stop.set()
    for reader in readers:
        reader.join(20.0)
    assert problems == []


def test_codes_of_refusals_are_their_own(make_watcher, shelf: Shelf) -> None:
    shelf.error = CalibratorRefused("too long", code="DOCUMENT_TOO_LARGE")
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    assert watcher.reload_now()[0].last_error_code == "DOCUMENT_TOO_LARGE"
