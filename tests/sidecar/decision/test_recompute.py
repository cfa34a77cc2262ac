"""Any recorded decision can be decided again, bit for bit, and a changed record is noticed."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import calibrators
from calibrators.errors import CalibratorRefused
from sidecar import errors
from sidecar.decision import recompute, records
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action, Reason
from sidecar.policy.floors import mandatory_category
from tests import builders
from tests.sidecar import services

ordinary = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def stored(made):
    """The decision as it comes back from the ledger, with the texts behind its digests."""
    (decision,) = made.journal.decisions
    text = None
    if decision.provenance.calibrator is not None:
        held = next(
            each
            for each in made.snapshot.calibrators.values()
            if each.calibrator.digest == decision.provenance.calibrator.digest
        )
        text = calibrators.dumps(held.calibrator)
    return builders.read_back(decision), made.snapshot.policy.loaded.canonical, text


@pytest.mark.slow
@ordinary
@given(data=st.data())
def test_every_recorded_decision_recomputes_bit_for_bit(data, scenarios):
    scenario = data.draw(scenarios)
    made = services.bare(scenario.policy, scenario.calibrators)
    made.health = scenario.health
    try:
        made.router.route(scenario.query)
    except errors.InvalidRequest:
        return
    decision, policy, calibrator = stored(made)
    verdict = recompute.recompute(decision, policy, calibrator)
    assert recompute.differences(decision, verdict) == []


def nudged(value):
    """The next double: the smallest forgery there is."""
    return None if value is None else value * (1 - 2**-52) if value else 5e-324


TAMPERINGS = {
    "action": lambda d: {
        "action": Action.AUTO_ROUTE if d.verdict.action is not Action.AUTO_ROUTE else Action.REJECT
    },
    "may_act": lambda d: {"may_act": not d.verdict.may_act},
    "enforced": lambda d: {"enforced": not d.verdict.enforced},
    "band": lambda d: {"band": f"{d.verdict.band}_x"},
    "raw_confidence": lambda d: {"raw_confidence": nudged(d.verdict.raw_confidence)},
    "calibrated_confidence": lambda d: {"calibrated_confidence": nudged(d.verdict.calibrated_confidence)},
    "lower_bound": lambda d: {"lower_bound": nudged(d.verdict.lower_bound)},
    "lower_bound, lost": lambda _: {"lower_bound": None},
    "reasons": lambda d: {"reasons": (*d.verdict.reasons, Reason.DETECTOR)},
    "reasons, of the guard": lambda d: {"reasons": (*d.verdict.reasons, Reason.INVARIANT_GUARD)},
    "floors": lambda d: {"floors": () if d.verdict.floors else (mandatory_category("pricing"),)},
    "mandatory": lambda d: {"mandatory": not d.verdict.mandatory},
    "audit_rate": lambda d: {"audit_rate": d.verdict.audit_rate + 0.5},
    "evidence": lambda d: {"evidence": d.query.evidence._replace(values=(0.123,))},
    "stale_seconds": lambda _: {"stale_seconds": 1e9},
    "category": lambda d: {"category": "general" if d.query.category == "pricing" else "pricing"},
    "intent": lambda _: {"intent": "SHADOW"},
    "model_version": lambda _: {"model_version": "v666"},
}


@pytest.mark.parametrize("what", TAMPERINGS)
@pytest.mark.parametrize("category", ["general", "pricing"])
def test_a_changed_record_is_noticed(what, category):
    curve = calibrators.LowerCurve(level=0.95, method="m", confidences=(0.9,), bounds=(0.85,))
    platt = builders.calibrator_in_force(
        calibrators.Platt(1.5, 0.25), versions=("v7",), category_offsets={"general": -0.3}, lower=curve
    )
    slot = {("lead-classifier", ""): platt}
    made = services.bare(calibrators=slot)
    made.router.route(builders.query(0.95, category=category, model_version="v7"))
    decision, policy, calibrator = stored(made)
    assert recompute.differences(decision, recompute.recompute(decision, policy, calibrator)) == []
    forged = builders.altered(decision, **TAMPERINGS[what](decision))
    assert forged != decision
    found = recompute.differences(forged, recompute.recompute(forged, policy, calibrator))
    assert found


def test_an_act_cannot_be_passed_off_as_an_unavailable_queue():
    """REVIEW_UNAVAILABLE explains UNCERTAIN, and only where the verdict would have held."""
    made = services.bare()
    made.router.route(builders.query(0.95))
    decision, policy, calibrator = stored(made)
    forged = builders.altered(decision, queue="UNAVAILABLE")
    assert (forged.action, forged.may_act) == (Action.UNCERTAIN, False)
    found = recompute.differences(forged, recompute.recompute(forged, policy, calibrator))
    assert any(difference.startswith("queue") for difference in found)


def test_what_the_queue_added_is_no_difference():
    for away, backlog in ((True, 0.0), (True, 1e9)):
        made = services.bare()
        made.health = type(made.health)(away=away, backlog_seconds=backlog)
        made.router.route(builders.query(0.6))
        decision, policy, calibrator = stored(made)
        assert decision.action not in AUTOMATIC_ACTIONS
        assert recompute.differences(decision, recompute.recompute(decision, policy, calibrator)) == []


def test_texts_that_are_not_those_of_the_decision_are_refused():
    made = services.bare()
    made.router.route(builders.query(0.95))
    decision, policy, calibrator = stored(made)
    # The meaning is the same, the bytes are not: somebody wrote over the artifact.
    with pytest.raises(errors.PolicyRefused, match="digest"):
        recompute.recompute(decision, policy.replace('"version":1', '"version": 1'), calibrator)
    other = builders.calibrator_in_force(calibrators.Temperature(2.0)).calibrator
    with pytest.raises(CalibratorRefused, match="names"):
        recompute.recompute(decision, policy, calibrators.dumps(other))
    with pytest.raises(CalibratorRefused, match="not in the ledger"):
        recompute.recompute(decision, policy, None)
    with pytest.raises(CalibratorRefused):
        recompute.recompute(decision, policy, calibrator.replace("0.9999", "0.9998"))
    with pytest.raises(errors.PolicyRefused, match="has no model 'another'"):
        recompute.recompute(builders.altered(decision, model="another"), policy, calibrator)


def test_a_decision_without_a_calibrator_recomputes_without_one():
    made = services.bare(calibrators={})
    made.router.route(builders.query(0.95))
    decision, policy, calibrator = stored(made)
    assert calibrator is None
    assert recompute.differences(decision, recompute.recompute(decision, policy, None)) == []


def test_a_record_from_before_there_were_lower_bounds_recomputes():
    made = services.bare()
    made.router.route(builders.query(0.95))
    decision, policy, calibrator = stored(made)
    assert b'"lower"' not in records.encode(decision)
    assert recompute.differences(decision, recompute.recompute(decision, policy, calibrator)) == []
