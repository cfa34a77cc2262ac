"""When a retrain is due, and that one reason starts one retrain."""

import dataclasses

import pytest

from sidecar.ledger.store import Ledger
from sidecar.policy.upkeep import Retrain
from tests import builders
from training import errors
from training.watch import due_retrain, model_look, store
from training.watch.model_look import Champion
from training.watch.state import Alarm, StreamState
from training.watch.store import ModelMemory, Run
from training.watch.streams import Stream

DAY = 86_400.0
NOW = 100 * DAY
STREAM = builders.stream()
ALARM = Alarm(
    kind="ACCURACY",
    detector="mixture",
    fired_at=NOW,
    label_at=NOW - 5.0,
    labels=50,
    correct=40,
    log_evidence=4.0,
    log_needed=3.7,
)
CHAMPION = Champion(
    digest="sha256:c",
    model_version="v1",
    since=10 * DAY,
    labels_at=tuple(number * DAY for number in range(5, 25)),  # 14 of them after the fit
)
NOTHING = ModelMemory()


def alarmed(stream: Stream = STREAM, **changes) -> StreamState:
    return StreamState.start(stream, at=0.0).with_alarm(dataclasses.replace(ALARM, **changes))


def due(settings: Retrain, *, states=(), champion=CHAMPION, memory=NOTHING, now=NOW):
    return due_retrain.due(settings, states, champion, memory, now=now)


def ended(began_at: float) -> ModelMemory:
    return ModelMemory().begun("t", "sha256:c", at=began_at).ended("t", "version 4", at=began_at + 60)


def test_the_defaults_start_nothing() -> None:
    assert due(Retrain(), states=[alarmed()]) is None


@pytest.mark.parametrize("kind", ["ACCURACY", "CALIBRATION"])
def test_an_alarm_starts_one_retrain(kind) -> None:
    settings, states = Retrain(on_alarm=True), [alarmed(kind=kind)]
    found = due(settings, states=states)
    assert found is not None
    assert found.text == f"{kind} alarm in auto, leads v1"
    assert found.model_version == "v1"
    assert due(settings, states=states, memory=ended(NOW)) is None, "the next night it is the same alarm"
    assert due(settings, states=states, memory=ended(NOW - 1)) == found, "that one did not know of it"
    assert due(settings, states=[StreamState.start(STREAM, at=0.0)]) is None


def test_an_alarm_of_which_somebody_took_note_starts_none() -> None:
    closed = alarmed().acknowledged(by="ada", reason="x", at=NOW)
    assert due(Retrain(on_alarm=True), states=[closed]) is None


def test_an_alarm_of_another_source_starts_none() -> None:
    other = alarmed(dataclasses.replace(STREAM, source="SECONDARY"))
    assert due(Retrain(on_alarm=True), states=[other]) is None


@pytest.mark.parametrize(("asked", "starts"), [(14, True), (15, False)])
def test_labels_count_from_the_fit(asked: int, starts: bool) -> None:
    found = due(Retrain(after_labels=asked))
    assert (found is not None) is starts
    if found is not None:
        assert "14 new labels since the champion's last fit; the policy asks for 14" in found.text


def test_labels_count_from_the_last_retrain_even_if_it_kept_the_champion() -> None:
    settings = Retrain(after_labels=5)
    assert due(settings) is not None
    assert due(settings, memory=ended(20 * DAY)) is None, "four have come since"
    assert due(settings, memory=ended(19 * DAY)) is not None


@pytest.mark.parametrize(("days", "starts"), [(89, True), (90, False)])
def test_age_counts_from_the_fit_or_the_last_retrain(days: int, starts: bool) -> None:
    settings = Retrain(after=f"{days}d")
    assert (due(settings) is not None) is starts
    assert due(settings, memory=ended(50 * DAY)) is None
    assert due(Retrain(after="49d"), memory=ended(50 * DAY)) is not None


def test_without_a_champion_nothing_is_too_old() -> None:
    assert due(Retrain(after="1d", after_labels=1), champion=None) is None


def test_while_another_watch_retrains_none_is_started_until_it_must_have_died() -> None:
    running = ModelMemory().begun("t", "sha256:c", at=NOW - 60)
    settings, states = Retrain(on_alarm=True), [alarmed()]
    assert due(settings, states=states, memory=running) is None
    dead = ModelMemory().begun("t", "sha256:c", at=NOW - due_retrain.CLAIM_SECONDS)
    assert due(settings, states=states, memory=dead) is not None


def test_a_retrain_that_failed_is_tried_again() -> None:
    memory = ModelMemory().begun("t", "sha256:c", at=NOW).failed("t")
    assert memory == NOTHING
    settings, states = Retrain(on_alarm=True), [alarmed()]
    assert due(settings, states=states, memory=memory) is not None


def test_the_memory_is_bounded_and_comes_back_bit_for_bit() -> None:
    memory = ModelMemory(shifted_since={"v1": 0.1 + 0.2})
    for number in range(store.MOST_RUNS + 5):
        memory = memory.begun(f"t{number}", "sha256:c", at=float(number)).ended(f"t{number}", "x", at=1e9)
    assert len(memory.runs) == store.MOST_RUNS
    assert memory.last_began_at == store.MOST_RUNS + 4
    assert store.decode(store.encode(memory)) == memory
    assert memory.runs[0] == Run(trigger="t5", calibrator="sha256:c", began_at=5.0, ended_at=1e9, came_to="x")
    with pytest.raises(errors.RequestRefused, match="cannot be read by this version"):
        store.decode('{"runs": 3}')


def test_of_two_that_found_it_due_one_retrains(world, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one looked before the first one said so."""
    from training.retraining import pipeline

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it retrained")

    monkeypatch.setattr(pipeline, "retrain", never)
    world.use(world.policy.canonical.replace('"after_labels":null', '"after_labels":1'))
    world.add([True] * 5)
    at = 1_791_000_000.0
    with Ledger(world.url) as ledger:
        look = model_look.take(ledger, ledger, "leads", world.policy, at=at, window_seconds=DAY)
        assert due_retrain.due(
            world.policy.policy.models["leads"].retrain, look.states, look.champion, look.memory, now=at
        )
        store.amend_memory(ledger, "leads", lambda kept: kept.begun("t", "sha256:c", at=at), at=at)
        assert due_retrain.retrain_if_due(ledger, ledger, look, world.policy) is None
