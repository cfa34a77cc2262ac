"""The challenger beside the champion: counted exactly, and unable to touch an answer."""

import dataclasses
import threading
import time

import pytest

from calibrators import Platt
from sidecar.decision.records import ShadowCounts
from sidecar.policy.actions import AnswerSource, Intent
from sidecar.service.in_force.observer import MOST_WAITING, Observer
from sidecar.service.in_force.shadow import Shadow
from sidecar.service.registry import CalibratorSlot
from tests import builders
from tests.sidecar import services

SLOT = CalibratorSlot("lead-classifier")
TIMID = Platt(slope=1.0, intercept=-1.5, on="logit")  # 0.95 -> 0.81, 0.75 -> 0.40


@pytest.fixture
def made():
    return services.bare()


@pytest.fixture
def shadow(made, now):
    held = {SLOT: builders.calibrator_in_force(TIMID)}
    clock = {"now": now}
    shadow = Shadow(
        challengers=lambda: held,
        journal=made.journal,
        metrics=made.metrics,
        sidecar_id="sidecar-a",
        clock=lambda: clock["now"],
        new_id=lambda _: "run-1",
    )
    shadow.held, shadow.set_clock = held, clock  # type: ignore[attr-defined]
    return shadow


def counted(made):
    """The last totals of every pair in the journal."""
    totals = {}
    for record in made.journal.records:
        if isinstance(record, ShadowCounts):
            for pair in record.pairs:
                totals[record.challenger, record.day, pair.band, pair.shadow_band] = pair.n
    return totals


def pairs(made):
    return {key[2:]: n for key, n in counted(made).items()}


def test_disagreement_is_counted_by_pair_of_bands(made, shadow) -> None:
    for score, times in ((0.95, 3), (0.75, 2), (0.999, 1)):
        for _ in range(times):
            shadow.take(made.router.route(builders.query(score)).decision, made.snapshot)
    assert pairs(made) == {}
    shadow.flush()
    assert pairs(made) == {("auto", "flagged"): 3, ("flagged", "reject"): 2, ("auto", "auto"): 1}
    labels = {"model": "lead-classifier", "band": "auto", "shadow_band": "flagged"}
    assert made.count("trueband_shadow_total", **labels) == 3
    [record] = [each for each in made.journal.records if isinstance(each, ShadowCounts)]
    assert record.champion == made.snapshot.calibrators[SLOT].reference.digest
    assert record.challenger == shadow.held[SLOT].reference.digest
    assert (record.run_id, record.sidecar_id, record.day) == (
        "run-1",
        "sidecar-a",
        (1_770_000_000 // 86400),
    )


def test_totals_grow_and_nothing_new_is_not_told_again(made, shadow) -> None:
    shadow.take(made.router.route(builders.query()).decision, made.snapshot)
    shadow.flush()
    shadow.flush()
    shadow.take(made.router.route(builders.query()).decision, made.snapshot)
    shadow.flush()
    told = [each.pairs[0].n for each in made.journal.records if isinstance(each, ShadowCounts)]
    assert told == [1, 2]


def test_a_full_journal_loses_no_count(made, shadow) -> None:
    shadow.take(made.router.route(builders.query()).decision, made.snapshot)
    made.journal.break_down()
    shadow.flush()
    made.journal.failure = None
    shadow.flush()
    assert pairs(made) == {("auto", "flagged"): 1}


def test_each_day_counts_for_itself_and_old_ones_are_forgotten(made, shadow, now) -> None:
    for day in range(4):
        made.now = shadow.set_clock["now"] = now + 86400 * day
        snapshot = dataclasses.replace(
            made.snapshot,
            calibrators={
                key: dataclasses.replace(each, confirmed_at=made.now)
                for key, each in made.snapshot.calibrators.items()
            },
        )
        made.snapshot = snapshot
        for _ in range(day + 1):
            shadow.take(made.router.route(builders.query()).decision, snapshot)
        shadow.flush()
    assert [n for _, n in sorted(counted(made).items())] == [1, 2, 3, 4]
    assert len(shadow._counts) == 2


def test_what_cannot_be_compared_is_not_counted(made, shadow) -> None:
    shadow.take(made.router.route(builders.query(intent=Intent.SHADOW)).decision, made.snapshot)
    without = services.bare(calibrators={})
    shadow.take(without.router.route(builders.query()).decision, without.snapshot)
    shadow.held[SLOT] = builders.calibrator_in_force()  # the champion itself
    shadow.take(made.router.route(builders.query()).decision, made.snapshot)
    del shadow.held[SLOT]
    shadow.take(made.router.route(builders.query()).decision, made.snapshot)
    shadow.flush()
    assert counted(made) == {}


def test_a_challenger_without_a_confidence_has_no_band(made, shadow) -> None:
    shadow.held[SLOT] = builders.calibrator_in_force(TIMID, versions=("v1",))
    shadow.take(made.router.route(builders.query(model_version="v7")).decision, made.snapshot)
    shadow.flush()
    assert pairs(made) == {("auto", ""): 1}


def test_the_champions_own_band_counts_where_a_fallback_step_decided(made, shadow) -> None:
    decision = made.router.route(builders.query(0.75)).decision
    cleared = builders.altered(decision, source=AnswerSource.RULES, band="auto")
    shadow.take(cleared, made.snapshot)
    shadow.flush()
    assert pairs(made) == {("flagged", "reject"): 1}


# The way there.


def observer(made, *consumers, prepare=lambda: None, flush=lambda: None, **options):
    return Observer(consumers, metrics=made.metrics, prepare=prepare, flush=flush, **options)


def observed(*consumers, **options):
    """A service whose router hands on, and its observer."""
    made = services.bare()
    watching = observer(made, *consumers, **options)
    made.router._observe = watching.note
    return made, watching


def told(answer):
    return builders.altered(answer.decision, answer_id="", decision_id="")


def test_every_recorded_decision_arrives_once() -> None:
    seen = []
    made, watching = observed(lambda decision, snapshot: seen.append((decision, snapshot)))
    watching.start()
    made.router.route_batch([builders.query(0.9, request_id=f"r-{number}") for number in range(120)])
    made.router.route(builders.query(0.9, request_id="r-1"))  # a replay is no decision
    assert watching.stop(30.0)
    assert [decision for decision, _ in seen] == made.journal.decisions
    assert len(seen) == 120
    assert all(snapshot is made.snapshot for _, snapshot in seen)


def test_what_was_not_recorded_is_not_observed() -> None:
    seen = []
    made, watching = observed(lambda decision, _: seen.append(decision))
    watching.start()
    made.journal.break_down()
    made.router.route(builders.query())
    assert watching.stop(30.0)
    assert seen == []


def test_a_raising_shadow_changes_no_answer(caplog) -> None:
    plain = services.bare()
    seen = []

    def raising(decision, _):
        raise ZeroDivisionError(decision.decision_id)

    made, watching = observed(raising, lambda decision, _: seen.append(decision))
    watching.start()
    asked = [builders.query(score / 100) for score in range(100)]
    expected = [told(each) for each in plain.router.route_batch(asked)]
    assert [told(each) for each in made.router.route_batch(asked)] == expected
    assert watching.stop(30.0)
    assert len(made.journal.decisions) == 100
    assert made.count("trueband_observations_failed_total") == 100
    assert len(seen) == 100  # the other consumer is not disturbed
    assert caplog.messages.count("observation_failed") == 1


def test_a_sleeping_shadow_delays_no_answer() -> None:
    """All is answered and recorded while the shadow still sleeps over the first decision."""
    asleep, wake = threading.Event(), threading.Event()

    def sleeping(*_):
        asleep.set()
        assert wake.wait(60.0)

    plain = services.bare()
    made, watching = observed(sleeping)
    watching.start()
    first = told(made.router.route(builders.query(0.95)))
    assert asleep.wait(30.0)
    asked = [builders.query(score / 100) for score in range(100)]
    assert first == told(plain.router.route(builders.query(0.95)))
    for query in asked:
        assert told(made.router.route(query)) == told(plain.router.route(query))
    assert len(made.journal.decisions) == 101
    assert not watching.stop(0.01)  # and a stop does not wait for it either
    wake.set()


def test_a_hand_over_that_raises_does_not_take_an_answer_back() -> None:
    made = services.bare()

    def note(*_):
        raise RuntimeError("full")

    made.router._observe = note
    assert made.router.route(builders.query(0.95)).decision.may_act
    assert len(made.journal.decisions) == 1


def test_what_finds_the_queue_full_is_left_out_and_counted() -> None:
    seen = []
    made, watching = observed(lambda decision, _: seen.append(decision))
    decision = made.router.route(builders.query()).decision
    batch = [decision] * 1000
    for _ in range(MOST_WAITING // 1000 + 3):
        watching.note(batch, made.snapshot)
    assert made.count("trueband_observations_dropped_total") == 4000  # one was there already
    watching.start()
    assert watching.stop(60.0)
    assert len(seen) == MOST_WAITING - 999


def test_it_prepares_first_flushes_now_and_then_and_at_the_end() -> None:
    said: list[str] = []
    made, watching = observed(
        lambda *_: said.append("decision"),
        prepare=lambda: said.append("prepared"),
        flush=lambda: said.append("flushed"),
        flush_seconds=0.01,
    )
    made.router.route(builders.query())
    watching.start()
    deadline = time.monotonic() + 30.0
    while said.count("flushed") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    made.router.route(builders.query())
    assert watching.stop(30.0)
    assert said[0] == "prepared"
    assert said.count("decision") == 2
    assert said[-1] == "flushed"


def test_a_preparation_that_fails_does_not_end_it() -> None:
    seen = []

    def prepare() -> None:
        raise OSError("away")

    made, watching = observed(lambda decision, _: seen.append(decision), prepare=prepare)
    watching.start()
    made.router.route(builders.query())
    assert watching.stop(30.0)
    assert len(seen) == 1
