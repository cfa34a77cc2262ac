"""Category offsets: what they do to a confidence, on every path, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrators import (
    Beta,
    Calibrator,
    CalibratorRefused,
    Evidence,
    EvidenceUnusable,
    Identity,
    Isotonic,
    Platt,
    Temperature,
    VectorTemperature,
    category_offsets,
)

MAPS = [
    Identity(),
    Temperature(1.7),
    Platt(1.02, -0.49),
    Platt(60.0, 3.0),
    Beta(0.8, 1.3, -0.2),
    Isotonic((0.05, 0.3, 0.31, 0.7), (0.1, 0.30000000000000004, 0.7, 0.7000000000000001)),
]
OFFSETS = {"refunds": -0.75, "pricing": 1.25, "far": 5.0, "low": -5.0}
scores = st.one_of(st.sampled_from([0.0, 5e-324, 1e-6, 0.5, 1.0 - 1e-6, 1.0]), st.floats(0.0, 1.0))


def test_an_offset_is_added_to_the_logit():
    calibrator = Calibrator(Identity(), category_offsets=OFFSETS)
    odds = 0.8 / 0.2 * math.exp(-0.75)
    assert calibrator.apply_one(0.8, "refunds") == pytest.approx(odds / (1.0 + odds), abs=1e-12)
    assert calibrator.apply_one(0.8, "other") == calibrator.apply_one(0.8) == 0.8
    assert calibrator.confidence(Evidence("score", (0.8,)), "refunds") == calibrator.apply_one(0.8, "refunds")


@pytest.mark.parametrize("mapping", MAPS, ids=repr)
@given(
    run=st.lists(scores, min_size=1, max_size=20).map(sorted),
    offset=st.floats(-5.0, 5.0),
    epsilon=st.sampled_from([1e-12, 1e-6, 1e-3, 0.1]),
)
def test_both_paths_keep_the_order_and_the_range_in_every_category(mapping, run, offset, epsilon):
    calibrator = Calibrator(mapping, epsilon=epsilon, category_offsets={"a": offset})
    run = sorted({*run, *(min(1.0, math.nextafter(score, 2.0)) for score in run)})
    one_by_one = [calibrator.apply_one(score, "a") for score in run]
    together = calibrator.apply(run, ["a"] * len(run))
    assert np.abs(together - one_by_one).max() <= 1e-12
    for calibrated in (one_by_one, together.tolist()):
        assert calibrated == sorted(calibrated)
        assert all(epsilon <= value <= 1.0 - epsilon for value in calibrated)


@pytest.mark.parametrize("mapping", MAPS, ids=repr)
def test_a_category_without_an_offset_is_left_alone_to_the_last_bit(mapping):
    plain = Calibrator(mapping)
    shifted = Calibrator(mapping, category_offsets=OFFSETS)
    run = np.linspace(0.0, 1.0, 501)
    categories = np.array(["", "unknown", "refunds"])[np.arange(501) % 3]
    together = shifted.apply(run, categories)
    without = categories != "refunds"
    assert (together[without] == plain.apply(run)[without]).all()
    assert (together[~without] <= plain.apply(run)[~without]).all()
    assert (shifted.apply(run) == plain.apply(run)).all()


def test_the_offset_of_a_vector_is_that_of_the_given_answer():
    calibrator = Calibrator(VectorTemperature(1.5), category_offsets=OFFSETS)
    vector = (2.0, -1.0, 0.5)
    plain = calibrator.apply_one(vector)
    shifted = calibrator.apply_one(vector, "refunds")
    for index in range(3):
        given_answer = Evidence("logits", vector, answer_index=index)
        assert calibrator.confidence(given_answer, "refunds") == shifted[index]
        assert shifted[index] == category_offsets.shift(plain[index], -0.75, calibrator.epsilon)
    together = calibrator.apply([vector, vector], ["refunds", ""])
    assert together[0] == pytest.approx(shifted, abs=1e-12)
    assert together[1] == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize(
    ("offsets", "code", "message"),
    [
        ({"a": 5.01}, "OUT_OF_RANGE", "5.01"),
        ({"a": math.nan}, "NOT_FINITE", "nan"),
        ({"a": "1"}, "DOCUMENT_MALFORMED", "must be a number"),
        ({"": 1.0}, "DOCUMENT_MALFORMED", "must not be empty"),
        ({7: 1.0}, "DOCUMENT_MALFORMED", "must be a text"),
        ([("a", 1.0)], "DOCUMENT_MALFORMED", "must be an object"),
    ],
)
def test_bad_offsets_are_refused(offsets, code, message):
    with pytest.raises(CalibratorRefused, match=message) as refused:
        Calibrator(Identity(), category_offsets=offsets)
    assert refused.value.code == code


@pytest.mark.parametrize("categories", [["a"], [["a"], ["b"]], "a"])
def test_there_is_one_category_for_each_value(categories):
    with pytest.raises(EvidenceUnusable, match="there are 2 values"):
        Calibrator(Identity(), category_offsets={"a": 1.0}).apply([0.1, 0.2], categories)


def test_the_offsets_of_a_calibrator_cannot_be_changed():
    given_offsets = {"a": 1.0}
    calibrator = Calibrator(Identity(), category_offsets=given_offsets)
    given_offsets["a"] = 2.0
    assert calibrator.category_offsets["a"] == 1.0
    with pytest.raises(TypeError):
        calibrator.category_offsets["a"] = 2.0
