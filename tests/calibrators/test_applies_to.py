"""Which requests a calibrator serves."""

import pytest

from calibrators import AppliesTo, CalibratorRefused, matches

FITTED_FOR = AppliesTo(
    model="lead-classifier", model_versions=("v7", "v8"), evidence="token_logprobs", answer="argmax"
)
REQUEST = {
    "model": "lead-classifier",
    "model_version": "v8",
    "source": "primary",
    "evidence_kind": "token_logprobs",
    "aggregation": "mean",
    "criterion": "correct",
    "answer_is_top": True,
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"model_version": "v7"}, None),
        ({"aggregation": "none"}, None),  # the default of token log-probabilities is their mean
        ({"model": "lead-classifier-2"}, "EVIDENCE_MISMATCH"),
        ({"source": "secondary"}, "EVIDENCE_MISMATCH"),
        ({"evidence_kind": "score"}, "EVIDENCE_MISMATCH"),
        ({"aggregation": "min"}, "EVIDENCE_MISMATCH"),
        ({"criterion": "acceptable"}, "EVIDENCE_MISMATCH"),
        ({"model_version": "v9"}, "MODEL_VERSION_UNCALIBRATED"),
        ({"model_version": ""}, "MODEL_VERSION_UNCALIBRATED"),
        ({"answer_is_top": False}, "ANSWER_UNCALIBRATED"),
        ({"model": "other", "model_version": "v9", "answer_is_top": False}, "EVIDENCE_MISMATCH"),
        ({"model_version": "v9", "answer_is_top": False}, "MODEL_VERSION_UNCALIBRATED"),
    ],
)
def test_a_request_is_served_or_the_first_mismatch_is_named(change, reason):
    assert matches(FITTED_FOR, **{**REQUEST, **change}) == reason


@pytest.mark.parametrize("version", ["", "v1", "anything"])
def test_any_version_means_any_and_none_at_all(version):
    anyone = AppliesTo(model="m", model_versions=None, evidence="score")
    request = {**REQUEST, "model": "m", "evidence_kind": "score", "aggregation": "none"}
    assert matches(anyone, **{**request, "model_version": version}) is None


def test_a_calibrator_of_given_answers_serves_any_answer():
    given = AppliesTo(model="m", model_versions=None, evidence="logits", answer="given")
    request = {**REQUEST, "model": "m", "evidence_kind": "logits", "answer_is_top": False}
    assert matches(given, **request) is None


def test_a_document_written_by_hand_serves_nothing():
    assert matches(None, **REQUEST) == "EVIDENCE_MISMATCH"


def test_the_default_aggregation_is_stored_by_its_name():
    assert FITTED_FOR.aggregation == "mean"
    assert AppliesTo(
        model="m", model_versions=None, evidence="token_logprobs", aggregation="mean"
    ) == AppliesTo(model="m", model_versions=None, evidence="token_logprobs")


def test_versions_are_kept_as_a_tuple():
    assert AppliesTo(model="m", model_versions=["a", "b"], evidence="score").model_versions == ("a", "b")


@pytest.mark.parametrize(
    "fields",
    [
        {"model": ""},
        {"model": None},
        {"model_versions": ()},
        {"model_versions": "v7"},
        {"model_versions": ("",)},
        {"source": "oracle"},
        {"evidence": "vibes"},
        {"aggregation": "mean"},
        {"answer": "any"},
        {"criterion": ""},
    ],
)
def test_what_names_no_requests_is_refused(fields):
    with pytest.raises(CalibratorRefused, match=rf"applies_to\.{next(iter(fields))}"):
        AppliesTo(**{"model": "m", "model_versions": None, "evidence": "score", **fields})
