"""Recorded decisions under another policy: the same functions, the same inputs, and nothing made up."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar import errors
from sidecar.decision import recompute
from sidecar.decision.difference import Side
from sidecar.decision.steps import CalibratorReference, FallbackStep
from sidecar.decision.suspensions import Scope, Suspension, floor
from sidecar.policy import floors_file, loading
from sidecar.policy.actions import AnswerSource, Reason
from tests import builders
from tests.sidecar import services

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/lead-classifier-calibrator@champion
    evidence: score
    categories: {general: {}, refunds: {}}
"""
RULES = POLICY + "    fallback: [{step: rules, rules: [{name: known, when: 'true', answer: not_now}]}]\n"
ordinary = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def compiled(text=POLICY, floors=None):
    given_floors = None if floors is None else floors_file.parse(floors)
    return recompute.compile_side(Side(policy=loading.parse(text), floors=given_floors))


@pytest.fixture
def recorded():
    """Makes a recorded decision, and the calibrator it was made with."""

    def make(score=0.95, *, policy=POLICY, **changes):
        made = services.bare(policy)
        made.router.route(builders.query(score, **changes))
        (decision,) = made.journal.decisions
        return decision, next(iter(made.snapshot.calibrators.values())).calibrator

    return make


@pytest.mark.parametrize(
    ("score", "action"), [(0.95, "AUTO_ROUTE"), (0.6, "HOLD_FOR_REVIEW"), (0.2, "REJECT")]
)
def test_under_its_own_policy_a_decision_goes_where_it_went(recorded, score, action):
    decision, calibrator = recorded(score)
    assert decision.action == action
    assert recompute.outcome(decision, calibrator, compiled()) == action


def test_under_other_bands_it_goes_elsewhere(recorded):
    decision, calibrator = recorded(0.95)
    stricter = (
        POLICY
        + "    bands: [{name: a, from: 0.96, action: AUTO_ROUTE}, {name: r, from: 0, action: ESCALATE}]"
    )
    assert recompute.outcome(decision, calibrator, compiled(stricter)) == "ESCALATE"


def test_floors_and_detectors_bind_again(recorded):
    decision, calibrator = recorded(0.95, context={"body": "Ask my attorney"})
    assert recompute.outcome(decision, calibrator, compiled()) == "AUTO_ROUTE"
    for floors in (
        "version: 1\nmandatory_categories: [General]",
        "version: 1\ndetectors: [{name: d, category: legal, pattern: attorney}]",
    ):
        assert recompute.outcome(decision, calibrator, compiled(floors=floors)) == "HOLD_FOR_REVIEW"


def test_a_suspension_that_bound_binds_again_and_an_old_detector_does_not(recorded):
    """Detectors belong to the policy that is tried; a suspension was a fact of that day."""
    decision, calibrator = recorded(0.95)
    suspension = floor(
        Suspension(
            suspension_id="a" * 32, scope=Scope(), explanation="e", suspended_by="ada", suspended_at=1.0,
            sidecar_id="s",
        )
    )  # fmt: skip
    detector = msgspec.structs.replace(suspension, floor="detector:d:legal", reason=Reason.DETECTOR)
    suspended, detected = (builders.altered(decision, floors=(hit,)) for hit in (suspension, detector))
    assert recompute.outcome(suspended, calibrator, compiled()) == "HOLD_FOR_REVIEW"
    assert recompute.outcome(detected, calibrator, compiled()) == "AUTO_ROUTE"


def test_where_nothing_is_enforced_the_answer_says_so(recorded):
    decision, calibrator = recorded(0.95)
    observing = POLICY.replace("evidence: score", "evidence: score\n    mode: observe")
    assert recompute.outcome(decision, calibrator, compiled(observing)) == "AUTO_ROUTE (not enforced)"


def test_a_model_that_the_policy_does_not_have_gets_no_decision(recorded):
    decision, calibrator = recorded()
    other = compiled(POLICY.replace("lead-classifier:", "other:"))
    assert recompute.outcome(decision, calibrator, other) == recompute.UNKNOWN_MODEL


def test_a_step_that_was_not_asked_is_named(recorded):
    decision, calibrator = recorded(0.6)
    assert (
        recompute.outcome(decision, calibrator, compiled(RULES)) == "HOLD_FOR_REVIEW, unless rules clears it"
    )
    barred, _ = recorded(0.6, category="pricing")
    assert recompute.outcome(barred, calibrator, compiled(RULES)) == "HOLD_FOR_REVIEW"


def test_a_step_that_was_asked_counts_with_what_it_answered(recorded):
    decision, calibrator = recorded(0.6)
    reference = CalibratorReference(name="r", kind="constant", digest="sha256:0")
    step = FallbackStep(
        step="rules", outcome="CLEARED", rule="known", answer_class="not_now", calibrated_confidence=0.97,
        calibrator=reference,
    )  # fmt: skip
    cleared = builders.altered(decision, steps=(step,), source=AnswerSource.RULES)
    assert recompute.outcome(cleared, calibrator, compiled(RULES)) == "AUTO_ROUTE by rules"
    assert recompute.outcome(cleared, calibrator, compiled()) == "HOLD_FOR_REVIEW"
    weak = msgspec.structs.replace(step, calibrated_confidence=0.6, outcome="NOT_CLEARED")
    asked = builders.altered(decision, steps=(weak,))
    assert recompute.outcome(asked, calibrator, compiled(RULES)) == "HOLD_FOR_REVIEW"


@pytest.mark.slow
@ordinary
@given(data=st.data())
def test_under_its_own_policy_every_decision_goes_where_it_went(data, scenarios):
    scenario = data.draw(scenarios)
    made = services.bare(scenario.policy, scenario.calibrators)
    try:
        made.router.route(scenario.query)
    except errors.InvalidRequest:
        return
    (decision,) = made.journal.decisions
    digest = None if decision.provenance.calibrator is None else decision.provenance.calibrator.digest
    calibrator = next(
        (each.calibrator for each in made.snapshot.calibrators.values() if each.calibrator.digest == digest),
        None,
    )
    told = recompute.outcome(decision, calibrator, compiled(scenario.policy))
    assert told.split(",")[0].split(" ")[0] == decision.action
