"""The router with everything that narrows: detectors, suspensions, the fallback chain; and that it recomputes."""

import dataclasses

import pytest

import calibrators
from sidecar.decision import recompute
from sidecar.decision.suspensions import Scope, Suspension
from sidecar.policy import loading
from sidecar.policy.actions import Action, AnswerSource, Reason, TaskKind
from tests import builders
from tests.sidecar import services

POLICY = """
version: 1
detectors:
  - {name: contract_words, category: legal_language, fields: [text], pattern: 'hereby|pursuant to'}
models:
  lead-classifier:
    calibrator: models:/c@champion
    evidence: score
    categories: {general: {}, pricing: {mandatory_review: true}}
    fallback:
      - step: rules
        bands: [hold]
        rules:
          - name: keyword
            when: 'attributes.keyword == "stop"'
            answer: unsubscribe
            action: AUTO_ROUTE
            calibrator: models:/rule-keyword@champion
"""


@pytest.fixture
def made():
    """A service whose rule is worth 0.93."""
    made = services.bare(POLICY)
    rule = builders.calibrator_in_force(calibrators.Constant(0.93), source="rules", versions=("keyword",))
    held = {**made.snapshot.calibrators, ("lead-classifier", "", "rules/keyword"): rule}
    made.snapshot = dataclasses.replace(made.snapshot, calibrators=held)
    return made


def suspended(made, **scope):
    each = Suspension(
        suspension_id="s1",
        scope=Scope(**scope),
        explanation="complaints",
        suspended_by="ada",
        suspended_at=1.0,
        sidecar_id="a",
    )
    made.snapshot = dataclasses.replace(made.snapshot, suspensions=(each,))


def assert_recomputes(made, decision):
    stored = builders.read_back(decision)
    calibrator = calibrators.dumps(made.snapshot.calibrators[("lead-classifier", "", "primary")].calibrator)
    verdict = recompute.recompute(stored, made.snapshot.policy.loaded.canonical, calibrator)
    assert recompute.differences(stored, verdict) == []


def test_a_rule_clears_a_held_answer_and_says_so(made):
    decision = made.router.route(builders.query(0.60, attributes={"keyword": "stop"})).decision
    assert decision.action is Action.AUTO_ROUTE
    assert decision.may_act
    assert decision.verdict.source is AnswerSource.RULES
    assert (decision.query.predicted_class, decision.final_class) == ("interested", "unsubscribe")
    assert Reason.RULE in decision.reasons
    assert [(step.step, step.outcome, step.rule) for step in decision.steps] == [
        ("rules", "CLEARED", "keyword")
    ]
    assert decision.steps[0].calibrated_confidence == 0.93
    assert_recomputes(made, decision)


def test_a_rule_that_does_not_match_leaves_the_hold(made):
    decision = made.router.route(builders.query(0.60, attributes={"keyword": "go"})).decision
    assert decision.action is Action.HOLD_FOR_REVIEW
    assert [(step.step, step.outcome, step.code) for step in decision.steps] == [
        ("rules", "NO_ANSWER", ""),
        ("review", "NO_ANSWER", "PENDING"),
    ]
    assert [task.kind for task in decision.tasks] == [TaskKind.HOLD]
    assert_recomputes(made, decision)


def test_no_rule_decides_what_a_person_must_see(made):
    asked = builders.query(0.60, category="pricing", attributes={"keyword": "stop"})
    decision = made.router.route(asked).decision
    assert decision.action is Action.HOLD_FOR_REVIEW
    assert decision.steps[0].outcome == "SKIPPED"
    assert decision.steps[0].code == "MANDATORY_REVIEW"
    assert_recomputes(made, decision)


@pytest.mark.parametrize("score", [0.99, 0.60, 0.01])
def test_a_detector_holds_whatever_was_declared(made, score):
    asked = builders.query(score, context={"text": "We Hereby agree"}, attributes={"keyword": "stop"})
    decision = made.router.route(asked).decision
    assert not decision.may_act
    assert decision.action in (Action.HOLD_FOR_REVIEW, Action.ESCALATE)
    assert decision.verdict.mandatory
    assert Reason.DETECTOR in decision.reasons
    assert_recomputes(made, decision)


@pytest.mark.parametrize(
    "scope", [{}, {"model": "lead-classifier"}, {"band": "auto"}, {"category": "general"}, {"tenant": ""}]
)
def test_a_suspension_that_covers_an_answer_holds_it(made, scope):
    assert made.router.route(builders.query(0.99)).decision.may_act
    suspended(made, **scope)
    decision = made.router.route(builders.query(0.99)).decision
    assert decision.action is Action.HOLD_FOR_REVIEW
    assert Reason.SUSPENDED in decision.reasons
    assert [hit.floor for hit in decision.verdict.floors] == ["suspension:s1"]
    assert [task.kind for task in decision.tasks] == [TaskKind.HOLD]
    assert_recomputes(made, decision)


@pytest.mark.parametrize("scope", [{"model": "another"}, {"band": "hold"}, {"tenant": "acme"}])
def test_a_suspension_of_something_else_changes_nothing(made, scope):
    suspended(made, **scope)
    assert made.router.route(builders.query(0.99)).decision.may_act


def test_suspended_rules_decide_nothing_and_the_primary_goes_on(made):
    suspended(made, source=AnswerSource.RULES)
    decision = made.router.route(builders.query(0.60, attributes={"keyword": "stop"})).decision
    assert decision.action is Action.HOLD_FOR_REVIEW
    assert (decision.steps[0].outcome, decision.steps[0].code) == ("SKIPPED", "SUSPENDED")
    assert made.router.route(builders.query(0.99)).decision.may_act
    assert_recomputes(made, decision)


def test_a_retry_does_not_act_once_its_answer_is_suspended(made):
    asked = builders.query(0.99, request_id="r-1")
    first = made.router.route(asked)
    assert first.decision.may_act
    suspended(made, band="auto")
    again = made.router.route(asked)
    assert not again.decision.may_act
    assert not again.replayed
    assert Reason.SUSPENDED in again.decision.reasons
    assert again.decision.decision_id == first.decision.decision_id
    suspended(made, band="hold")
    assert made.router.route(asked).decision.answer_id == again.decision.answer_id


REQUIRING = services.POLICY.replace(
    "evidence: score", "evidence: score\n    require_context: [text, subject]"
)


@pytest.mark.parametrize(
    ("context", "missing"),
    [
        ({}, ["text", "subject"]),
        ({"text": "hello", "subject": " \u200b\n"}, ["subject"]),
        ({"body": "hello", "subject": "hi"}, ["text"]),
        ({"text": "hello", "subject": "hi"}, []),
    ],
)
def test_an_answer_without_the_context_that_the_policy_requires_waits_for_a_person(context, missing):
    made = services.bare(REQUIRING)
    decision = made.router.route(builders.query(context=context)).decision
    assert decision.may_act is not bool(missing)
    assert [hit.floor for hit in decision.verdict.floors] == [
        f"required_context:{field}" for field in missing
    ]
    assert (Reason.CONTEXT_MISSING in decision.reasons) is bool(missing)
    assert decision.verdict.mandatory is bool(missing), "no fallback step may act either"
    loaded = loading.parse(REQUIRING)
    calibrator = calibrators.dumps(builders.calibrator_in_force().calibrator)
    again = recompute.recompute(decision, loaded.canonical, calibrator)
    assert recompute.differences(decision, again) == []
