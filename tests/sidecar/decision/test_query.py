"""A query as it is decided: its evidence tied to the answer that is given, by the policy's classes."""

import pytest

import calibrators
from calibrators import Evidence
from sidecar import errors
from sidecar.decision import query as queries
from sidecar.policy import loading
from sidecar.policy.tables import compile_policy
from tests import builders

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/c@champion
    evidence: EVIDENCE
    CLASSES
"""


def table(evidence, classes=""):
    text = POLICY.replace("EVIDENCE", evidence).replace("CLASSES", f"classes: {classes}" if classes else "")
    return compile_policy(loading.parse(text).policy)["lead-classifier"]


THREE = "[interested, not_now, unsubscribe]"


@pytest.mark.parametrize(
    ("predicted", "index", "final"),
    [("", 1, "not_now"), ("interested", 0, "interested"), ("unsubscribe", 2, "unsubscribe")],
)
def test_a_vector_is_tied_to_the_given_answer(predicted, index, final):
    query = builders.query(evidence=Evidence("probabilities", (0.2, 0.5, 0.3)), predicted_class=predicted)
    tied = queries.tied(query, table("probabilities", THREE))
    assert tied.evidence == Evidence("probabilities", (0.2, 0.5, 0.3), answer_index=index)
    assert tied.predicted_class == final
    assert queries.tied(tied, table("probabilities", THREE)) == tied


def test_the_first_of_equally_likely_classes_is_the_answer():
    query = builders.query(evidence=Evidence("logits", (1.0, 3.0, 3.0)), predicted_class="")
    assert queries.tied(query, table("logits", THREE)).predicted_class == "not_now"


def refused(query, table):
    with pytest.raises(errors.InvalidRequest) as caught:
        queries.tied(query, table)
    (violation,) = caught.value.violations
    return violation


def test_a_vector_of_another_length_is_named():
    violation = refused(builders.query(evidence=Evidence("logits", (1.0, 2.0))), table("logits", THREE))
    assert violation.field == "evidence.logits.values"
    assert "has 2 numbers; the policy lists 3 classes" in violation.description


def test_a_class_that_the_policy_does_not_list_is_named():
    vector = builders.query(evidence=Evidence("logits", (1.0, 2.0, 3.0)), predicted_class="maybe")
    assert refused(vector, table("logits", THREE)).field == "predicted_class"
    binary = builders.query(evidence=Evidence("positive_probability", (0.3,)), predicted_class="maybe")
    assert refused(binary, table("positive_probability", "[ham, spam]")).field == "predicted_class"


@pytest.mark.parametrize(
    ("probability", "predicted", "positive", "classes", "is_positive", "final"),
    [
        (0.1, "ham", "", "[ham, spam]", False, "ham"),
        (0.1, "spam", "", "[ham, spam]", True, "spam"),
        (0.1, "", "", "[ham, spam]", False, "ham"),
        (0.5, "", "", "[ham, spam]", True, "spam"),
        (0.1, "", "ham", "[ham, spam]", False, "spam"),
        (0.9, "", "ham", "[ham, spam]", True, "ham"),
        (0.1, "", "spam", "", False, "not spam"),
        (0.9, "", "spam", "", True, "spam"),
        (0.1, "ham", "spam", "", False, "ham"),
    ],
)
def test_a_positive_probability_is_turned_to_the_given_answer(
    probability, predicted, positive, classes, is_positive, final
):
    query = builders.query(
        evidence=Evidence("positive_probability", (probability,)),
        predicted_class=predicted,
        positive_class=positive,
    )
    tied = queries.tied(query, table("positive_probability", classes))
    assert (tied.evidence.answer_is_positive, tied.predicted_class) == (is_positive, final)
    raw = calibrators.evidence.raw_confidence(tied.evidence)
    assert raw == (probability if is_positive else 1.0 - probability)


def test_a_negative_answer_at_a_tenth_is_nine_tenths_sure():
    query = builders.query(evidence=Evidence("positive_probability", (0.1,)), predicted_class="ham")
    tied = queries.tied(query, table("positive_probability", "[ham, spam]"))
    assert calibrators.evidence.raw_confidence(tied.evidence) == 0.9


def test_a_positive_class_must_be_known():
    nameless = builders.query(evidence=Evidence("positive_probability", (0.1,)), predicted_class="")
    violation = refused(nameless, table("positive_probability"))
    assert violation.field == "evidence.positive_probability.positive_class"
    other = builders.query(evidence=Evidence("positive_probability", (0.1,)), positive_class="eggs")
    assert refused(other, table("positive_probability", "[ham, spam]")).field == violation.field


@pytest.mark.parametrize("given", [Evidence("score", (0.3,)), Evidence("token_logprobs", (-0.3,))])
def test_other_evidence_than_the_policys_is_left_to_hold(given):
    query = builders.query(evidence=given)
    assert queries.tied(query, table("logits", THREE)) is query


def test_a_category_is_decided_in_its_normal_form():
    tied = queries.tied(builders.query(category=" Legal-Language"), table("score"))
    assert tied.category == "legal_language"
