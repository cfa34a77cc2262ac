"""Bad input over a real channel: each has its typed answer, nothing acts on it, and the service goes on."""

import math
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trueband.v1 import admin_pb2, decision_pb2, evidence_pb2, label_pb2, review_pb2, routing_pb2

from calibrators import VectorTemperature
from sidecar.ledger import facts
from sidecar.policy import categories

NAN, INF = math.nan, math.inf
MEBIBYTE = 1 << 20
TEN_MEGABYTES = "x" * (10 * MEBIBYTE)
LONG = "x" * 257
ROUTE = "/trueband.v1.RoutingService/Route"
POLICY = """
version: 1
models:
  leads: &scored
    calibrator: file:{home}/leads.json
    evidence: score
    categories:
      general: {{}}
      refunds: {{audit_rate: 1.0}}
      pricing: {{mandatory_review: true}}
  versioned: {{calibrator: "file:{home}/versioned.json", evidence: score}}
  bare: {{calibrator: "file:{home}/nothing.json", evidence: score}}
  misfit: {{calibrator: "file:{home}/misfit.json", evidence: score}}
  binary: {{calibrator: "file:{home}/binary.json", evidence: positive_probability, classes: [ham, spam]}}
  shares: {{calibrator: "file:{home}/shares.json", evidence: probabilities, classes: [a, b, c]}}
  vectors: {{calibrator: "file:{home}/vectors.json", evidence: logits, classes: [a, b, c]}}
  writer: {{calibrator: "file:{home}/writer.json", evidence: token_logprobs}}
"""
HOLD, ESCALATE = decision_pb2.ACTION_HOLD_FOR_REVIEW, decision_pb2.ACTION_ESCALATE
MUST_HOLD = (HOLD, ESCALATE, decision_pb2.ACTION_UNCERTAIN)
ACTS = (decision_pb2.ACTION_AUTO_ROUTE, decision_pb2.ACTION_AUTO_ROUTE_FLAGGED)


@pytest.fixture(scope="module")
def sidecar(make_shared_sidecar) -> Iterator[Any]:
    """One service for all; at the end it must not have met anything that it did not expect."""
    made = make_shared_sidecar(POLICY)
    made.write_calibrator()
    made.write_calibrator(model="versioned", model_versions=("v1",))
    made.write_calibrator(model="somebody-else", name="misfit")
    made.write_calibrator(model="binary", evidence="positive_probability")
    made.write_calibrator(model="shares", evidence="probabilities")
    made.write_calibrator(
        VectorTemperature(temperature=2.0), model="vectors", evidence="logits", answer="argmax"
    )
    made.write_calibrator(model="writer", evidence="token_logprobs", aggregation="mean")
    made.start()
    yield made
    assert made.status().mandatory_without_human_total == 0
    assert not made.events("unhandled_exception")
    assert made.stop() == 0


@pytest.fixture(autouse=True)
def it_goes_on(sidecar) -> Iterator[None]:
    yield
    assert sidecar.ask(0.95).may_act


def score(value: float | None) -> evidence_pb2.Evidence:
    return evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=value))


def positive(value: float | None, **fields: Any) -> evidence_pb2.Evidence:
    given_ = evidence_pb2.PositiveProbability(probability=value, **fields)
    return evidence_pb2.Evidence(positive_probability=given_)


def shares(*values: float) -> evidence_pb2.Evidence:
    return evidence_pb2.Evidence(probabilities=evidence_pb2.Probabilities(values=values))


def logits(*values: float) -> evidence_pb2.Evidence:
    return evidence_pb2.Evidence(logits=evidence_pb2.Logits(values=values))


def tokens(*values: float, **fields: Any) -> evidence_pb2.Evidence:
    given_ = evidence_pb2.TokenLogProbabilities(values=values, **fields)
    return evidence_pb2.Evidence(token_log_probabilities=given_)


def route(evidence: evidence_pb2.Evidence | None = None, **fields: Any) -> routing_pb2.RouteRequest:
    given_ = {
        "model": "leads",
        "category": "general",
        "evidence": score(0.99) if evidence is None else evidence,
    }
    return routing_pb2.RouteRequest(**given_ | fields)


def label(**fields: Any) -> label_pb2.Label:
    given_ = {"decision_id": "d", "source": "s", "event_id": "e", "correct": True}
    return label_pb2.Label(**given_ | fields)


def failure(call: Any, message: Any) -> tuple[str, str, list[str]]:
    """Status code, stable reason and named fields of a call that must fail."""
    with pytest.raises(grpc.RpcError) as raised:
        call(message, timeout=120.0)
    status = rpc_status.from_call(raised.value)
    assert status is not None, f"an error without details: {raised.value}"
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    assert info.domain == "trueband"
    assert status.message
    assert all(violation.description for violation in bad.field_violations)
    return raised.value.code().name, info.reason, [violation.field for violation in bad.field_violations]


SCORE, POSITIVE = "evidence.score.confidence", "evidence.positive_probability.probability"
SHARES, LOGITS = "evidence.probabilities.values", "evidence.logits.values"
TOKENS = "evidence.token_log_probabilities"
MALFORMED = {
    "a score of NaN": (route(score(NAN)), SCORE),
    "a score of infinity": (route(score(INF)), SCORE),
    "a score of minus infinity": (route(score(-INF)), SCORE),
    "a score above 1": (route(score(1.00001)), SCORE),
    "a score below 0": (route(score(-1e-300)), SCORE),
    "a score that is absent": (route(score(None)), SCORE),
    "no evidence": (routing_pb2.RouteRequest(model="leads"), "evidence"),
    "a probability of NaN": (route(positive(NAN), model="binary"), POSITIVE),
    "a probability of 2": (route(positive(2.0), model="binary"), POSITIVE),
    "an unknown positive class": (
        route(positive(0.5, positive_class="eggs"), model="binary"),
        "evidence.positive_probability.positive_class",
    ),
    "an unknown class of two": (
        route(positive(0.5), model="binary", predicted_class="eggs"),
        "predicted_class",
    ),
    "an empty vector": (route(shares(), model="shares"), SHARES),
    "a vector of NaN": (route(shares(NAN, 0.5, 0.5), model="shares"), SHARES),
    "a vector with a negative share": (route(shares(-0.1, 0.6, 0.5), model="shares"), SHARES),
    "a vector that sums to 2": (route(shares(1.0, 0.5, 0.5), model="shares"), SHARES),
    "a vector of two for three classes": (route(shares(0.5, 0.5), model="shares"), SHARES),
    "a vector of four for three classes": (route(logits(1, 2, 3, 4), model="vectors"), LOGITS),
    "empty logits": (route(logits(), model="vectors"), LOGITS),
    "a logit of infinity": (route(logits(INF, 0, 0), model="vectors"), LOGITS),
    "a million logits": (route(logits(*[0.0] * 1_000_000), model="vectors"), LOGITS),
    "a class that is none": (route(logits(1, 2, 3), model="vectors", predicted_class="z"), "predicted_class"),
    "no tokens": (route(tokens(), model="writer"), f"{TOKENS}.values"),
    "a token of NaN": (route(tokens(-0.1, NAN), model="writer"), f"{TOKENS}.values"),
    "a token above 0": (route(tokens(-0.1, 0.5), model="writer"), f"{TOKENS}.values"),
    "a span beyond the tokens": (
        route(tokens(-0.1, answer_start=1, answer_end=9), model="writer"),
        f"{TOKENS}.answer_start",
    ),
    "an unknown finish reason": (
        route(tokens(-0.1, finish_reason=99), model="writer"),
        f"{TOKENS}.finish_reason",
    ),
    "no model": (route(model=""), "model"),
    "an unknown intent": (route(intent=99), "intent"),
    "an unknown category source": (route(category_source=-7), "category_source"),
    "a time before 1970": (route(occurred_at=timestamp_pb2.Timestamp(seconds=-1)), "occurred_at"),
    "a time beyond the calendar": (
        route(occurred_at=timestamp_pb2.Timestamp(seconds=1 << 62)),
        "occurred_at",
    ),
    "nanoseconds below 0": (route(occurred_at=timestamp_pb2.Timestamp(seconds=9, nanos=-1)), "occurred_at"),
    "an attribute of NaN": (
        route(attributes={"a": routing_pb2.Attribute(number=NAN)}),
        "attributes[a]",
    ),
    "an attribute without a value": (route(attributes={"a": routing_pb2.Attribute()}), "attributes[a]"),
    "65 attributes": (
        route(attributes={str(number): routing_pb2.Attribute(flag=True) for number in range(65)}),
        "attributes",
    ),
    "a huge attribute": (
        route(attributes={"a": routing_pb2.Attribute(text=TEN_MEGABYTES)}),
        "attributes[a]",
    ),
    "a huge context": (route(context={"letter": TEN_MEGABYTES}), "context"),
    **{
        f"a {name} of 10 MB": (route(**{name: TEN_MEGABYTES}), name)
        for name in (
            *("tenant", "model", "model_version", "request_id", "subject_ref", "group_key"),
            *("category", "predicted_class", "answer_digest"),
        )
    },
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_is_refused_with_the_field_named(sidecar, case: str) -> None:
    message, field = MALFORMED[case]
    assert failure(sidecar.routing.Route, message) == ("INVALID_ARGUMENT", "INVALID_REQUEST", [field])
    # In a batch it is the item's own failure.
    (item,) = sidecar.routing.RouteBatch(routing_pb2.RouteBatchRequest(items=[message])).items
    assert item.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert item.error.reason == "INVALID_REQUEST"
    assert [violation.field for violation in item.error.field_violations] == [field]


def test_every_bad_field_is_named_at_once(sidecar) -> None:
    message = route(score(NAN), tenant=LONG, intent=99, category_source=99, model="")
    _, _, fields = failure(sidecar.routing.Route, message)
    assert set(fields) == {SCORE, "tenant", "intent", "category_source", "model"}


UNUSABLE = {
    "no calibrator": (route(model="bare"), decision_pb2.REASON_NO_CALIBRATOR),
    "a calibrator for another model": (route(model="misfit"), decision_pb2.REASON_NO_CALIBRATOR),
    "evidence of another kind": (route(logits(9.0, 0.0)), decision_pb2.REASON_EVIDENCE_MISMATCH),
    "a score for a vector": (route(model="vectors"), decision_pb2.REASON_EVIDENCE_MISMATCH),
    "another version": (
        route(model="versioned", model_version="v2"),
        decision_pb2.REASON_MODEL_VERSION_UNCALIBRATED,
    ),
    "no version": (route(model="versioned"), decision_pb2.REASON_MODEL_VERSION_UNCALIBRATED),
    "another answer than the likeliest": (
        route(logits(9.0, 8.9, 0.0), model="vectors", predicted_class="b"),
        decision_pb2.REASON_ANSWER_UNCALIBRATED,
    ),
    "a generation that was cut off": (
        route(tokens(-1e-9, finish_reason=evidence_pb2.FINISH_REASON_LENGTH), model="writer"),
        decision_pb2.REASON_TRUNCATED_GENERATION,
    ),
    "a category that is not listed": (route(category="ufology"), decision_pb2.REASON_UNKNOWN_CATEGORY),
    "no category": (route(category=""), decision_pb2.REASON_UNKNOWN_CATEGORY),
    "a mandatory category": (route(category="Pricing"), decision_pb2.REASON_MANDATORY_REVIEW),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_is_well_formed_but_cannot_be_used_holds_and_says_why(sidecar, case: str) -> None:
    message, reason = UNUSABLE[case]
    decision = sidecar.routing.Route(message).decision
    assert decision.action == HOLD
    assert not decision.may_act
    assert reason in decision.reasons


@pytest.mark.parametrize(
    ("message", "acts"),
    [
        (route(score(0.0)), False),
        (route(score(-0.0)), False),
        (route(score(5e-324)), False),
        (route(score(1.0)), True),
        (route(model="versioned", model_version="v1", category=""), True),
        (route(positive(0.02), model="binary", predicted_class="ham", category=""), True),
        (route(shares(1.0, 0.0, 0.0), model="shares", category=""), True),
        (route(logits(1e308, -1e308, 0.0), model="vectors", category=""), True),
        (route(tokens(-1e-9, 0.0), model="writer", category=""), True),
        (route(tokens(-1e300), model="writer", category=""), False),
    ],
)
def test_the_edges_of_what_is_well_formed_are_answered(sidecar, message, acts: bool) -> None:
    response = sidecar.routing.Route(message)
    assert response.may_act is response.decision.may_act is acts
    assert 0.0 < response.decision.calibrated_confidence < 1.0


def test_an_unknown_model_is_not_found(sidecar) -> None:
    assert failure(sidecar.routing.Route, route(model="nobody")) == ("NOT_FOUND", "MODEL_UNKNOWN", [])
    reload = admin_pb2.ReloadNowRequest(model="nobody")
    assert failure(sidecar.admin.ReloadNow, reload)[:2] == ("NOT_FOUND", "MODEL_UNKNOWN")


def test_a_request_id_for_another_body_is_an_error_and_the_first_answer_stands(sidecar) -> None:
    first = sidecar.routing.Route(route(request_id="used")).decision
    other = route(score(0.1), request_id="used")
    assert failure(sidecar.routing.Route, other)[:2] == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    again = sidecar.routing.Route(route(request_id="used")).decision
    assert again.replayed
    assert (again.decision_id, again.answer_id) == (first.decision_id, first.answer_id)


def field_bytes(number: int, text: bytes) -> bytes:
    """A length-delimited field of fewer than 128 bytes, as the wire has it."""
    return bytes([number << 3 | 2, len(text)]) + text


GOOD = route().SerializeToString()
BAD_BYTES = {
    "a model that is not UTF-8": field_bytes(2, b"\xff\xfe\xfd") + GOOD,
    "a category that is half a character": GOOD + field_bytes(7, b"\xe2\x82"),
    "a surrogate": GOOD + field_bytes(9, b"\xed\xa0\x80"),
    "a context that is not UTF-8": GOOD + field_bytes(14, field_bytes(1, b"a") + field_bytes(2, b"\xc3\x28")),
    "no message at all": b"\xff" * 64,
    "a message that ends too soon": GOOD[:-3],
    "a group that never ends": GOOD + b"\x0b" * 200,
    "a length beyond the end": GOOD + b"\x12\xff\xff\xff\xff\x0f",
}


@pytest.mark.parametrize("case", BAD_BYTES)
def test_bytes_that_do_not_parse_are_the_callers_mistake(sidecar, case: str) -> None:
    call = sidecar.channel.unary_unary(ROUTE)
    whole = "(the whole message)"
    assert failure(call, BAD_BYTES[case]) == ("INVALID_ARGUMENT", "INVALID_REQUEST", [whole])


def test_a_message_of_another_type_never_acts(sidecar) -> None:
    call = sidecar.channel.unary_unary(ROUTE)
    others = (
        label_pb2.RecordLabelRequest(label=label(note="n" * 300)),
        routing_pb2.RouteBatchRequest(items=[route(), route()]),
        review_pb2.ListTasksRequest(model="leads", page_size=7),
    )
    for other in others:
        code, _, _ = failure(call, other.SerializeToString())
        assert code in ("INVALID_ARGUMENT", "NOT_FOUND")


def test_a_message_beyond_the_limit_of_the_transport_is_refused(sidecar) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        sidecar.routing.Route(route(context={"letter": "x" * (17 * MEBIBYTE)}))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.RpcError) as raised:
        sidecar.channel.unary_unary("/trueband.v1.RoutingService/Guess")(b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_size_of_a_batch_is_bounded_on_both_sides(sidecar) -> None:
    batch = routing_pb2.RouteBatchRequest
    refused = ("INVALID_ARGUMENT", "INVALID_REQUEST", ["items"])
    assert failure(sidecar.routing.RouteBatch, batch()) == refused
    assert failure(sidecar.routing.RouteBatch, batch(items=[route()] * 10_001)) == refused
    assert failure(sidecar.routing.RouteBatch, batch(items=[route()] * 10_000)) == refused, "the answers"
    most = sidecar.routing.RouteBatch(batch(items=[route()] * 4000))
    assert len(most.items) == 4000
    assert most.ByteSize() < 3 * MEBIBYTE
    assert all(item.decision.may_act for item in most.items)
    refused = ("INVALID_ARGUMENT", "INVALID_REQUEST", ["labels"])
    for labels in ([], [label()] * 10_001):
        assert failure(sidecar.labels.RecordLabels, label_pb2.RecordLabelsRequest(labels=labels)) == refused


def test_in_a_mixed_batch_each_item_stands_for_itself(sidecar) -> None:
    messages = [
        route(request_id="twin"),
        route(score(NAN)),
        route(model="nobody"),
        route(category="pricing"),
        route(request_id="twin"),
        route(score(0.2), request_id="twin"),
        routing_pb2.RouteRequest(),
        route(model="bare"),
        route(),
    ]
    items = sidecar.routing.RouteBatch(routing_pb2.RouteBatchRequest(items=messages)).items
    outcomes = [
        item.error.reason or decision_pb2.Action.Name(item.decision.action).removeprefix("ACTION_")
        for item in items
    ]
    assert outcomes == [
        "AUTO_ROUTE",
        "INVALID_REQUEST",
        "MODEL_UNKNOWN",
        "HOLD_FOR_REVIEW",
        "AUTO_ROUTE",
        "REQUEST_ID_REUSED",
        "INVALID_REQUEST",
        "HOLD_FOR_REVIEW",
        "AUTO_ROUTE",
    ]
    assert items[4].decision.replayed
    assert items[4].decision.answer_id == items[0].decision.answer_id
    assert items[2].error.code == grpc.StatusCode.NOT_FOUND.value[0]


BAD_LABELS = {
    "no decision": (label(decision_id=""), "label.decision_id"),
    "no source": (label(source=""), "label.source"),
    "no event": (label(event_id=""), "label.event_id"),
    "no value": (label_pb2.Label(decision_id="d", source="s", event_id="e"), "label.value"),
    "an empty class": (label(true_class=""), "label.true_class"),
    "an unknown subject": (label(about=99), "label.about"),
    "an unknown channel": (label(channel=99), "label.channel"),
    "a task's channel without a task": (label(channel=label_pb2.LABEL_CHANNEL_AUDIT_TASK), "label.task_id"),
    "a time before 1970": (label(observed_at=timestamp_pb2.Timestamp(seconds=-5)), "label.observed_at"),
    "a note of 10 MB": (label(note=TEN_MEGABYTES), "label.note"),
    "an event of 10 MB": (label(event_id=TEN_MEGABYTES), "label.event_id"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_a_malformed_label_is_refused_and_in_a_batch_rejected(sidecar, case: str) -> None:
    message, field = BAD_LABELS[case]
    request = label_pb2.RecordLabelRequest(label=message)
    assert failure(sidecar.labels.RecordLabel, request) == ("INVALID_ARGUMENT", "INVALID_REQUEST", [field])
    good = label(event_id=f"beside {case}")
    items = sidecar.labels.RecordLabels(label_pb2.RecordLabelsRequest(labels=[message, good])).items
    assert items[0].status == label_pb2.LABEL_STATUS_REJECTED
    assert items[0].reason == "INVALID_REQUEST"
    assert field in items[0].message
    assert items[1].status == label_pb2.LABEL_STATUS_ACCEPTED


def test_a_label_event_used_for_another_label_is_rejected(sidecar) -> None:
    record = sidecar.labels.RecordLabel
    request = label_pb2.RecordLabelRequest
    assert record(request(label=label(event_id="once"))).status == label_pb2.LABEL_STATUS_ACCEPTED
    assert record(request(label=label(event_id="once"))).status == label_pb2.LABEL_STATUS_DUPLICATE
    other = record(request(label=label(event_id="once", correct=False)))
    assert (other.status, other.reason) == (label_pb2.LABEL_STATUS_REJECTED, "EVENT_ID_REUSED")


def test_readers_refuse_what_makes_no_sense(sidecar) -> None:
    invalid = "INVALID_ARGUMENT"
    cases = [
        (sidecar.decisions.GetDecision, decision_pb2.GetDecisionRequest(decision_id="none"), "NOT_FOUND", []),
        (sidecar.decisions.GetDecision, decision_pb2.GetDecisionRequest(), "NOT_FOUND", []),
        (sidecar.decisions.ListDecisions, decision_pb2.ListDecisionsRequest(), invalid, ["subject_ref"]),
        (
            sidecar.decisions.ListDecisions,
            decision_pb2.ListDecisionsRequest(subject_ref="s", page_size=-1),
            invalid,
            ["page_size"],
        ),
        (
            sidecar.decisions.ListDecisions,
            decision_pb2.ListDecisionsRequest(subject_ref="s", page_token="garbage"),
            invalid,
            ["page_token"],
        ),
        (
            sidecar.decisions.ListDecisions,
            decision_pb2.ListDecisionsRequest(decided_from=timestamp_pb2.Timestamp(seconds=-1)),
            invalid,
            ["decided_from"],
        ),
        (sidecar.labels.GetLabels, label_pb2.GetLabelsRequest(decision_id="none"), "NOT_FOUND", []),
        (sidecar.reviews.GetTask, review_pb2.GetTaskRequest(task_id="none"), "NOT_FOUND", []),
        (sidecar.reviews.ListTasks, review_pb2.ListTasksRequest(kinds=[99]), invalid, ["kinds"]),
        (sidecar.reviews.ListTasks, review_pb2.ListTasksRequest(states=[-1]), invalid, ["states"]),
        (sidecar.reviews.ListTasks, review_pb2.ListTasksRequest(page_token="\0"), invalid, ["page_token"]),
    ]
    for call, message, code, fields in cases:
        found = failure(call, message)
        assert (found[0], found[2]) == (code, fields), message


# Whatever is sent.

UNARY = {
    "RoutingService": ("Route", "RouteBatch"),
    "LabelService": ("RecordLabel", "RecordLabels", "GetLabels"),
    "ReviewService": ("GetTask", "ListTasks"),
    "DecisionService": ("GetDecision", "ListDecisions"),
    "AdminService": ("GetStatus", "GetPolicy"),
}
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PREDICTABLE = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "UNIMPLEMENTED"}


def asked(call: Any, message: Any) -> tuple[str, Any]:
    """Status code of a call, and what it answered."""
    try:
        return "OK", call(message, timeout=120.0)
    except grpc.RpcError as error:
        return error.code().name, None  # type: ignore[attr-defined]


@FUZZ
@given(
    method=st.sampled_from([f"{service}/{name}" for service, names in UNARY.items() for name in names]),
    body=st.binary(max_size=200)
    | st.builds(
        # A good message with a few bytes of it spoilt gets further than noise does.
        lambda at, byte: GOOD[: at % len(GOOD)] + bytes([byte]) + GOOD[at % len(GOOD) + 1 :],
        st.integers(0, 1000),
        st.integers(0, 255),
    ),
)
def test_no_bytes_are_an_internal_error(sidecar, method: str, body: bytes) -> None:
    code, _ = asked(sidecar.channel.unary_unary(f"/trueband.v1.{method}"), body)
    assert code in PREDICTABLE


text = st.text(max_size=300) | st.sampled_from(
    ["", "general", "v1", "a", "b", "spam", "\0", "../..", "é" * 200]
)
number = st.floats() | st.floats(0, 1)
vector = st.lists(number, max_size=6)
enum = st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(0, 5)
evidences = st.one_of(
    st.builds(score, st.none() | number),
    st.builds(lambda value, name: positive(value, positive_class=name), st.none() | number, text),
    st.builds(lambda values: shares(*values), vector),
    st.builds(lambda values: logits(*values), vector),
    st.builds(
        lambda values, start, end, reason: tokens(
            *values, answer_start=start, answer_end=end, finish_reason=reason
        ),
        st.lists(st.floats(max_value=0.0) | number, max_size=6),
        st.none() | st.integers(0, (1 << 32) - 1),
        st.none() | st.integers(0, 8),
        enum,
    ),
    st.just(evidence_pb2.Evidence()),
)
attributes = st.builds(routing_pb2.Attribute, text=text) | st.builds(routing_pb2.Attribute, number=number)
MODELS = ("leads", "versioned", "bare", "misfit", "binary", "shares", "vectors", "writer")
requests = st.builds(
    routing_pb2.RouteRequest,
    tenant=text,
    model=st.sampled_from(MODELS) | text,
    model_version=st.sampled_from(["", "v1"]) | text,
    request_id=text,
    subject_ref=text,
    group_key=text,
    category=st.sampled_from(["general", "refunds", "pricing", " LEGAL\u2013language", "account  strategy"])
    | text,
    category_source=st.just(0) | enum,
    predicted_class=text,
    answer_digest=text,
    occurred_at=st.none()
    | st.builds(timestamp_pb2.Timestamp, seconds=st.integers(-(1 << 63), (1 << 63) - 1), nanos=enum),
    evidence=evidences,
    attributes=st.dictionaries(text, attributes, max_size=3),
    context=st.dictionaries(text, text, max_size=3),
    intent=st.just(0) | enum,
)


def check_decision(message: routing_pb2.RouteRequest, decision: decision_pb2.Decision) -> None:
    """What no request may bring about."""
    assert decision.action in decision_pb2.Action.values()
    assert decision.action != decision_pb2.ACTION_UNSPECIFIED
    assert decision.reasons
    assert decision.decision_id
    assert not decision.may_act or decision.action in ACTS
    if not decision.HasField("calibrated_confidence") or message.model in ("bare", "misfit"):
        assert not decision.may_act
        assert decision.action in MUST_HOLD
    if message.intent == decision_pb2.INTENT_SHADOW:
        assert not decision.may_act
    if categories.normalise(message.category) in categories.ALWAYS_MANDATORY:
        assert not decision.may_act
        assert decision.action in MUST_HOLD


@FUZZ
@given(message=requests)
def test_no_request_is_an_internal_error_or_makes_a_mandatory_category_act(sidecar, message) -> None:
    code, response = asked(sidecar.routing.Route, message)
    assert code in PREDICTABLE
    if response is not None:
        assert response.may_act is response.decision.may_act
        check_decision(message, response.decision)


@settings(FUZZ, max_examples=40)
@given(messages=st.lists(requests, min_size=1, max_size=20))
def test_no_batch_fails_as_a_whole(sidecar, messages) -> None:
    items = sidecar.routing.RouteBatch(routing_pb2.RouteBatchRequest(items=messages), timeout=120.0).items
    assert len(items) == len(messages)
    for message, item in zip(messages, items, strict=True):
        if item.WhichOneof("outcome") == "decision":
            check_decision(message, item.decision)
        else:
            code = next(code.name for code in grpc.StatusCode if code.value[0] == item.error.code)
            assert code in PREDICTABLE - {"OK"}
            assert item.error.reason


@pytest.mark.parametrize(
    "category",
    [
        *(
            "pricing",
            "PRICING",
            " pricing ",
            "Pricing\u200b",
            "\uff50\uff52\uff49\uff43\uff49\uff4e\uff47",
            "pri\u00adcing",
            "PR\u0130C\u0130NG",
        ),
        *("legal language", "Legal-Language", "LEGAL_LANGUAGE", "account\u2014strategy", "account\tstrategy"),
    ],
)
def test_a_mandatory_category_in_disguise_never_acts(sidecar, category: str) -> None:
    for confidence in (0.0, 0.5, 0.95, 1.0):
        for model in ("leads", "versioned"):
            message = route(score(confidence), category=category, model=model, model_version="v1")
            decision = sidecar.routing.Route(message).decision
            assert not decision.may_act
            # A rejection would be a decision without a person too: it goes to a senior one.
            rejected = decision.band == "reject"
            assert decision.action == (ESCALATE if rejected else HOLD)
            assert decision_pb2.REASON_MANDATORY_REVIEW in decision.reasons
            assert decision.floors[0].floor.startswith("mandatory_category:")


def test_all_that_was_decided_meanwhile_reached_the_ledger(sidecar) -> None:
    sidecar.routing.RouteBatch(routing_pb2.RouteBatchRequest(items=[route()] * 4000))
    sidecar.caught_up()
    assert not sidecar.events("record_refused")
    with sidecar.ledger() as ledger:
        assert sum(stratum.n for stratum in ledger.read(facts.strata, "leads", None, None)) >= 4000
