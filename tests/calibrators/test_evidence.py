"""What evidence implies, and what is wrong with malformed evidence."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrators import Evidence, EvidenceUnusable
from calibrators.evidence import (
    EVIDENCE_KINDS,
    answer_is_top,
    candidates,
    clipped,
    effective_aggregation,
    problem,
    raw_confidence,
)

LN_HALF = math.log(0.5)

WELL_FORMED = [
    (Evidence("score", (0.94,)), "none", 0.94),
    (Evidence("score", (0.0,)), "none", 0.0),
    (Evidence("score", (1.0,)), "none", 1.0),
    (Evidence("positive_probability", (0.1,), answer_is_positive=False), "none", 0.9),
    (Evidence("positive_probability", (0.1,)), "none", 0.1),
    (Evidence("probabilities", (0.2, 0.5, 0.3)), "none", 0.5),
    (Evidence("probabilities", (0.2, 0.5, 0.3), answer_index=2), "none", 0.3),
    (Evidence("probabilities", (0.2, 0.5, 0.295)), "none", 0.5),
    (Evidence("logits", (0.0, math.log(3.0))), "none", 0.75),
    (Evidence("logits", (0.0, math.log(3.0)), answer_index=0), "none", 0.25),
    (Evidence("logits", (1e308, -1e308)), "none", 1.0),
    (Evidence("logits", (1e308, -1e308), answer_index=1), "none", 0.0),
    (Evidence("token_logprobs", (LN_HALF, 0.0)), "none", math.sqrt(0.5)),
    (Evidence("token_logprobs", (LN_HALF, 0.0)), "mean", math.sqrt(0.5)),
    (Evidence("token_logprobs", (LN_HALF, LN_HALF)), "sum", 0.25),
    (Evidence("token_logprobs", (LN_HALF, 2 * LN_HALF)), "min", 0.25),
    (Evidence("token_logprobs", (0.0009,)), "sum", 1.0),
    (Evidence("token_logprobs", (-1e308, -1e308)), "mean", 0.0),
    (Evidence("token_logprobs", (LN_HALF,), truncated=True), "mean", 0.5),
]

MALFORMED = [
    (Evidence("score", ()), "exactly one value, not 0"),
    (Evidence("score", (0.5, 0.5)), "exactly one value, not 2"),
    (Evidence("score", (math.nan,)), "between 0 and 1, and is nan"),
    (Evidence("score", (-0.01,)), "between 0 and 1"),
    (Evidence("score", (94.0,)), "between 0 and 1"),
    (Evidence("positive_probability", (math.inf,)), "positive_probability must be between 0 and 1"),
    (Evidence("positive_probability", (0.2, 0.8)), "exactly one value"),
    # One less it rounds to exactly 1.
    (Evidence("positive_probability", (-1e-37,), answer_is_positive=False), "between 0 and 1, and is -1e-37"),
    (Evidence("probabilities", ()), "at least two, not 0"),
    (Evidence("probabilities", (1.0,)), "at least two, not 1"),
    (Evidence("probabilities", (0.5, math.nan)), "probability 1 is nan"),
    (Evidence("probabilities", (1.2, -0.2)), "probability 0 is 1.2"),
    (Evidence("probabilities", (0.5, 0.52)), "sum to 1.02"),
    (Evidence("probabilities", (0.5, 0.5), answer_index=2), "index 2 is outside the 2 classes"),
    (Evidence("probabilities", (0.5, 0.5), answer_index=-1), "index -1 is outside"),
    (Evidence("logits", ()), "at least two"),
    (Evidence("logits", (0.0, math.inf)), "logit 1 is inf"),
    (Evidence("logits", (math.nan, 0.0)), "logit 0 is nan"),
    (Evidence("logits", (1.0, 0.0), answer_index=7), "index 7 is outside"),
    (Evidence("token_logprobs", ()), "is empty"),
    (Evidence("token_logprobs", (-0.1, 0.002)), "token log-probability 1 is 0.002"),
    (Evidence("token_logprobs", (-math.inf,)), "token log-probability 0 is -inf"),
    (Evidence("token_logprobs", (math.nan,)), "token log-probability 0 is nan"),
    (Evidence("entropy", (0.5,)), "evidence kind 'entropy' is unknown"),
]


@pytest.mark.parametrize(("evidence", "aggregation", "expected"), WELL_FORMED)
def test_well_formed_evidence_implies_its_confidence(evidence, aggregation, expected):
    assert problem(evidence) is None
    assert raw_confidence(evidence, aggregation) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("evidence", "message"), MALFORMED)
def test_malformed_evidence_is_named_and_has_no_confidence(evidence, message):
    assert message in problem(evidence)
    with pytest.raises(EvidenceUnusable, match=r"\w+ \w+"):
        raw_confidence(evidence)


def test_every_kind_has_an_example_of_both():
    assert {evidence.kind for evidence, _, _ in WELL_FORMED} == set(EVIDENCE_KINDS)
    assert {evidence.kind for evidence, _ in MALFORMED} >= set(EVIDENCE_KINDS)


def test_an_unknown_aggregation_is_refused():
    with pytest.raises(EvidenceUnusable, match="aggregation 'median' is unknown"):
        raw_confidence(Evidence("token_logprobs", (-1.0,)), "median")


@pytest.mark.parametrize(
    "values",
    [
        (0.33, 0.33, 0.33),
        (0.34, 0.34, 0.33),
        (0.99, 0.0),
        (0.5, 0.51),
        (0.14,) * 7,
        (0.03,) * 30,
        (1.0000001192092896, 0.0),
    ],
)
def test_what_rounding_leaves_of_a_sum_is_good(values):
    assert problem(Evidence("probabilities", values)) is None
    assert 0.0 <= raw_confidence(Evidence("probabilities", values)) <= 1.0


@pytest.mark.parametrize(
    "values", [(0.5, 0.48), (0.33, 0.33, 0.32), (0.0,) * 1000, (0.02,) * 44, (1.00001, 0.0)]
)
def test_what_rounding_does_not_explain_is_a_problem(values):
    assert problem(Evidence("probabilities", values)) is not None


@pytest.mark.parametrize("kind", ["score", "positive_probability"])
def test_the_float32_next_to_one_is_one(kind):
    above = Evidence(kind, (1.0000001192092896,))
    assert problem(above) is None
    assert raw_confidence(above) == 1.0
    assert clipped(above).values == (1.0,)
    assert clipped(Evidence(kind, (0.5,))).values == (0.5,)
    negative = above._replace(answer_is_positive=False)
    assert raw_confidence(negative) == (1.0 if kind == "score" else 0.0)
    assert problem(Evidence(kind, (1.0 + 2e-6,))) is not None


def test_only_token_logprobs_are_aggregated_and_by_their_mean_unless_told_otherwise():
    assert effective_aggregation("token_logprobs") == "mean"
    assert effective_aggregation("token_logprobs", "min") == "min"
    assert {effective_aggregation(kind, "sum") for kind in EVIDENCE_KINDS if kind != "token_logprobs"} == {
        "none"
    }


@pytest.mark.parametrize(
    ("evidence", "top"),
    [
        (Evidence("score", (0.1,)), True),
        (Evidence("token_logprobs", (-9.0,)), True),
        (Evidence("positive_probability", (0.5,)), True),
        (Evidence("positive_probability", (0.49,)), False),
        (Evidence("positive_probability", (0.49,), answer_is_positive=False), True),
        (Evidence("probabilities", (0.4, 0.6)), True),
        (Evidence("probabilities", (0.4, 0.6), answer_index=0), False),
        (Evidence("probabilities", (0.5, 0.5), answer_index=1), True),
        (Evidence("logits", (-3.0, 4.0, 4.0), answer_index=2), True),
        (Evidence("logits", (-3.0, 4.0, 4.0), answer_index=0), False),
    ],
)
def test_the_given_answer_is_the_most_likely_one_or_not(evidence, top):
    assert answer_is_top(evidence) is top


def test_candidates_are_the_class_probabilities_of_vectors_only():
    assert candidates(Evidence("probabilities", (0.4, 0.6))) == (0.4, 0.6)
    assert candidates(Evidence("logits", (0.0, math.log(3.0)))) == pytest.approx((0.25, 0.75))
    assert candidates(Evidence("score", (0.4,))) is None
    assert candidates(Evidence("positive_probability", (0.4,))) is None
    assert candidates(Evidence("token_logprobs", (-0.4,))) is None


finite = st.floats(allow_nan=False, allow_infinity=False)
vectors = st.lists(finite, min_size=2, max_size=8).map(tuple)
anything = st.builds(
    Evidence,
    st.sampled_from(EVIDENCE_KINDS),
    st.lists(st.floats() | st.floats(-1.0, 1.0), max_size=4).map(tuple),
    st.none() | st.integers(-2, 4),
    st.booleans(),
)


@given(anything, st.sampled_from(["none", "mean", "min", "sum"]))
def test_evidence_is_either_named_malformed_or_implies_a_confidence(evidence, aggregation):
    if problem(evidence) is None:
        assert 0.0 <= raw_confidence(evidence, aggregation) <= 1.0
    else:
        with pytest.raises(EvidenceUnusable):
            raw_confidence(evidence, aggregation)


@given(vectors)
def test_logits_share_one_whole_among_the_classes(vector):
    probabilities = candidates(Evidence("logits", vector))
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-12)
    for index, probability in enumerate(probabilities):
        assert raw_confidence(Evidence("logits", vector, index)) == probability
    assert raw_confidence(Evidence("logits", vector)) == max(probabilities)


@given(st.lists(st.floats(-50.0, 0.0), min_size=1, max_size=20).map(tuple))
def test_the_sum_is_never_above_the_least_token_nor_that_above_the_mean(logprobs):
    evidence = Evidence("token_logprobs", logprobs)
    total, least, mean = (raw_confidence(evidence, aggregation) for aggregation in ("sum", "min", "mean"))
    assert total <= least * (1 + 1e-12)
    assert least <= mean * (1 + 1e-12)


@given(st.floats(0.0, 1.0))
def test_both_answers_to_a_yes_or_no_question_share_one_whole(probability):
    yes = raw_confidence(Evidence("positive_probability", (probability,)))
    no = raw_confidence(Evidence("positive_probability", (probability,), answer_is_positive=False))
    assert yes + no == pytest.approx(1.0, abs=1e-15)
