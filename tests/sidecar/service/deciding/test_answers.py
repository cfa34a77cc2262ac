"""From evidence to named classes, and the structured answer when nothing is certain."""

import pytest

import calibrators
from calibrators import Evidence
from sidecar import errors
from sidecar.policy import loading
from sidecar.policy.actions import Action
from sidecar.policy.tables import compile_policy
from sidecar.service.deciding import answers
from tests import builders
from tests.sidecar import services

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
    assert answers.tie_to_classes(query, table("probabilities", THREE)) == (
        Evidence("probabilities", (0.2, 0.5, 0.3), answer_index=index),
        final,
    )


def test_the_first_of_equally_likely_classes_is_the_answer():
    query = builders.query(evidence=Evidence("logits", (1.0, 3.0, 3.0)), predicted_class="")
    assert answers.tie_to_classes(query, table("logits", THREE))[1] == "not_now"


def refused(query, table):
    with pytest.raises(errors.InvalidRequest) as caught:
        answers.tie_to_classes(query, table)
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
    tied, answer = answers.tie_to_classes(query, table("positive_probability", classes))
    assert (tied.answer_is_positive, answer) == (is_positive, final)
    raw = calibrators.evidence.raw_confidence(tied)
    assert raw == (probability if is_positive else 1.0 - probability)


def test_a_negative_answer_at_a_tenth_is_nine_tenths_sure():
    query = builders.query(evidence=Evidence("positive_probability", (0.1,)), predicted_class="ham")
    tied, _ = answers.tie_to_classes(query, table("positive_probability", "[ham, spam]"))
    assert calibrators.evidence.raw_confidence(tied) == 0.9


def test_a_positive_class_must_be_known():
    nameless = builders.query(evidence=Evidence("positive_probability", (0.1,)), predicted_class="")
    violation = refused(nameless, table("positive_probability"))
    assert violation.field == "evidence.positive_probability.positive_class"
    other = builders.query(evidence=Evidence("positive_probability", (0.1,)), positive_class="eggs")
    assert refused(other, table("positive_probability", "[ham, spam]")).field == violation.field


@pytest.mark.parametrize("given", [Evidence("score", (0.3,)), Evidence("token_logprobs", (-0.3,))])
def test_other_evidence_than_the_policys_is_left_to_hold(given):
    assert answers.tie_to_classes(builders.query(evidence=given), table("logits", THREE)) == (
        given,
        "interested",
    )


@pytest.fixture
def uncertain_over():
    """The candidates of an answer that the journal could not take."""

    def ask(policy_evidence, classes, given, mapping, fitted, **changes):
        slot = {("lead-classifier", ""): builders.calibrator_in_force(mapping, evidence=fitted)}
        text = POLICY.replace("EVIDENCE", policy_evidence).replace("CLASSES", f"classes: {classes}")
        made = services.bare(text, slot)
        made.journal.break_down()
        answer = made.router.route(builders.query(evidence=given, **changes))
        assert answer.decision.action is Action.UNCERTAIN
        return answer

    return ask


def test_the_candidates_of_a_vector_are_the_likeliest_classes_calibrated(uncertain_over):
    answer = uncertain_over(
        "probabilities",
        "[a, b, c, d, e, f]",
        Evidence("probabilities", (0.05, 0.4, 0.1, 0.2, 0.22, 0.03)),
        calibrators.VectorTemperature(2.0),
        "probabilities",
        predicted_class="",
    )
    assert [candidate.answer_class for candidate in answer.candidates] == ["b", "e", "d", "c", "a"]
    assert [candidate.raw_confidence for candidate in answer.candidates] == [0.4, 0.22, 0.2, 0.1, 0.05]
    calibrated = [candidate.calibrated_confidence for candidate in answer.candidates]
    assert calibrated == sorted(calibrated, reverse=True)
    assert calibrated[0] == answer.decision.calibrated_confidence
    assert answer.retry_after_seconds == 5.0


def test_a_calibrator_of_scores_says_nothing_about_the_other_classes(uncertain_over):
    answer = uncertain_over(
        "probabilities", "[a, b]", Evidence("probabilities", (0.3, 0.7)), None, "probabilities",
        predicted_class="b",
    )  # fmt: skip
    assert [(c.answer_class, c.calibrated_confidence) for c in answer.candidates] == [
        ("b", None),
        ("a", None),
    ]


def test_the_candidate_of_a_score_is_the_answer_itself(uncertain_over):
    answer = uncertain_over("score", "[]", Evidence("score", (0.8,)), None, "score")
    (candidate,) = answer.candidates
    assert (candidate.answer_class, candidate.raw_confidence) == ("interested", 0.8)
    assert candidate.calibrated_confidence == answer.decision.calibrated_confidence


def test_evidence_of_another_kind_has_no_vector_to_list(uncertain_over):
    answer = uncertain_over("score", "[]", Evidence("logits", (1.0, 2.0)), None, "score")
    assert [c.answer_class for c in answer.candidates] == ["interested"]
    assert answer.candidates[0].raw_confidence is None


def test_a_replay_is_the_same_answer_marked():
    answer = services.bare().router.route(builders.query())
    replay = answer.as_replay()
    assert replay.replayed
    assert replay.decision is answer.decision
    assert not answer.replayed
