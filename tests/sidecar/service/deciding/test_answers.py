"""The structured answer when nothing is certain."""

import pytest

import calibrators
from calibrators import Evidence
from sidecar.policy import loading
from sidecar.policy.actions import Action
from sidecar.policy.tables import compile_policy
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
    assert calibrated[0] == answer.decision.verdict.calibrated_confidence
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
    assert candidate.calibrated_confidence == answer.decision.verdict.calibrated_confidence


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
