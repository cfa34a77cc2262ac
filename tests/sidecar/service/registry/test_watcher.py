"""The watcher over sources of our own: what goes in force, when, and what never does."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from calibrators import Calibrator, CalibratorRefused
from sidecar.errors import JournalUnavailable, RegistryFailure
from sidecar.service.registry import CalibratorSlot, Expectation

M = CalibratorSlot("m")
URI = "models:/cal@champion"
EXPECTED = Expectation(uri=URI, evidence="score")
Make = Callable[..., Calibrator]
MakeShelf = Callable[..., object]
Eventually = Callable[[Callable[[], object]], None]


def test_nothing_is_in_force_before_the_first_answer(make_watcher, shelf) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    assert watcher.current() == {}
    [status] = watcher.statuses()
    assert (status.slot, status.uri, status.in_force, status.attempted) == (M, URI, None, False)
    assert shelf.asked == 0


def test_what_the_source_calls_current_goes_in_force_and_is_announced_before_it_is_visible(
    make_watcher, shelf, changes, make_calibrator: Make
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


def test_the_mapping_of_a_snapshot_never_changes(make_watcher, shelf, make_calibrator: Make) -> None:
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


def test_polling_picks_a_change_up_by_itself(
    make_watcher, shelf, make_calibrator: Make, eventually: Eventually
) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, poll_seconds=0.02)
    watcher.start()
    eventually(lambda: M in watcher.current())
    newcomer = make_calibrator(1.25)
    shelf.set(newcomer, "2")
    eventually(lambda: watcher.current()[M].calibrator == newcomer)


def test_an_unchanged_source_confirms_without_a_download(make_watcher, shelf, changes) -> None:
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
    make_watcher, shelf, changes, make_calibrator: Make, body: bytes, code: str
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
    make_watcher, shelf, eventually: Eventually
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


def test_a_refusal_is_forgotten_once_something_else_was_good(
    make_watcher, shelf, make_calibrator: Make, eventually: Eventually
) -> None:
    first, second = shelf.calibrator, make_calibrator(1.25)
    now = [0.0]
    watcher = make_watcher(
        URI, open_source=lambda _: shelf, poll_seconds=10.0, monotonic=lambda: now[0], jitter=lambda: 0.5
    )
    watcher.start()
    watcher.reload_now()

    def poll(at: float) -> str | None:
        asked = shelf.asked
        now[0] = at
        watcher.retarget({M: EXPECTED})  # the same policy: it only wakes the thread
        eventually(lambda: shelf.asked > asked)
        eventually(lambda: watcher._watches[M].due > at)
        return watcher.statuses()[0].last_error_code

    shelf.set(second, "2", body=b"garbage")
    assert poll(15.0) == "DOCUMENT_MALFORMED"
    assert poll(36.0) == "DOCUMENT_MALFORMED"  # refused again, until 76
    shelf.set(second, "2")
    assert poll(47.0) == "DOCUMENT_MALFORMED"  # repaired in place, but it stands
    shelf.set(first, "1")
    assert poll(58.0) is None
    shelf.set(second, "2")
    assert poll(69.0) is None
    assert watcher.current()[M].calibrator == second


class Frozen:
    """A monotonic clock that stands nearly still: everything is due soon, no refusal runs out."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.0001
        return self.now


def test_a_calibrator_for_something_else_is_refused_at_load(
    make_watcher, shelf, make_calibrator: Make
) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    watcher.reload_now()
    shelf.set(make_calibrator(1.25, model="another"), "2")
    [status] = watcher.reload_now()
    assert status.last_error_code == "EVIDENCE_MISMATCH"
    assert watcher.current()[M].reference.version == "1"


def test_an_alias_that_moves_during_the_download_puts_in_force_what_it_says_at_the_end(
    make_watcher, shelf, changes, make_calibrator: Make
) -> None:
    second = make_calibrator(1.25)
    shelf.moves = [lambda: shelf.set(second, "2")]
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes)
    watcher.start()
    watcher.reload_now()
    assert watcher.current()[M].reference.version == "2"
    assert changes.seen == [(M, second.digest)]


def test_an_alias_that_never_rests_changes_nothing(make_watcher, shelf, make_calibrator: Make) -> None:
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


def test_a_source_that_says_nothing_or_is_away_changes_nothing(make_watcher, shelf) -> None:
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
    make_watcher, shelf, error: BaseException, make_calibrator: Make
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


def test_the_refresh_thread_survives_its_own_mistakes(make_watcher, shelf, eventually: Eventually) -> None:
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
    make_watcher, shelf, changes, make_calibrator: Make
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
    make_watcher, shelf, make_calibrator: Make
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
    make_watcher, shelf, changes, make_calibrator: Make, elsewhere: str
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


def test_a_withdrawal_happens_even_if_it_cannot_be_recorded(make_watcher, shelf, changes) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes)
    watcher.start()
    watcher.reload_now()
    changes.error = JournalUnavailable("the disk is full")
    shelf.revoked_versions = {"1"}
    watcher.reload_now()
    assert watcher.current() == {}


def test_a_republished_calibrator_goes_in_force_under_its_new_number(make_watcher, shelf, changes) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, changes=changes)
    watcher.start()
    watcher.reload_now()
    shelf.version = "2"
    watcher.reload_now()
    assert watcher.current()[M].reference.version == "2"
    assert len(changes.seen) == 2


@pytest.mark.slow
def test_readers_never_see_half_a_change(
    make_watcher, make_calibrator: Make, changes, make_shelf: MakeShelf
) -> None:
    """Random swaps and refusals under readers: each snapshot is a whole calibrator that was announced."""
    rng = random.Random(20260921)
    good = [make_calibrator(1.0 + number / 64) for number in range(8)]
    shelf = make_shelf(good[0], "1")
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


def test_codes_of_refusals_are_their_own(make_watcher, shelf) -> None:
    shelf.error = CalibratorRefused("too long", code="DOCUMENT_TOO_LARGE")
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    assert watcher.reload_now()[0].last_error_code == "DOCUMENT_TOO_LARGE"
