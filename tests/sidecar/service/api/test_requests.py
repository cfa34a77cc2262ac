"""Messages to our own types: what is well formed gets through whole, every bad field is named."""

import math

import pytest
from google.protobuf import timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st
from trueband.v1 import decision_pb2, evidence_pb2, routing_pb2

from calibrators import Evidence
from calibrators.evidence import problem as evidence_problem
from sidecar.errors import InvalidRequest
from sidecar.policy.actions import Intent
from sidecar.service.api import requests

NAN, INF = math.nan, math.inf


def score(value):
    return evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=value))


def positive(value, **fields):
    return evidence_pb2.Evidence(
        positive_probability=evidence_pb2.PositiveProbability(probability=value, **fields)
    )


def probabilities(*values):
    return evidence_pb2.Evidence(probabilities=evidence_pb2.Probabilities(values=values))


def logits(*values):
    return evidence_pb2.Evidence(logits=evidence_pb2.Logits(values=values))


def tokens(*values, **fields):
    return evidence_pb2.Evidence(
        token_log_probabilities=evidence_pb2.TokenLogProbabilities(values=values, **fields)
    )


def route(evidence=None, **changes):
    fields = {"model": "lead-classifier", "evidence": score(0.9) if evidence is None else evidence}
    return routing_pb2.RouteRequest(**(fields | changes))


def fields_of(message):
    with pytest.raises(InvalidRequest) as caught:
        requests.query(message)
    return [violation.field for violation in caught.value.violations]


def attribute(**value):
    return routing_pb2.Attribute(**value)


LONG = "x" * 257
TEN_MEGABYTES = "x" * (10 << 20)
SCORE = "evidence.score.confidence"
POSITIVE = "evidence.positive_probability.probability"
TOKENS = "evidence.token_log_probabilities"

BAD = {
    # Evidence.
    "no evidence": (routing_pb2.RouteRequest(model="m"), ["evidence"]),
    "evidence of no kind": (route(evidence_pb2.Evidence()), ["evidence"]),
    "a score that is absent": (route(evidence_pb2.Evidence(score=evidence_pb2.Score())), [SCORE]),
    "a score of NaN": (route(score(NAN)), [SCORE]),
    "a score of infinity": (route(score(INF)), [SCORE]),
    "a score of minus infinity": (route(score(-INF)), [SCORE]),
    "a score above 1 by more than rounding": (route(score(1.0 + 2e-6)), [SCORE]),
    "a score a hair below 0": (route(score(-5e-324)), [SCORE]),
    "a positive probability that is absent": (
        route(evidence_pb2.Evidence(positive_probability=evidence_pb2.PositiveProbability())),
        [POSITIVE],
    ),
    "a positive probability of NaN": (route(positive(NAN)), [POSITIVE]),
    "a positive probability of 2": (route(positive(2.0)), [POSITIVE]),
    "a positive class that is too long": (
        route(positive(0.5, positive_class=LONG)),
        ["evidence.positive_probability.positive_class"],
    ),
    "no probabilities": (route(probabilities()), ["evidence.probabilities.values"]),
    "one probability": (route(probabilities(1.0)), ["evidence.probabilities.values"]),
    "a probability of NaN": (route(probabilities(NAN, 0.5)), ["evidence.probabilities.values"]),
    "a negative probability": (route(probabilities(-0.1, 1.1)), ["evidence.probabilities.values"]),
    "probabilities that miss 1": (route(probabilities(0.5, 0.4)), ["evidence.probabilities.values"]),
    "no logits": (route(logits()), ["evidence.logits.values"]),
    "one logit": (route(logits(3.0)), ["evidence.logits.values"]),
    "a logit of NaN": (route(logits(1.0, NAN)), ["evidence.logits.values"]),
    "a logit of infinity": (route(logits(INF, 1.0)), ["evidence.logits.values"]),
    "more numbers than any model has": (route(logits(*[0.0] * 131_073)), ["evidence.logits.values"]),
    "no tokens": (route(tokens()), [f"{TOKENS}.values"]),
    "a log-probability of NaN": (route(tokens(-1.0, NAN)), [f"{TOKENS}.values"]),
    "a log-probability of minus infinity": (route(tokens(-INF)), [f"{TOKENS}.values"]),
    "a log-probability above 0": (route(tokens(-1.0, 0.5)), [f"{TOKENS}.values"]),
    "a span that begins where it ends": (
        route(tokens(-1.0, -1.0, answer_start=1, answer_end=1)),
        [f"{TOKENS}.answer_start"],
    ),
    "a span that ends before it begins": (
        route(tokens(-1.0, -1.0, answer_start=1, answer_end=0)),
        [f"{TOKENS}.answer_start"],
    ),
    "a span that ends behind the tokens": (route(tokens(-1.0, answer_end=2)), [f"{TOKENS}.answer_start"]),
    "a span that begins behind the tokens": (route(tokens(-1.0, answer_start=7)), [f"{TOKENS}.answer_start"]),
    "a finish reason of the future": (route(tokens(-1.0, finish_reason=99)), [f"{TOKENS}.finish_reason"]),
    # Enumerations.
    "an intent of the future": (route(intent=99), ["intent"]),
    "a negative intent": (route(intent=-1), ["intent"]),
    "a category source of the future": (route(category_source=99), ["category_source"]),
    # Texts.
    "no model": (route(model=""), ["model"]),
    **{
        f"a {name} of 257 bytes": (route(**{name: LONG}), [name])
        for name in (
            "tenant", "model", "model_version", "request_id", "subject_ref", "group_key", "category",
            "predicted_class", "answer_digest",
        )
    },
    "256 characters that are more bytes": (route(subject_ref="é" * 129), ["subject_ref"]),
    "a text with a NUL, which databases refuse": (route(category="a\0b"), ["category"]),
    "ten megabytes": (route(category=TEN_MEGABYTES), ["category"]),
    # Times.
    "a time before 1970": (route(occurred_at=timestamp_pb2.Timestamp(seconds=-1)), ["occurred_at"]),
    "a time after 9999": (
        route(occurred_at=timestamp_pb2.Timestamp(seconds=253_402_300_800)),
        ["occurred_at"],
    ),
    "more nanoseconds than a second has": (
        route(occurred_at=timestamp_pb2.Timestamp(seconds=1, nanos=1_000_000_000)),
        ["occurred_at"],
    ),
    "negative nanoseconds": (
        route(occurred_at=timestamp_pb2.Timestamp(seconds=1, nanos=-1)),
        ["occurred_at"],
    ),
    # Attributes and context.
    "too many attributes": (
        route(attributes={str(n): attribute(flag=True) for n in range(65)}),
        ["attributes"],
    ),
    "an attribute without a value": (route(attributes={"vip": attribute()}), ["attributes[vip]"]),
    "an attribute of NaN": (route(attributes={"amount": attribute(number=NAN)}), ["attributes[amount]"]),
    "an attribute of infinity": (
        route(attributes={"amount": attribute(number=-INF)}),
        ["attributes[amount]"],
    ),
    "an attribute without a name": (route(attributes={"": attribute(flag=True)}), ["attributes"]),
    "an attribute with a long name": (route(attributes={LONG: attribute(flag=True)}), ["attributes"]),
    "an attribute with a long text": (
        route(attributes={"note": attribute(text="x" * 16_385)}),
        ["attributes[note]"],
    ),
    "too much context": (route(context={str(n): "" for n in range(65)}), ["context"]),
    "a context that is too long": (route(context={"a": "x" * 40_000, "b": "x" * 40_000}), ["context"]),
    "a context of too many bytes": (route(context={"a": "é" * 33_000}), ["context"]),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_bad_field_is_named(what):
    message, fields = BAD[what]
    assert fields_of(message) == fields


@pytest.mark.parametrize("what", BAD)
def test_a_message_stays_short_and_echoes_nothing_long(what):
    with pytest.raises(InvalidRequest) as caught:
        requests.query(BAD[what][0])
    assert len(str(caught.value)) < 400
    assert "x" * 100 not in str(caught.value)


def test_every_bad_field_is_named_at_once():
    message = route(
        score(7.0), model="", intent=9, occurred_at=timestamp_pb2.Timestamp(seconds=-5), tenant=LONG
    )
    assert sorted(fields_of(message)) == [SCORE, "intent", "model", "occurred_at", "tenant"]


def test_a_whole_request_gets_through():
    message = routing_pb2.RouteRequest(
        tenant="acme",
        model="lead-classifier",
        model_version="v7",
        request_id="r-1",
        subject_ref="s-1",
        group_key="g-1",
        category="Legal-Language ",
        category_source=routing_pb2.CATEGORY_SOURCE_MODEL,
        predicted_class="interested",
        answer_digest="sha256:0",
        occurred_at=timestamp_pb2.Timestamp(seconds=1_770_000_000, nanos=250_000_000),
        evidence=score(0.94),
        attributes={
            "amount": attribute(number=12.0), "vip": attribute(flag=False), "note": attribute(text=""),
        },
        context={"text": "hello"},
        intent=decision_pb2.INTENT_SHADOW,
    )  # fmt: skip
    query = requests.query(message)
    assert query.evidence == Evidence("score", (0.94,))
    assert query.occurred_at == 1_770_000_000.25
    assert query.category == "Legal-Language "
    assert query.category_from_model
    assert query.intent is Intent.SHADOW
    assert query.attributes == {"amount": 12.0, "vip": False, "note": ""}
    assert type(query.attributes["vip"]) is bool
    assert query.context == {"text": "hello"}
    for name in (
        "tenant",
        "model",
        "model_version",
        "request_id",
        "subject_ref",
        "group_key",
        "answer_digest",
    ):
        assert getattr(query, name) == getattr(message, name)


def test_what_is_not_told_has_its_default():
    query = requests.query(route())
    assert query.intent is Intent.LIVE
    assert not query.category_from_model
    assert query.occurred_at is None
    assert query.fingerprint == b""
    assert requests.query(route(intent=decision_pb2.INTENT_LIVE)).intent is Intent.LIVE


@pytest.mark.parametrize("value", [0.0, 5e-324, 1.0, 0.1 + 0.2])
def test_a_score_arrives_to_the_last_bit(value):
    assert requests.query(route(score(value))).evidence.values == (value,)


def test_an_explicit_zero_is_a_confidence_of_zero():
    assert requests.query(route(score(0.0))).evidence.values == (0.0,)


def test_every_kind_of_evidence_gets_through():
    assert requests.query(route(positive(0.1, positive_class="spam"))).positive_class == "spam"
    assert requests.query(route(positive(0.1))).evidence == Evidence("positive_probability", (0.1,))
    assert requests.query(route(probabilities(0.25, 0.75))).evidence == Evidence(
        "probabilities", (0.25, 0.75)
    )
    assert requests.query(route(logits(-1e308, 1e308))).evidence == Evidence("logits", (-1e308, 1e308))


@pytest.mark.parametrize(
    ("span", "values"),
    [
        ({}, (-1.0, -2.0, -3.0)),
        ({"answer_start": 1}, (-2.0, -3.0)),
        ({"answer_end": 2}, (-1.0, -2.0)),
        ({"answer_start": 1, "answer_end": 2}, (-2.0,)),
        ({"answer_start": 0, "answer_end": 3}, (-1.0, -2.0, -3.0)),
    ],
)
def test_only_the_answer_span_of_the_tokens_counts(span, values):
    assert requests.query(route(tokens(-1.0, -2.0, -3.0, **span))).evidence.values == values


@pytest.mark.parametrize("reason", evidence_pb2.FinishReason.values())
def test_a_generation_that_was_cut_off_is_known_as_such(reason):
    cut = reason in (evidence_pb2.FINISH_REASON_LENGTH, evidence_pb2.FINISH_REASON_CONTENT_FILTER)
    assert requests.query(route(tokens(-1.0, finish_reason=reason))).evidence.truncated is cut


def test_the_longest_of_everything_still_gets_through():
    longest = "x" * 256
    message = route(
        tenant=longest,
        request_id=longest,
        category=longest,
        attributes={f"{n:0256d}": attribute(text="x" * 16_384) for n in range(64)},
        context={"c": "x" * 65_535},
        occurred_at=timestamp_pb2.Timestamp(seconds=253_402_214_399, nanos=999_999_999),
    )
    assert len(requests.query(message).attributes) == 64


def test_the_fingerprint_is_of_the_whole_body_in_any_order():
    context = {str(number): "x" for number in range(20)}
    turned = dict(reversed(context.items()))
    first = requests.query(route(request_id="r-1", context=context)).fingerprint
    assert requests.query(route(request_id="r-1", context=turned)).fingerprint == first
    for changes in ({"subject_ref": "s"}, {"context": {}}, {"intent": 2}, {"tenant": "a"}):
        other = route(**({"request_id": "r-1", "context": context} | changes))
        assert requests.query(other).fingerprint != first
    assert requests.query(route(score(0.91), request_id="r-1", context=context)).fingerprint != first


numbers = st.floats(width=64)
any_evidence = st.one_of(
    numbers.map(score),
    numbers.map(positive),
    st.lists(numbers, max_size=4).map(lambda values: probabilities(*values)),
    st.lists(numbers, max_size=4).map(lambda values: logits(*values)),
    st.builds(
        lambda values, start, end, reason: tokens(
            *values, answer_start=start, answer_end=end, finish_reason=reason
        ),
        st.lists(numbers, max_size=4),
        st.integers(0, 2**32 - 1) | st.integers(0, 4),
        st.integers(0, 2**32 - 1) | st.integers(0, 4),
        st.integers(-2, 7),
    ),
)


@given(any_evidence, st.text(max_size=300), st.integers(-(2**31), 2**31 - 1) | st.integers(0, 3))
def test_whatever_the_numbers_are_there_is_a_query_or_a_named_field(evidence, text, number):
    message = route(evidence, model=text, category=text, intent=number, category_source=number)
    try:
        query = requests.query(message)
    except InvalidRequest as refused:
        violations = refused.violations
    else:
        violations = ()
        assert evidence_problem(query.evidence) is None
        assert query.model == text
    malformed = not text or "\0" in text or len(text.encode()) > 256 or number not in (0, 1, 2)
    assert not (malformed and not violations)
    assert all(violation.field and violation.description for violation in violations)


def test_a_page_has_a_size():
    assert [requests.page_size(asked) for asked in (0, 1, 1000, 1001)] == [100, 1, 1000, 1000]
    with pytest.raises(InvalidRequest, match="page_size"):
        requests.page_size(-1)


def test_a_moment_is_optional_and_checked():
    request = decision_pb2.ListDecisionsRequest(
        decided_from=timestamp_pb2.Timestamp(seconds=5, nanos=500_000_000)
    )
    assert requests.moment("decided_from", request) == 5.5
    assert requests.moment("decided_to", request) is None
    request.decided_to.seconds = -1
    with pytest.raises(InvalidRequest, match="decided_to"):
        requests.moment("decided_to", request)
