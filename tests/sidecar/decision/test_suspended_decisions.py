"""The brake and the floors file on the whole way to a decision, and back again by recomputation."""

import dataclasses
import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import calibrators
from calibrators import Constant
from sidecar import errors
from sidecar.decision import recompute
from sidecar.decision.suspensions import Scope, Suspension
from sidecar.policy import floors_file, loading
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, AnswerSource, Reason
from sidecar.service.in_force import policy_file
from sidecar.service.registry import CalibratorSlot
from tests import builders
from tests.sidecar import services

ordinary = settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow], deadline=None)
CHAIN = """
version: 1
models:
  lead-classifier:
    calibrator: models:/lead-classifier-calibrator@champion
    evidence: score
    categories: {general: {}}
    fallback:
      - step: rules
        rules: [{name: known, when: "category == 'general'", answer: not_now, calibrator: "models:/r@champion"}]
"""
FLOORS = {
    "version": 1,
    "mandatory_categories": ["refunds"],
    "models": {"lead-classifier": {"mandatory_ranges": {"general": [{"from": 0.5, "to": 1.0}]}}},
    "detectors": [{"name": "threat", "category": "legal", "pattern": "attorney"}],
}


def suspension(**scope):
    return Suspension(
        suspension_id="a" * 32,
        scope=Scope(**scope),
        explanation="why",
        suspended_by="ada",
        suspended_at=1.0,
        sidecar_id="s",
    )


def suspend(made, *active):
    made.snapshot = dataclasses.replace(made.snapshot, suspensions=active)


def recomputed(made, floors_text=None):
    """The differences between the recorded decision and what its stored inputs come to."""
    decision = builders.read_back(made.journal.decisions[-1])
    text = None
    if decision.provenance.calibrator is not None:
        text = next(
            calibrators.dumps(each.calibrator)
            for each in made.snapshot.calibrators.values()
            if each.calibrator.digest == decision.provenance.calibrator.digest
        )
    canonical = made.snapshot.policy.loaded.canonical
    return recompute.differences(decision, recompute.recompute(decision, canonical, text, floors_text))


@pytest.mark.slow
@ordinary
@given(data=st.data())
def test_nothing_that_is_suspended_acts_or_is_rejected(data, scenarios):
    scenario = data.draw(scenarios)
    made = services.bare(scenario.policy, scenario.calibrators)
    scope = {
        "model": data.draw(st.sampled_from(("", "lead-classifier"))),
        "model_version": data.draw(st.sampled_from(("", scenario.query.model_version))),
        "tenant": data.draw(st.sampled_from((None, scenario.query.tenant))),
        "source": data.draw(st.sampled_from((None, AnswerSource.PRIMARY))),
    }
    suspend(made, suspension(**scope))
    try:
        answer = made.router.route(scenario.query)
    except errors.InvalidRequest:
        return
    decision = answer.decision
    assert not decision.may_act
    assert decision.action in PERSON_ACTIONS
    assert Reason.SUSPENDED in decision.reasons
    assert recomputed(made) == []


@pytest.mark.slow
@ordinary
@given(data=st.data())
def test_a_decision_under_floors_recomputes_bit_for_bit(data, scenarios):
    scenario = data.draw(scenarios)
    made = services.bare(scenario.policy, scenario.calibrators)
    floors = floors_file.parse(json.dumps(FLOORS))
    bound = policy_file.admit(loading.parse(scenario.policy), floors, since=0.0)
    made.snapshot = dataclasses.replace(made.snapshot, policy=bound)
    text = data.draw(st.sampled_from(("", "my attorney", "hello")))
    query = msgspec.structs.replace(scenario.query, context={"body": text} if text else {})
    try:
        decision = made.router.route(query).decision
    except errors.InvalidRequest:
        return
    assert decision.provenance.floors_digest == floors.digest
    if decision.query.category == "refunds" or text == "my attorney":
        assert decision.action in PERSON_ACTIONS
        assert decision.verdict.mandatory
    assert recomputed(made, floors.canonical) == []
    with pytest.raises(errors.FloorsRefused, match="not in the ledger"):
        recomputed(made)
    with pytest.raises(errors.FloorsRefused, match="the stored floors have digest"):
        recomputed(made, floors_file.parse("version: 1").canonical)


def test_a_decision_under_floors_recomputes_under_a_version_that_knows_one_more_key(monkeypatch):
    class NewerFloors(floors_file.Floors):
        of_tomorrow: bool = False

    class NewerPolicy(loading.Policy):
        of_tomorrow: bool = False

    made = services.bare()
    floors = floors_file.parse(json.dumps(FLOORS))
    bound = policy_file.admit(made.snapshot.policy.loaded, floors, since=0.0)
    made.snapshot = dataclasses.replace(made.snapshot, policy=bound)
    made.router.route(builders.query(0.95))

    monkeypatch.setattr(floors_file, "Floors", NewerFloors)
    monkeypatch.setattr(loading, "Policy", NewerPolicy)
    assert floors_file.parse(floors.canonical).digest != made.journal.decisions[-1].provenance.floors_digest
    assert recomputed(made, floors.canonical) == []


@pytest.fixture
def with_rules():
    """A service whose answers at 0.6 are cleared by a rule of a known accuracy of 0.97."""
    made = services.bare(CHAIN)
    rule = builders.calibrator_in_force(Constant(0.97), source="rules")
    held = {**made.snapshot.calibrators, CalibratorSlot("lead-classifier", "", "rules/known"): rule}
    made.snapshot = dataclasses.replace(made.snapshot, calibrators=held)
    return made


def test_a_rule_clears_what_is_not_suspended(with_rules):
    suspend(with_rules, suspension(source=AnswerSource.SECONDARY), suspension(category="refunds"))
    decision = with_rules.router.route(builders.query(0.6)).decision
    assert decision.verdict.source is AnswerSource.RULES
    assert decision.action in AUTOMATIC_ACTIONS
    assert recomputed(with_rules) == []


@pytest.mark.parametrize(
    ("scope", "of_primary"),
    [
        ({"source": AnswerSource.RULES}, False),
        ({"band": "auto"}, False),  # in which the rule's answer would be
        (
            {"source": AnswerSource.RULES, "band": "flagged"},
            False,
        ),  # its band is not known before it is asked
        ({"source": AnswerSource.PRIMARY}, True),
        ({}, True),
    ],
)
def test_a_suspended_step_is_not_asked_and_the_answer_waits(with_rules, scope, of_primary):
    suspend(with_rules, suspension(**scope))
    decision = with_rules.router.route(builders.query(0.6)).decision
    assert decision.verdict.source is AnswerSource.PRIMARY
    assert decision.action in PERSON_ACTIONS
    step = decision.steps[0]
    assert (step.step, step.outcome, step.code) == ("rules", "SKIPPED", "SUSPENDED")
    assert (Reason.SUSPENDED in decision.reasons) is of_primary
    assert recomputed(with_rules) == []
