"""Our own types to messages: everything that was answered, nothing that must not be told."""

import math

import msgspec
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from trueband.v1 import decision_pb2, label_pb2, routing_pb2

from calibrators import Evidence, LowerCurve
from sidecar import errors
from sidecar.decision.steps import CalibratorReference, FallbackStep, StepOutcome
from sidecar.policy.actions import Action, AnswerSource, Intent, Reason
from sidecar.service.api import requests, responses
from tests import builders
from tests.sidecar import services


def answered(made, query):
    message = decision_pb2.Decision()
    responses.write_answer(message, made.router.route(query))
    return message


def test_every_word_of_ours_is_in_the_contract_and_the_other_way_round():
    for ours, table, enum, prefix in (
        (Action, responses.ACTIONS, decision_pb2.Action, "ACTION_"),
        (Reason, responses.REASONS, decision_pb2.Reason, "REASON_"),
        (AnswerSource, responses.SOURCES, decision_pb2.AnswerSource, "ANSWER_SOURCE_"),
        (Intent, responses.INTENTS, decision_pb2.Intent, "INTENT_"),
    ):
        assert {f"{prefix}{each}" for each in ours} == set(enum.keys()) - {f"{prefix}UNSPECIFIED"}
        assert {enum.Name(number) for number in table.values()} == {f"{prefix}{each}" for each in ours}


def test_an_answer_is_told_whole(now):
    made = services.bare()
    query = builders.query(
        0.95, tenant="acme", request_id="r-1", subject_ref="s-1", model_version="v7", category="General"
    )
    message = answered(made, query)
    (decision,) = made.journal.decisions
    assert message.may_act
    assert message.action == decision_pb2.ACTION_AUTO_ROUTE
    assert message.raw_confidence == decision.verdict.raw_confidence
    assert message.calibrated_confidence == decision.verdict.calibrated_confidence
    assert list(message.reasons) == [decision_pb2.REASON_BAND]
    assert message.source == decision_pb2.ANSWER_SOURCE_PRIMARY
    assert message.intent == decision_pb2.INTENT_LIVE
    assert message.enforced
    assert not message.replayed
    for name in (
        "band", "final_class", "decision_id", "answer_id", "policy_digest", "tenant", "model",
        "model_version", "category", "sidecar_id", "engine_version", "subject_ref",
    ):  # fmt: skip
        holder = next(
            part
            for part in (decision, decision.query, decision.verdict, decision.provenance)
            if hasattr(part, name)
        )
        assert getattr(message, name) == getattr(holder, name) != ""
    assert message.calibrator.digest == decision.provenance.calibrator.digest
    assert (message.calibrator.version, message.calibrator.kind) == ("3", "identity")
    assert message.calibrator.HasField("stale_age")
    assert (message.decided_at.seconds, message.decided_at.nanos) == (int(now), 0)
    assert message.expires_at.seconds == int(now) + 86400
    assert answered(made, query).replayed


def test_nothing_tells_the_caller_whether_it_was_drawn():
    """Two answers that differ in the draw alone are the same message."""
    made = services.bare()
    decisions = [made.router.route(builders.query(request_id=f"r-{n}")).decision for n in range(200)]
    drawn = next(each for each in decisions if each.drawn)
    other = next(each for each in decisions if not each.drawn)
    same = {"decision_id": "x", "answer_id": "x", "request_id": "x"}
    told = [responses.decision(builders.altered(each, **same)) for each in (drawn, other)]
    assert told[0] == told[1]
    names = {field.name for field in decision_pb2.Decision.DESCRIPTOR.fields}
    assert not [name for name in names if "audit" in name or "drawn" in name or "propensity" in name]


def test_a_held_mandatory_answer_names_its_floor():
    message = answered(services.bare(), builders.query(0.99, category="Pricing"))
    assert not message.may_act
    (floor,) = message.floors
    assert floor.floor == "mandatory_category:pricing"
    assert floor.reason == decision_pb2.REASON_MANDATORY_REVIEW
    assert {decision_pb2.Action.Name(action) for action in floor.permitted} == {
        "ACTION_HOLD_FOR_REVIEW", "ACTION_ESCALATE", "ACTION_UNCERTAIN",
    }  # fmt: skip


def test_what_is_not_known_is_absent_and_not_zero():
    message = answered(services.bare(calibrators={}), builders.query(0.0))
    assert message.raw_confidence == 0.0
    assert message.HasField("raw_confidence")
    assert not message.HasField("calibrated_confidence")
    assert not message.HasField("calibrator")
    assert message.band == ""
    other = answered(services.bare(), builders.query(evidence=Evidence("logits", (1.0, 2.0))))
    assert not other.HasField("raw_confidence")


def test_observing_is_told():
    policy = (
        "version: 1\nmodels: {lead-classifier: {calibrator: models:/c/1, evidence: score, mode: observe}}"
    )
    message = answered(services.bare(policy), builders.query(0.99))
    assert (message.may_act, message.enforced) == (False, False)
    assert message.action == decision_pb2.ACTION_AUTO_ROUTE
    assert decision_pb2.REASON_OBSERVE_MODE in message.reasons


def test_an_uncertain_answer_has_candidates_and_a_time_to_come_back():
    made = services.bare()
    made.journal.break_down()
    message = answered(made, builders.query(0.95))
    assert message.action == decision_pb2.ACTION_UNCERTAIN
    (candidate,) = message.candidates
    assert (candidate.answer_class, candidate.raw_confidence) == ("interested", 0.95)
    assert message.retry_after.seconds == 5
    assert not answered(services.bare(), builders.query(0.95)).HasField("retry_after")


def test_an_error_of_an_item_says_what_a_call_would():
    message = routing_pb2.ItemError()
    violation = errors.Violation("evidence", "is required")
    responses.write_error(message, errors.InvalidRequest((violation,)))
    assert (message.code, message.reason) == (3, "INVALID_REQUEST")
    assert message.message == "evidence: is required"
    assert [(each.field, each.description) for each in message.field_violations] == [
        ("evidence", "is required")
    ]
    other = routing_pb2.ItemError()
    responses.write_error(other, errors.UnknownModel("模" * 1000))
    assert (other.code, other.reason, len(other.field_violations)) == (5, "MODEL_UNKNOWN", 0)
    assert len(other.message.encode()) <= 512


@pytest.mark.parametrize(
    "given_evidence",
    [
        Evidence("score", (0.1 + 0.2,)),
        Evidence("positive_probability", (5e-324,)),
        Evidence("probabilities", (0.25, 0.75)),
        Evidence("logits", (-1.5, 2.5)),
        Evidence("token_logprobs", (-0.1, -0.2)),
        Evidence("token_logprobs", (-0.1,), truncated=True),
    ],
)
def test_evidence_comes_back_as_it_was_sent(given_evidence):
    message = routing_pb2.RouteRequest(model="m", evidence=responses.evidence(given_evidence))
    assert requests.query(message).evidence == given_evidence


LABEL = builders.label(observed_at=5.25, recorded_at=6.0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"correct": False},
        {"correct": None, "true_class": "not_now"},
        {"correct": None, "cannot_tell": True, "note": "no audio"},
        {"true_category": "", "criterion": "kept", "guideline_version": "3", "supersedes": "e-0"},
        {"channel": "AUDIT_TASK", "task_id": "t-1", "reviewer": "r-1", "about": "SECONDARY", "note": "n"},
    ],
)
def test_a_label_comes_back_as_it_was_sent(changes):
    recorded = msgspec.structs.replace(LABEL, **changes)
    again, _ = requests.label(responses.label(recorded), now=6.0, sidecar_id="sidecar-a")
    assert again == recorded


@given(st.floats(0, 253_402_214_399))
def test_a_time_is_told_to_the_microsecond(seconds):
    for message in (responses.timestamp(seconds), responses.duration(seconds)):
        assert 0 <= message.nanos < 10**9
        assert abs(message.seconds + message.nanos / 1e9 - seconds) <= max(5e-7, seconds * 2**-51)


def test_a_time_that_rounds_up_carries_into_the_seconds():
    assert responses.timestamp(1.9999999) == responses.timestamp(2.0)
    message = decision_pb2.Decision()
    responses._write_time(message.decided_at, 1.9999999)
    assert (message.decided_at.seconds, message.decided_at.nanos) == (2, 0)


def test_every_answer_can_be_written_as_json():
    """What the command line and any gateway do with it; a time or a number out of range would fail here."""
    made = services.bare()
    for score in (0.0, 0.5, 1.0):
        text = json_format.MessageToJson(answered(made, builders.query(score)))
        assert "decidedAt" in text
        assert json_format.Parse(text, decision_pb2.Decision()).band


def test_a_step_of_the_chain_is_told_whole():
    step = FallbackStep(
        step="secondary",
        outcome="CLEARED",
        code="",
        duration_seconds=0.0125,
        answer_class="not_now",
        raw_confidence=0.8,
        calibrated_confidence=0.91,
        calibrator=CalibratorReference(name="s", version="2", kind="beta", digest="sha256:0"),
    )
    message = responses.fallback_step(step)
    assert message.outcome == decision_pb2.STEP_OUTCOME_CLEARED
    assert message.duration.nanos == 12_500_000
    assert (message.answer_class, message.raw_confidence, message.calibrated_confidence) == (
        "not_now",
        0.8,
        0.91,
    )
    assert message.calibrator.kind == "beta"
    for outcome in StepOutcome.__args__:
        assert responses.fallback_step(FallbackStep(step="rules", outcome=outcome)).outcome > 0


def test_no_number_of_an_answer_is_lost_on_the_way():
    import calibrators

    slot = {("lead-classifier", ""): builders.calibrator_in_force(calibrators.Platt(1.7, -0.3))}
    for score in (0.123456789012345, math.nextafter(0.9, 0), 1e-300):
        made = services.bare(calibrators=slot)
        message = answered(made, builders.query(score))
        again = decision_pb2.Decision.FromString(message.SerializeToString())
        assert again.raw_confidence == score
        assert again.calibrated_confidence == made.journal.decisions[0].verdict.calibrated_confidence


def test_every_status_of_a_label_can_be_told():
    for name in ("ACCEPTED", "DUPLICATE", "REJECTED"):
        message = label_pb2.RecordLabelResponse(status=responses.label_status(name))
        assert label_pb2.LabelStatus.Name(message.status) == f"LABEL_STATUS_{name}"


def test_the_lower_bound_is_told_where_there_is_one():
    curve = LowerCurve(level=0.95, method="by_hand", confidences=(0.9,), bounds=(0.8,))
    made = services.bare(calibrators={("lead-classifier", ""): builders.calibrator_in_force(lower=curve)})
    assert answered(made, builders.query(0.9)).lower_confidence == 0.8
    assert not answered(services.bare(), builders.query(0.9)).HasField("lower_confidence")
    step = FallbackStep(step="rules", outcome="CLEARED", calibrated_confidence=0.9, lower_bound=0.8)
    assert responses.fallback_step(step).lower_confidence == 0.8
