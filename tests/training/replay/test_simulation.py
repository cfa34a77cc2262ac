"""A past that is lived through honestly: the loop knows its own labels, when they are known, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import calibrators
from calibrators import AppliesTo, Calibrator, Platt
from sidecar.decision import decide, draws
from sidecar.policy.actions import Action
from tests import builders
from training.replay import chronicle, periods, routing, simulation
from training.replay.routing import History
from training.replay.simulation import Plan, ReplayStep

Make = Callable[..., Any]


def calibrator() -> Calibrator:
    """The true one: half the logit, and a half more."""
    return Calibrator(
        Platt(0.5, 0.5, "logit"),
        applies_to=AppliesTo(model="leads", model_versions=None, evidence="score"),
    )


def told(steps: list[ReplayStep]) -> list[Any]:
    return [
        (
            step.routed.actions.tolist(),
            step.routed.drawn.tolist(),
            step.epoch,
            step.alarms,
            None if step.retrain is None else (step.retrain.labels, step.retrain.kind, step.retrain.promoted),
        )
        for step in steps
    ]


def labelled(steps: list[ReplayStep]) -> np.ndarray:
    return np.concatenate([step.routed.rows[step.routed.held | step.routed.drawn] for step in steps])


def test_every_row_is_decided_once_in_order(make_history: Make, make_plan: Make) -> None:
    history = make_history(days=50)
    steps = list(simulation.live(history, make_plan(calibrator=calibrator())))
    rows = np.concatenate([step.routed.rows for step in steps])
    assert rows.tolist() == list(range(len(history)))
    assert [step.retrain is None for step in steps] == [False, False, True]


def test_what_nobody_labelled_changes_nothing(make_history: Make, make_plan: Make) -> None:
    """The law of the replay: truth that the loop could not have known has no influence on it."""
    history: History = make_history(days=80, broken_from=40)
    plan: Plan = make_plan()
    steps = list(simulation.live(history, plan))
    unknown = np.ones(len(history), dtype=bool)
    unknown[labelled(steps)] = False
    assert 0.2 < unknown.mean() < 0.95
    flipped = replace(history, correct=history.correct ^ unknown)
    assert told(list(simulation.live(flipped, plan))) == told(steps)
    known = replace(history, correct=history.correct ^ ~unknown)
    assert told(list(simulation.live(known, plan))) != told(steps)


def test_a_label_is_known_only_after_its_delay(make_history: Make, make_plan: Make) -> None:
    history = make_history(days=50)
    late = make_plan(label_seconds=200 * 86400.0)
    retrains = [step.retrain for step in simulation.live(history, late) if step.retrain is not None]
    assert [each.labels for each in retrains] == [0, 0]
    assert all("no label yet" in each.told for each in retrains)


def test_without_a_calibrator_everything_is_held_until_the_first_is_promoted(
    make_history: Make, make_plan: Make
) -> None:
    first, *later = simulation.live(make_history(), make_plan())
    assert first.routed.held.all()
    assert first.retrain is not None
    assert first.retrain.promoted
    assert later[0].epoch == 1
    assert later[0].routed.acted.any()


def test_rows_are_routed_by_the_function_that_decides_live(make_history: Make, make_plan: Make) -> None:
    history, plan = make_history(days=10), make_plan()
    held = calibrator()
    rows = np.arange(len(history))
    routed = routing.route(history, rows, plan.table, held, key=plan.key)
    for row in range(0, len(history), 7):
        query = builders.query(float(history.scores[row]), category=history.categories[row])
        verdict = decide.decide(query, plan.table, held, stale_seconds=0.0)
        assert (routed.actions[row], routed.bands[row]) == (verdict.action, verdict.band)
        assert routed.audit_rate[row] == verdict.audit_rate
        draw = draws.audit_draw(plan.key, f"row-{row}")
        assert routed.drawn[row] == (draw < verdict.audit_rate)
    mandatory = history.categories == "pricing"
    assert mandatory.any()
    assert set(routed.actions[mandatory]) == {Action.HOLD_FOR_REVIEW}
    assert not routed.acted[mandatory].any()


def test_another_audit_rate_takes_the_place_of_the_policys_wherever_it_draws(
    make_history: Make, make_plan: Make
) -> None:
    history, plan = make_history(days=10), make_plan()
    rows = np.arange(len(history))
    routed = routing.route(history, rows, plan.table, calibrator(), key=plan.key, audit_rate=0.3)
    assert set(routed.audit_rate[~routed.held]) == {0.3}
    assert set(routed.audit_rate[routed.held]) == {0.0}


@pytest.mark.parametrize(("broken_from", "expected"), [(None, False), (60, True)])
def test_a_promise_that_breaks_raises_an_alarm_and_one_that_holds_does_not(
    make_history: Make, make_plan: Make, broken_from: int | None, expected: bool
) -> None:
    history = make_history(broken_from=broken_from)
    plan = make_plan(calibrator=calibrator(), audit_rate=0.4)
    alarms = [raised for step in simulation.live(history, plan) for raised in step.alarms]
    accuracy = [raised for raised in alarms if raised.alarm.kind == "ACCURACY"]
    assert bool(accuracy) is expected
    for raised in accuracy:
        assert raised.stream.band in ("auto", "flagged")
        assert raised.alarm.label_at > history.times[0] + 60 * 86400.0


def test_a_calibrator_of_another_model_serves_the_history_and_one_of_logits_does_not(make_plan: Make) -> None:
    from training import errors

    entry = make_plan().entry
    foreign = Calibrator(
        Platt(0.5, 0.5, "logit"),
        applies_to=AppliesTo(model="other", model_versions=("v1",), evidence="positive_probability"),
    )
    served = routing.serving(foreign, "leads", entry).applies_to
    assert served is not None
    assert (served.model, served.model_versions) == ("leads", None)
    vector = Calibrator(
        calibrators.VectorTemperature(2.0),
        applies_to=AppliesTo(model="m", model_versions=None, evidence="logits"),
    )
    with pytest.raises(errors.RequestRefused, match="takes logits"):
        routing.serving(vector, "leads", entry)


def test_the_table_counts_what_happened(make_history: Make, make_plan: Make) -> None:
    history = make_history(days=90)
    plan = make_plan(calibrator=calibrator(), audit_rate=0.4)
    steps = list(simulation.live(history, plan))
    table = periods.of(history, steps, "month")
    assert [row.period for row in table if row.band == "auto"] == ["2025-01-01", "2025-02-01", "2025-03-01"]
    assert sum(row.decisions for row in table) == len(history)
    totals = chronicle.totals(history, steps)
    for count, name in (("acted", "acted"), ("held", "held"), ("drawn", "audits")):
        assert sum(getattr(row, count) for row in table) == totals[name]
    autos = [row for row in table if row.band == "auto"]
    acted = np.concatenate([step.routed.acted & (step.routed.bands == "auto") for step in steps])
    truth = history.correct[np.concatenate([step.routed.rows for step in steps])][acted].mean()
    weighted = sum(row.truth * row.acted for row in autos if row.truth) / sum(row.acted for row in autos)
    assert weighted == pytest.approx(truth)
    assert all(row.low <= (row.estimate or 0.0) <= row.high for row in autos)
    assert sum(row.low <= (row.truth or 0.0) <= row.high for row in autos) >= 2
    rejected = [row for row in table if row.band == "reject"]
    assert all(row.truth is None and row.acted == 0 for row in rejected)


def test_an_alarm_suspends_its_band_where_the_policy_says_so(make_history: Make, make_plan: Make) -> None:
    bands = (
        "bands: [{name: auto, from: 0.9, action: AUTO_ROUTE, on_breach: hold}, "
        "{name: rest, from: 0.0, action: HOLD_FOR_REVIEW}]"
    )
    text = (
        "version: 1\nmodels: {leads: {calibrator: 'models:/leads@champion', evidence: score, watch: "
        f"{{false_alarm_rate: 0.05}}, {bands}}}}}\n"
    )
    history = make_history(broken_from=40)
    plan = make_plan(text, calibrator=calibrator(), audit_rate=0.4, retrain_seconds=10 * 86400.0)
    fired = suspended = False
    for step in simulation.live(history, plan):
        free = (step.routed.bands == "auto") & (history.categories[step.routed.rows] != "pricing")
        assert set(step.routed.acted[free].tolist()) == {not fired}
        fired = fired or any(raised.alarm.kind == "ACCURACY" for raised in step.alarms)
        suspended = suspended or fired
        if step.retrain is not None and step.retrain.promoted:
            fired = False
    assert suspended
    mild = make_plan(
        text.replace("on_breach: hold", "on_breach: alarm"), calibrator=calibrator(), audit_rate=0.4
    )
    for step in simulation.live(history, mild):
        free = (step.routed.bands == "auto") & (history.categories[step.routed.rows] != "pricing")
        assert step.routed.acted[free].all()


def test_scores_that_move_are_a_warning(make_history: Make, make_plan: Make) -> None:
    history = make_history(days=80)
    moved = replace(
        history,
        scores=np.where(history.times > history.times[0] + 60 * 86400.0, history.scores**4, history.scores),
    )
    warned = [step.shift.warns for step in simulation.live(moved, make_plan()) if step.shift is not None]
    calm = [step.shift.warns for step in simulation.live(history, make_plan()) if step.shift is not None]
    assert warned[-1]
    assert not any(calm)
