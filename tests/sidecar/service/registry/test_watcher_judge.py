"""Newcomers that would change too much, challengers that need not be there, and who hears of both."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from calibrators import Calibrator, CalibratorRefused
from sidecar.errors import RegistryFailure
from sidecar.policy import loading
from sidecar.service.registry import CalibratorInForce, CalibratorSlot, Expectation, Resolved, challengers
from sidecar.service.registry.fetch import SHIFTS_ROUTING
from sidecar.service.registry.slots import ChallengerSlot

M = CalibratorSlot("m")
URI = "models:/cal@champion"
CHALLENGER = {ChallengerSlot("m"): Expectation(uri="models:/cal@challenger", evidence="score", optional=True)}
GONE = RegistryFailure("there is no such alias", code="ALIAS_UNKNOWN")
Make = Callable[..., Calibrator]


class Judge:
    """Refuses what is not approved; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.error: Exception | None = None

    def __call__(
        self, slot: CalibratorSlot, held: CalibratorInForce, newcomer: Calibrator, resolved: Resolved
    ) -> CalibratorRefused | None:
        assert slot == M
        assert newcomer.digest == resolved.digest
        self.asked.append((held.reference.version, resolved.version))
        if self.error is not None:
            raise self.error
        if resolved.approved or newcomer.digest == held.reference.digest:
            return None
        return CalibratorRefused("shifts from 60 % to 10 %", code=SHIFTS_ROUTING)


class Heard:
    """A trace that keeps what it was told, and can raise."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []
        self.error: Exception | None = None

    def _hear(self, *what: object) -> None:
        self.said.append(what)
        if self.error is not None:
            raise self.error

    def seen(self, uri, resolved, source) -> None:
        assert source.tags("none") == {}
        self._hear("seen", uri, None if resolved is None else resolved.version)

    def withdrawn(self, known, source) -> None:
        assert source.tags("none") == {}
        self._hear("withdrawn", known.version)

    def refused(self, known, answer) -> None:
        self._hear("refused", None if known is None else known.version, answer.resolved.version)


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def made(make_watcher, shelf, judge: Judge):
    watcher = make_watcher(URI, open_source=lambda _: shelf, judge=judge)
    watcher.start()
    watcher.reload_now()
    return watcher


def test_the_first_load_is_never_judged(made, judge: Judge) -> None:
    assert made.current()[M].reference.version == "1"
    made.reload_now()
    assert judge.asked == []


def test_a_refused_shift_keeps_the_last_known_good_and_says_why(
    made, judge: Judge, shelf, make_calibrator: Make
) -> None:
    shelf.set(make_calibrator(0.5), "2")
    [status] = made.reload_now()
    assert judge.asked == [("1", "2")]
    assert made.current()[M].reference.version == "1"
    assert (status.last_error_code, status.last_error) == (SHIFTS_ROUTING, "shifts from 60 % to 10 %")
    shelf.set(made.current()[M].calibrator, "1")
    [status] = made.reload_now()
    assert status.last_error is None


def test_an_approval_that_comes_later_is_noticed_by_polling_alone(
    make_watcher, judge: Judge, shelf, make_calibrator: Make, eventually
) -> None:
    watcher = make_watcher(URI, open_source=lambda _: shelf, judge=judge, poll_seconds=0.02)
    watcher.start()
    eventually(lambda: M in watcher.current())
    shelf.set(make_calibrator(0.5), "2")
    eventually(lambda: watcher.statuses()[0].last_error_code == SHIFTS_ROUTING)
    shelf.approved_versions.add("2")
    eventually(lambda: watcher.current()[M].reference.version == "2")
    eventually(lambda: watcher.statuses()[0].last_error_code is None)


def test_an_approval_does_not_outlive_its_version(made, judge: Judge, shelf, make_calibrator: Make) -> None:
    shelf.approved_versions.add("2")
    shelf.set(make_calibrator(0.5), "2")
    made.reload_now()
    shelf.set(make_calibrator(0.25), "3")
    [status] = made.reload_now()
    assert made.current()[M].reference.version == "2"
    assert status.last_error_code == SHIFTS_ROUTING


def test_a_restart_from_the_cache_is_not_judged(
    made, judge: Judge, shelf, make_watcher, make_calibrator: Make
) -> None:
    made.stop()
    again = make_watcher(URI, open_source=lambda _: shelf, judge=judge)
    again.load_cache()
    assert again.current()[M].from_cache
    again.start()
    again.reload_now()
    assert judge.asked == []
    assert not again.current()[M].from_cache
    # What came meanwhile takes another's place, and is.
    again.stop()
    shelf.set(make_calibrator(0.5), "2")
    third = make_watcher(URI, open_source=lambda _: shelf, judge=judge)
    third.load_cache()
    third.start()
    third.reload_now()
    assert set(judge.asked) == {("1", "2")}
    assert third.current()[M].reference.version == "1"


def test_a_revoked_calibrator_is_not_kept_for_fear_of_a_shift(
    made, judge: Judge, shelf, make_calibrator: Make, eventually
) -> None:
    """A rollback to a version that nobody approved: what is revoked goes, and the other comes at once."""
    shelf.set(make_calibrator(0.5), "2")
    made.reload_now()
    assert made.current()[M].reference.version == "1"
    shelf.revoked_versions.add("1")
    made.reload_now()
    eventually(lambda: M in made.current())  # long before the next poll, a minute later
    assert made.current()[M].reference.version == "2"
    assert judge.asked[0] == ("1", "2")


def test_a_judge_that_fails_lets_nothing_in(made, judge: Judge, shelf, make_calibrator: Make) -> None:
    judge.error = ZeroDivisionError("a mistake of ours")
    shelf.set(make_calibrator(0.5), "2")
    [status] = made.reload_now()
    assert status.last_error_code == "UNEXPECTED"
    assert made.current()[M].reference.version == "1"
    judge.error = None
    shelf.approved_versions.add("2")
    made.reload_now()
    assert made.current()[M].reference.version == "2"


# Challengers.


def test_a_challenger_goes_in_force_in_a_slot_of_its_own_name(make_watcher, shelf, changes) -> None:
    watcher = make_watcher(CHALLENGER, open_source=lambda _: shelf, changes=changes)
    watcher.start()
    [status] = watcher.reload_now()
    assert status.slot.name == "challenger:m"
    assert watcher.current()[CalibratorSlot("m")].calibrator == shelf.calibrator
    assert [slot.name for slot, _ in changes.seen] == ["challenger:m"]


@pytest.mark.parametrize("code", ["ALIAS_UNKNOWN", "REGISTERED_MODEL_UNKNOWN"])
def test_a_missing_challenger_is_no_failure_and_one_that_goes_is_withdrawn(
    make_watcher, shelf, changes, code: str
) -> None:
    watcher = make_watcher(CHALLENGER, open_source=lambda _: shelf, changes=changes)
    shelf.error = RegistryFailure("there is none", code=code)
    watcher.start()
    [status] = watcher.reload_now()
    assert (status.in_force, status.last_error, status.attempted) == (None, None, True)
    shelf.error = None
    watcher.reload_now()
    assert watcher.current()
    shelf.error = RegistryFailure("there is none any more", code=code)
    [status] = watcher.reload_now()
    assert (status.in_force, status.last_error) == (None, None)
    assert [digest for _, digest in changes.seen] == [shelf.calibrator.digest, None]
    watcher.stop()
    again = make_watcher(CHALLENGER, open_source=lambda _: shelf, changes=changes)
    again.load_cache()
    assert again.current() == {}


def test_a_registry_that_is_away_is_still_said_and_keeps_the_challenger(make_watcher, shelf) -> None:
    watcher = make_watcher(CHALLENGER, open_source=lambda _: shelf)
    watcher.start()
    watcher.reload_now()
    shelf.error = RegistryFailure("no route")
    [status] = watcher.reload_now()
    assert status.last_error_code == "REGISTRY_UNAVAILABLE"
    assert watcher.current()


def test_a_champion_stays_when_its_alias_goes(made, shelf) -> None:
    shelf.error = GONE
    [status] = made.reload_now()
    assert status.last_error_code == "ALIAS_UNKNOWN"
    assert made.current()[M].reference.version == "1"


def test_the_slots_of_challengers() -> None:
    policy = loading.parse(
        """
version: 1
models:
  leads:
    calibrator: models:/leads-cal@champion
    versions: {v8: models:/v8@champion, v9: models:/v9/3}
    evidence: score
  quiet: {calibrator: models:/quiet@champion, evidence: score, shadow: false}
  filed: {calibrator: file:x.json, evidence: score}
  staged: {calibrator: models:/staged@prod, evidence: score}
"""
    ).policy
    found = challengers(policy)
    assert {slot.name: each.uri for slot, each in found.items()} == {
        "challenger:leads": "models:/leads-cal@challenger",
        "challenger:leads:v8": "models:/v8@challenger",
    }
    assert all(each.optional for each in found.values())
    assert found[ChallengerSlot("leads", "v8")].model_version == "v8"


# The trace.


def test_a_trace_hears_of_versions_refusals_and_revocations(
    make_watcher, shelf, judge: Judge, make_calibrator: Make
) -> None:
    heard = Heard()
    watcher = make_watcher(URI, open_source=lambda _: shelf, judge=judge, trace=heard)
    watcher.start()
    watcher.reload_now()
    first = shelf.calibrator
    shelf.set(make_calibrator(0.5), "2")
    watcher.reload_now()
    shelf.error = GONE
    watcher.reload_now()
    shelf.set(first, "1")
    shelf.revoked_versions.add("1")
    watcher.reload_now()
    assert [each for number, each in enumerate(heard.said) if each not in heard.said[:number]] == [
        ("seen", URI, "1"),
        ("seen", URI, "2"),
        ("refused", "1", "2"),
        ("seen", URI, None),
        ("withdrawn", "1"),
        ("refused", "1", "1"),
    ]


def test_a_trace_that_raises_changes_nothing(
    make_watcher, shelf, make_calibrator: Make, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    heard.error = RuntimeError("no")
    watcher = make_watcher(URI, open_source=lambda _: shelf, trace=heard)
    watcher.start()
    [status] = watcher.reload_now()
    assert status.last_error is None
    shelf.set(make_calibrator(0.5), "2")
    watcher.reload_now()
    assert watcher.current()[M].reference.version == "2"
    assert "trace_failed" in caplog.messages


def test_tags_are_no_news(make_watcher, shelf) -> None:
    """What a tag tells of the past must not make every sidecar download the same document again."""
    watcher = make_watcher(URI, open_source=lambda _: shelf)
    watcher.start()
    watcher.reload_now()
    shelf.tags_of["1"] = {"trueband.move.1": "{}"}
    watcher.reload_now()
    assert shelf.fetched == ["1"]
    known = Resolved(name="cal", version="1", digest="d")
    assert known == replace(known, tags={"a": "b"})
    assert known != replace(known, approved=True)
