"""Labels into evidence and alarms: once each, in order, and the same however they are cut into looks."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import builders
from tests.statistics import paths
from training import errors
from training.watch import alarm_rules, state
from training.watch.breach import BetaMixture, ShiryaevRoberts, Thresholds
from training.watch.calibration_drift import CalibrationDrift
from training.watch.state import StreamState
from training.watch.streams import Observation

AUTO = builders.stream()
REJECT = dataclasses.replace(AUTO, band="reject", action="REJECT", promise=None)
OTHERS = [dataclasses.replace(AUTO, model_version=f"v{number}") for number in range(2, 7)]


def seen(number: int, correct: bool, *, at: float | None = None, confidence: float | None = 0.95):
    moment = float(number) if at is None else at
    return Observation(
        decision_id=f"d{number:06d}",
        recorded_at=moment,
        decided_at=moment - 0.5,
        correct=bool(correct),
        confidence=confidence,
    )


def stream_of(outcomes, start: int = 0, **changes):
    return [seen(start + number, correct, **changes) for number, correct in enumerate(outcomes)]


def feed(states, observations, now: float = 1e6, rate: float = 0.05):
    return alarm_rules.feed(states, observations, rate=rate, now=now)


def bad(n: int, every: int = 5) -> list[bool]:
    return [number % every != 0 for number in range(n)]


@given(
    outcomes=st.lists(st.booleans(), min_size=1, max_size=40),
    others=st.lists(st.booleans(), max_size=40),
    cut=st.integers(0, 40),
)
@settings(max_examples=60, deadline=None)
def test_however_the_labels_are_cut_into_looks_the_evidence_is_the_same(outcomes, others, cut) -> None:
    one, two = stream_of(outcomes), stream_of(others, start=10_000, at=None)
    two = [
        dataclasses.replace(each, recorded_at=float(number) + 0.5, decided_at=float(number))
        for number, each in enumerate(two)
    ]
    both = {AUTO: one, REJECT: two}
    whole = feed({}, both)
    part = feed(
        {},
        {
            AUTO: [each for each in one if each.recorded_at < cut],
            REJECT: [e for e in two if e.recorded_at < cut],
        },
    )
    again = feed(feed(part, both), both)
    assert again == whole
    assert [state.decode(state.encode(each)) for each in whole.values()] == list(whole.values())


def test_a_stream_counts_among_the_others_from_its_first_label_on() -> None:
    """Else an alarm would depend on what else a look happened to find."""
    one = stream_of(bad(60), confidence=None)
    later = {
        stream: [
            dataclasses.replace(each, decision_id=f"{stream.model_version}-{each.decision_id}")
            for each in stream_of([True] * 5, start=1000, confidence=None)
        ]
        for stream in OTHERS
    }
    apart = feed(feed({}, {AUTO: one}), {AUTO: one} | later)
    assert len(apart[AUTO].alarms) == 1
    assert feed({}, {AUTO: one} | later) == apart


def test_the_detectors_get_what_they_are_for() -> None:
    rng = np.random.default_rng(3)
    outcomes, confidences = rng.random(60) < 0.8, rng.random(60)
    given = [
        seen(number, ok, confidence=p)
        for number, (ok, p) in enumerate(zip(outcomes, confidences, strict=True))
    ]
    (made,) = feed({}, {AUTO: given}).values()
    assert (made.labels, made.correct) == (60, int(outcomes.sum()))
    assert made.mixture_log_e == BetaMixture.default(0.95).log_e(made.correct, 60 - made.correct)
    path = paths.change(ShiryaevRoberts.start(0.95), outcomes)
    assert made.change_log_statistic == pytest.approx(path[-1], rel=1e-12)
    drift = paths.drift(CalibrationDrift(), outcomes, confidences)
    assert made.drift.log_e == pytest.approx(drift[-1], rel=1e-9)
    assert made.began_at == 0.0
    assert made.last_label_at == 59.0
    assert made.newest_decided_at == 58.5


def test_an_alarm_is_raised_at_the_label_that_brings_the_evidence_and_not_before() -> None:
    """Against the vectorised paths: one stream alone raises its alarm exactly as the simulated pair does."""
    rng = np.random.default_rng(11)
    outcomes = np.concatenate([rng.random(400) < 0.96, rng.random(400) < 0.8])
    thresholds = Thresholds.of(0.05)
    mixture = paths.mixture(BetaMixture.default(0.95), outcomes)
    change = paths.change(ShiryaevRoberts.start(0.95), outcomes)
    reached = (mixture >= thresholds.mixture_log_e) | (change >= thresholds.change_log_statistic)
    first = int(np.argmax(reached))
    assert first > 400, "the world changed there"
    (made,) = feed({}, {AUTO: stream_of(outcomes, confidence=None)}).values()
    (alarm,) = made.alarms
    assert (alarm.kind, alarm.detector) == ("ACCURACY", "change")
    assert (alarm.labels, alarm.correct) == (first + 1, int(outcomes[: first + 1].sum()))
    assert (alarm.label_at, alarm.fired_at) == (float(first), 1e6)
    assert alarm.log_evidence == pytest.approx(change[first])
    assert alarm.log_needed == thresholds.change_log_statistic
    (before,) = feed({}, {AUTO: stream_of(outcomes[:first], confidence=None)}).values()
    assert before.alarms == ()


def test_an_alarm_stays_with_its_evidence_and_is_raised_once() -> None:
    fired = feed({}, {AUTO: stream_of(bad(100), confidence=None)}, now=5.0)
    (alarm,) = fired[AUTO].alarms
    assert alarm.detector == "mixture"
    better = [*stream_of(bad(100), confidence=None), *stream_of([True] * 3000, start=100, confidence=None)]
    later = feed(fired, {AUTO: better}, now=9.0)
    assert later[AUTO].mixture_log_e < 0.0, "the evidence is gone by now"
    assert later[AUTO].alarms == (alarm,)


def test_a_late_label_counts_once_behind_the_others() -> None:
    early = stream_of(bad(30))
    late = seen(999, False, at=3.5)
    first = feed({}, {AUTO: early})
    merged = sorted([*early, late], key=lambda each: each.moment)
    second = feed(first, {AUTO: merged})
    assert second[AUTO].labels == 31
    assert second[AUTO].change == first[AUTO].change.updated(False)
    assert second[AUTO].last_label_at == first[AUTO].last_label_at
    assert feed(second, {AUTO: merged}) == second


def test_a_label_that_is_corrected_later_counts_as_it_did() -> None:
    first = feed({}, {AUTO: stream_of([True] * 10)})
    corrected = [seen(3, False, at=50.0), *stream_of([True] * 3), *stream_of([True] * 6, start=4)]
    assert feed(first, {AUTO: sorted(corrected, key=lambda each: each.moment)}) == first


def test_where_many_bands_are_watched_one_needs_more_evidence() -> None:
    """e-BH: alone a stream needs a pair of 20 : 1, among six of which none else speaks up 120 : 1."""
    outcomes = bad(250, every=7)
    (alone,) = feed({}, {AUTO: stream_of(outcomes, confidence=None)}).values()
    healthy = {
        stream: [
            dataclasses.replace(each, decision_id=f"{stream.model_version}-{each.decision_id}")
            for each in stream_of([True] * 250, confidence=None)
        ]
        for stream in OTHERS
    }
    among = feed({}, {AUTO: stream_of(outcomes, confidence=None)} | healthy)
    (first,), (second,) = alone.alarms, among[AUTO].alarms
    assert second.labels > first.labels
    assert all(not among[other].alarms for other in OTHERS)
    family = alarm_rules.accuracy_family(among.values(), 0.05)
    assert family.named == {AUTO}
    assert family.log_needed == pytest.approx(math.log(6 / (2 * 0.05)))
    # Where all of them break, none needs more than alone.
    broken = {
        stream: [
            dataclasses.replace(each, decision_id=f"{stream.model_version}-{each.decision_id}")
            for each in stream_of(outcomes, confidence=None)
        ]
        for stream in OTHERS
    }
    together = feed({}, {AUTO: stream_of(outcomes, confidence=None)} | broken)
    assert [len(each.alarms) for each in together.values()] == [1] * 6
    assert {each.alarms[0].labels for each in together.values()} <= {first.labels, first.labels + 1}


def test_drift_of_what_promises_nothing_is_a_calibration_alarm_only() -> None:
    (made,) = feed({}, {REJECT: stream_of([True] * 40, confidence=0.3)}).values()
    (alarm,) = made.alarms
    assert (alarm.kind, alarm.detector) == ("CALIBRATION", "drift")
    assert alarm.log_evidence >= math.log(20.0) == alarm.log_needed
    assert made.mixture_log_e == 0.0
    assert made.change is None


def test_labels_without_confidence_say_nothing_about_calibration() -> None:
    (made,) = feed({}, {AUTO: stream_of([True] * 40, confidence=None)}).values()
    assert made.drift.labels == 0
    assert made.drift.log_e == 0.0


def test_taking_note_begins_anew_and_forgets_no_label() -> None:
    given = stream_of(bad(100), confidence=None)
    fired = feed({}, {AUTO: given}, now=5.0)[AUTO]
    calm = fired.acknowledged(by="ada", reason="the feed was broken", at=200.0)
    assert (calm.labels, calm.correct, calm.mixture_log_e, calm.began_at) == (0, 0, 0.0, 200.0)
    (alarm,) = calm.alarms
    assert not alarm.is_open
    assert (alarm.acknowledged_by, alarm.acknowledged_reason) == ("ada", "the feed was broken")
    assert feed({AUTO: calm}, {AUTO: given})[AUTO] == calm, "the old labels are not fed again"
    more = [*given, *stream_of(bad(100), start=100, confidence=None)]
    again = feed({AUTO: calm}, {AUTO: more})[AUTO]
    assert again.labels == 100
    assert [each.is_open for each in again.alarms] == [False, True], "the next breach is found"
    with pytest.raises(errors.RequestRefused, match="has no open alarm"):
        calm.acknowledged(by="ada", reason="again", at=201.0)


def test_what_cannot_be_read_is_refused_with_what_to_do() -> None:
    text = state.encode(StreamState.start(AUTO, at=0.0))
    for broken in (
        "{}",
        text.replace('"schema":1', '"schema":2'),
        text[:-5],
        text.replace("[0.0,", "[-1.0,"),
    ):
        assert broken != text
        with pytest.raises(errors.RequestRefused, match="cannot be read by this version"):
            state.decode(broken)
