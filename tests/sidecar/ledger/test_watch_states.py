"""What the watch remembers: written over the version that was read, all or none; and what it reads."""

import threading
from pathlib import Path

import pytest

from sidecar import errors
from sidecar.decision.records import InForce
from sidecar.decision.steps import CalibratorReference
from sidecar.ledger import intake, watch_states
from sidecar.ledger.store import Ledger
from sidecar.ledger.watch_states import WatchedMeanwhile, WatchState
from sidecar.policy.actions import Intent
from tests import builders

NOON = 1_770_000_000.0


def row(stream: str = "a", *, model: str = "leads", version: int = 0, body: str = "{}") -> WatchState:
    return WatchState(model=model, stream=stream, version=version, updated_at=NOON, body=body)


def test_what_is_kept_comes_back_with_its_version(ledger: Ledger) -> None:
    assert ledger.read(watch_states.states, "leads") == {}
    body = '{"x": 1e-300, "name": "Ünï \\u0000 \'"}'
    ledger.write(watch_states.keep, [row("a", body=body), row("b"), row("a", model="others")])
    found = ledger.read(watch_states.states, "leads")
    assert found == {"a": row("a", version=1, body=body), "b": row("b", version=1)}
    ledger.write(watch_states.keep, [row("a", version=1, body="second")])
    assert ledger.read(watch_states.states, "leads")["a"] == row("a", version=2, body="second")
    assert ledger.read(watch_states.states, "others") == {"a": row("a", model="others", version=1)}
    ledger.write(watch_states.keep, [])


@pytest.mark.parametrize(
    "stale",
    [row("a", version=1), row("a", version=3), row("a", version=0), row("new", version=1)],
    ids=["older", "newer", "as if new", "as if there"],
)
def test_nothing_is_written_over_what_was_not_read(ledger: Ledger, stale: WatchState) -> None:
    ledger.write(watch_states.keep, [row("a")])
    ledger.write(watch_states.keep, [row("a", version=1, body="theirs")])
    before = ledger.read(watch_states.states, "leads")
    with pytest.raises(WatchedMeanwhile, match="look again") as caught:
        ledger.write(watch_states.keep, [row("other"), stale])
    assert caught.value.code == "WATCHED_MEANWHILE"
    assert ledger.read(watch_states.states, "leads") == before, "all or none"


def test_of_two_that_read_the_same_one_is_told(ledger_url: str, ledger: Ledger) -> None:
    ledger.write(watch_states.keep, [row("a"), row("b")])
    ready, results = threading.Barrier(4), []

    def write(name: int) -> None:
        with Ledger(ledger_url) as own:
            ready.wait()
            try:
                own.write(
                    watch_states.keep,
                    [row("a", version=1, body=str(name)), row("b", version=1, body=str(name))],
                )
                results.append(str(name))
            except WatchedMeanwhile:
                pass

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 1
    assert {each.body for each in ledger.read(watch_states.states, "leads").values()} == set(results)


def test_a_ledger_of_an_older_version_is_not_guessed_at(tmp_path: Path) -> None:
    with (
        Ledger(f"sqlite:///{tmp_path}/empty.db") as empty,
        pytest.raises(errors.LedgerUnavailable, match="start a sidecar"),
    ):
        empty.read(watch_states.states, "leads")


def test_recent_scores_are_those_of_live_answers_by_version(ledger: Ledger) -> None:
    def champion(digest: str) -> CalibratorReference:
        return CalibratorReference(name="c", kind="platt", digest=digest)

    old, new = champion("sha256:old"), champion("sha256:new")
    records = [
        builders.decision(1, raw_confidence=0.1, calibrator=old),
        builders.decision(2, raw_confidence=0.2, calibrator=new),
        builders.decision(3, raw_confidence=0.3, calibrator=old, model_version="v8"),
        builders.decision(4, raw_confidence=0.4, calibrator=new, intent=Intent.SHADOW),
        builders.decision(5, raw_confidence=None, calibrator=new),
        builders.decision(6, raw_confidence=0.6),
        builders.decision(7, raw_confidence=0.7, calibrator=new, model="another"),
        builders.decision(8, raw_confidence=0.8, calibrator=new),
    ]
    ledger.write(intake.take_in, records)
    v7, v8 = ledger.read(watch_states.recent_scores, "lead-classifier", since=NOON, until=NOON + 100)
    assert (v7.model_version, v7.scores) == ("v7", (0.1, 0.2, 0.8))
    assert (v7.calibrator_digest, v7.newest_at) == ("sha256:new", NOON + 8)
    assert (v8.model_version, v8.scores, v8.calibrator_digest) == ("v8", (0.3,), "sha256:old")
    (part,) = ledger.read(watch_states.recent_scores, "lead-classifier", since=NOON + 1, until=NOON + 3)
    assert part.scores == (0.1, 0.2), "from the first moment on, up to the second"
    (few,) = ledger.read(watch_states.recent_scores, "lead-classifier", since=NOON, until=NOON + 100, most=1)
    assert few.scores == (0.8,), "the newest"
    assert ledger.read(watch_states.recent_scores, "nobody", since=0.0, until=NOON * 2) == []


def test_the_first_time_in_force_is_that_of_any_sidecar(ledger: Ledger) -> None:
    def since(sidecar: str, digest: str, at: float) -> InForce:
        return InForce(sidecar_id=sidecar, slot="calibrator:leads", digest=digest, name="c", since=at)

    records = [since("s", "one", NOON), since("t", "two", NOON + 5), since("s", "two", NOON + 7)]
    ledger.write(intake.take_in, [*records, since("s", "one", NOON + 9)])
    assert ledger.read(watch_states.first_in_force, "one") == NOON
    assert ledger.read(watch_states.first_in_force, "two") == NOON + 5
    assert ledger.read(watch_states.first_in_force, "three") is None
