"""What no request, policy, calibrator or bad state can bend, tried with whatever hypothesis thinks of."""

from collections import Counter
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibrators import evidence
from sidecar import errors
from sidecar.policy import categories
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, Action, Intent, Reason, TaskKind
from sidecar.service.deciding import decider
from tests import builders
from tests.sidecar import services

BUILT_IN = {"legal_language", "pricing", "account_strategy"}
STALE_SECONDS = {"0s": 0.0, "0.5s": 0.5, "1.1h": 3960.0, "1d": 86400.0}
DECISIVE = AUTOMATIC_ACTIONS | {Action.REJECT}
ordinary = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def section_of(scenario):
    """What the policy file says about the scenario's category; None where it does not list it."""
    wanted = categories.normalise(scenario.category)
    listed = {categories.normalise(name): entry for name, entry in scenario.section["categories"].items()}
    return listed.get(wanted)


def number_of(scenario, decision):
    """What bands are cut on."""
    on_lower = scenario.section["band_on"] == "lower_bound"
    return decision.verdict.lower_bound if on_lower else decision.verdict.calibrated_confidence


def is_mandatory(scenario, decision):
    """Read off the policy file, not off its compiled tables; a range binds by either number."""
    return is_mandatory_at(scenario, decision.verdict.calibrated_confidence) or is_mandatory_at(
        scenario, number_of(scenario, decision)
    )


def is_mandatory_at(scenario, confidence):
    if scenario.category in BUILT_IN:
        return True
    rule = (section_of(scenario) or {}).get("mandatory_review", False)
    if isinstance(rule, bool):
        return rule
    return confidence is None or any(
        item["from"] <= confidence < item["to"] or confidence == item["to"] == 1 for item in rule
    )


def band_at(scenario, confidence):
    """The one band of the file that holds for a confidence, by exact decimal comparison."""
    bands = (section_of(scenario) or {}).get("bands") or scenario.section["bands"]
    below = [band for band in bands if Decimal(str(band["from"])) <= Decimal(repr(confidence))]
    return max(below, key=lambda band: band["from"])


def is_usable(scenario, now):
    """Whether a fresh calibrator that was fitted for this very request is in force."""
    section, asked = scenario.section, scenario.query
    own = "versions" in section and asked.model_version == "v8"
    held = scenario.calibrators.get(("lead-classifier", "v8" if own else ""))
    rule = section["model_version"]
    if held is None or asked.evidence.kind != section["evidence"] or asked.evidence.truncated:
        return False
    if rule != "any" and (asked.model_version == "" if rule == "required" else asked.model_version != rule):
        return False
    fitted = held.calibrator.applies_to
    return (
        (fitted.model, fitted.criterion, fitted.source, fitted.evidence)
        == ("lead-classifier", "correct", "primary", section["evidence"])
        and (fitted.model_versions is None or asked.model_version in fitted.model_versions)
        and now - held.confirmed_at <= STALE_SECONDS[section["stale"]["after"]]
    )


@pytest.mark.slow
@ordinary
@given(data=st.data())
def test_no_promise_bends(data, scenarios, now):
    scenario = data.draw(scenarios)
    made = services.bare(scenario.policy, scenario.calibrators)
    made.health = scenario.health
    if scenario.journal_fails:
        made.journal.break_down()
    try:
        answer = made.router.route(scenario.query)
    except errors.InvalidRequest:
        # The class does not fit the policy's: no decision was made, and none recorded.
        assert not made.journal.records
        return
    decision = answer.decision
    confidence, number = decision.verdict.calibrated_confidence, number_of(scenario, decision)

    assert made.metrics.mandatory_without_human_total() == 0
    assert Reason.INVARIANT_GUARD not in decision.reasons
    if is_mandatory(scenario, decision):
        assert not decision.may_act
        assert decision.action in PERSON_ACTIONS
        assert decision.verdict.mandatory
        assert Reason.MANDATORY_REVIEW in decision.reasons
    if section_of(scenario) is None and scenario.category not in BUILT_IN and scenario.section["categories"]:
        assert decision.action in PERSON_ACTIONS
        assert Reason.UNKNOWN_CATEGORY in decision.reasons

    if decision.may_act:
        assert decision.action in AUTOMATIC_ACTIONS
        assert decision.query.intent is Intent.LIVE
        assert scenario.section["mode"] == "enforce"
        assert not scenario.journal_fails
        assert made.journal.decisions == [decision]
    elif decision.action in AUTOMATIC_ACTIONS:
        assert decision.query.intent is Intent.SHADOW or scenario.section["mode"] == "observe"
    if decision.action in DECISIVE:
        assert is_usable(scenario, now)
        assert decision.action == band_at(scenario, number)["action"]
        if decision.action is Action.REJECT:
            assert band_at(scenario, confidence)["action"] == "REJECT"
    assert decision.verdict.band == ("" if number is None else band_at(scenario, number)["name"])
    if confidence is not None:
        assert 0.0 < confidence < 1.0
        assert decision.provenance.calibrator is not None
    if decision.verdict.lower_bound is not None:
        assert 0.0 < decision.verdict.lower_bound <= confidence

    if scenario.journal_fails:
        assert decision.action is Action.UNCERTAIN
        assert answer.retry_after_seconds > 0
        assert not made.journal.records
    else:
        ((recorded,), durable) = made.journal.batches[0]
        assert recorded == decision
        assert durable == (decision.action not in AUTOMATIC_ACTIONS)
        assert builders.read_back(decision) == decision
    kinds = Counter(task.kind for task in decision.tasks)
    if decision.query.intent is Intent.SHADOW or scenario.section["mode"] == "observe":
        assert set(kinds) <= {TaskKind.AUDIT}
    elif decision.action is Action.HOLD_FOR_REVIEW:
        assert kinds[TaskKind.HOLD] == 1
    elif decision.action is Action.ESCALATE:
        assert kinds[TaskKind.ESCALATION] == 1
    assert (kinds[TaskKind.AUDIT] == 1) == decision.drawn
    assert all(task.due_at > decision.decided_at for task in decision.tasks)


@pytest.mark.slow
@ordinary
@given(data=st.data())
def test_a_usable_request_gets_its_band(data, scenarios, now):
    """The other direction: nothing but a reason of the design keeps an answer from the action of its band."""
    scenario = data.draw(scenarios)
    made = services.bare(scenario.policy, scenario.calibrators)
    try:
        decision = made.router.route(scenario.query).decision
    except errors.InvalidRequest:
        return
    if not is_usable(scenario, now):
        assert decision.action in PERSON_ACTIONS
        return
    if decision.verdict.calibrated_confidence is None:
        held = scenario.calibrators[
            "lead-classifier",
            "v8" if "versions" in scenario.section and scenario.query.model_version == "v8" else "",
        ]
        unfit = held.calibrator.applies_to.answer == "argmax" and not evidence.answer_is_top(
            decision.query.evidence
        )
        assert unfit
        assert Reason.ANSWER_UNCALIBRATED in decision.reasons
        return
    number = number_of(scenario, decision)
    if number is None:
        assert Reason.NO_LOWER_BOUND in decision.reasons
        assert decision.action in PERSON_ACTIONS
        return
    listed = section_of(scenario) is not None or not scenario.section["categories"]
    if listed and not is_mandatory(scenario, decision):
        expected = band_at(scenario, number)["action"]
        if expected == "REJECT" != band_at(scenario, decision.verdict.calibrated_confidence)["action"]:
            expected = "HOLD_FOR_REVIEW"
        assert decision.action == expected
        live = decision.query.intent is Intent.LIVE and scenario.section["mode"] == "enforce"
        assert decision.may_act == (live and decision.action in AUTOMATIC_ACTIONS)


def test_a_last_check_holds_what_a_wrong_decision_lets_through(monkeypatch):
    """Even a `decide` that has lost its floors cannot act in a mandatory category: held, counted, said."""
    right = decider.decide
    wrong = services.bare()
    monkeypatch.setattr(
        decider,
        "decide",
        lambda query, *rest, **more: right(msgspec.structs.replace(query, category="general"), *rest, **more),
    )
    for score, category in ((0.99, "pricing"), (0.01, "Legal Language")):
        decision = wrong.router.route(builders.query(score, category=category)).decision
        assert decision.action is Action.HOLD_FOR_REVIEW
        assert not decision.may_act
        assert decision.verdict.mandatory
        assert Reason.INVARIANT_GUARD in decision.reasons
        assert [task.kind for task in decision.tasks if task.kind is not TaskKind.AUDIT] == [TaskKind.HOLD]
    assert wrong.metrics.mandatory_without_human_total() == 2
    assert wrong.router.route(builders.query(0.99)).decision.may_act
