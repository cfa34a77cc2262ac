"""The lower curve: never above the confidence, never reversing an order, alike on both paths."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrators import (
    Calibrator,
    CalibratorRefused,
    Evidence,
    Identity,
    LowerCurve,
    Platt,
    VectorTemperature,
)

CURVE = LowerCurve(level=0.95, method="by_hand", confidences=(0.4, 0.8, 0.9), bounds=(0.2, 0.7, 0.85))
unit = st.one_of(st.sampled_from([0.0, 5e-324, 1e-6, 0.5, 1.0 - 1e-6, 1.0]), st.floats(0.0, 1.0))


@st.composite
def curves(draw):
    confidences = draw(st.lists(unit, min_size=1, max_size=12, unique=True).map(sorted))
    shares = draw(st.lists(unit, min_size=len(confidences), max_size=len(confidences)))
    bounds = [share * confidence for share, confidence in zip(shares, confidences, strict=True)]
    bounds = np.minimum.accumulate(bounds[::-1])[::-1].tolist()
    return LowerCurve(level=0.9, method="drawn", confidences=tuple(confidences), bounds=tuple(bounds))


@pytest.mark.parametrize(
    ("confidence", "bound"),
    [(0.4, 0.2), (0.2, 0.1), (0.1, 0.05), (0.6, 0.45), (0.8, 0.7), (0.85, 0.775), (0.9, 0.85), (0.99, 0.85)],
)
def test_lines_between_knots_to_the_origin_below_and_flat_above(confidence, bound):
    calibrator = Calibrator(Identity(), lower=CURVE)
    assert calibrator.bound_of(confidence) == pytest.approx(bound, abs=1e-15)
    assert calibrator.lower_bound(Evidence("score", (confidence,))) == calibrator.bound_of(confidence)


def test_without_a_curve_there_is_no_bound():
    assert Calibrator(Identity()).bound_of(0.9) is None
    assert Calibrator(Identity()).lower_bound(Evidence("score", (0.9,))) is None


def test_the_bound_is_that_of_the_confidence_in_its_category():
    calibrator = Calibrator(Identity(), category_offsets={"refunds": -1.0}, lower=CURVE)
    evidence = Evidence("score", (0.9,))
    assert calibrator.lower_bound(evidence, "refunds") == calibrator.bound_of(
        calibrator.confidence(evidence, "refunds")
    )
    assert calibrator.lower_bound(evidence, "refunds") < calibrator.lower_bound(evidence)
    vector = Calibrator(VectorTemperature(1.5), category_offsets={"refunds": -1.0}, lower=CURVE)
    given_answer = Evidence("logits", (2.0, 0.0), answer_index=1)
    assert vector.lower_bound(given_answer, "refunds") == vector.bound_of(
        vector.apply_one((2.0, 0.0), "refunds")[1]
    )


@given(
    curve=curves(), run=st.lists(unit, min_size=1, max_size=30), epsilon=st.sampled_from([1e-12, 1e-6, 0.1])
)
def test_the_bound_keeps_the_order_the_range_and_stays_below(curve, run, epsilon):
    run = sorted({*run, *(min(1.0, math.nextafter(value, 2.0)) for value in run), *curve.confidences})
    run = [min(max(value, epsilon), 1.0 - epsilon) for value in run]
    bounds = [curve.one(value, epsilon) for value in run]
    assert bounds == curve.many(np.array(run), epsilon).tolist()
    assert bounds == sorted(bounds)
    for value, bound in zip(run, bounds, strict=True):
        assert epsilon <= bound <= value


@given(
    curve=curves(),
    run=st.lists(unit, min_size=1, max_size=10).map(sorted),
    offset=st.floats(-5.0, 5.0),
)
def test_the_bound_keeps_the_order_of_the_scores_in_every_category(curve, run, offset):
    calibrator = Calibrator(Platt(1.3, -0.2), category_offsets={"a": offset}, lower=curve)
    for category in ("", "a"):
        given_scores = [Evidence("score", (score,)) for score in run]
        bounds = [calibrator.lower_bound(each, category) for each in given_scores]
        assert bounds == sorted(bounds)
        for each, bound in zip(given_scores, bounds, strict=True):
            assert bound <= calibrator.confidence(each, category)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"level": 0.5}, "OUT_OF_RANGE"),
        ({"level": 1.0}, "OUT_OF_RANGE"),
        ({"level": math.inf}, "NOT_FINITE"),
        ({"method": ""}, "DOCUMENT_MALFORMED"),
        ({"bounds": (0.2, 0.7)}, "DOCUMENT_MALFORMED"),
        ({"bounds": (0.2, 0.81, 0.85)}, "OUT_OF_RANGE"),
        ({"bounds": (0.2, 0.7, 0.69)}, "NOT_MONOTONE"),
        ({"bounds": (-0.1, 0.7, 0.8)}, "OUT_OF_RANGE"),
        ({"confidences": (0.4, 0.9, 0.9)}, "NOT_MONOTONE"),
        ({"confidences": (), "bounds": ()}, "DOCUMENT_MALFORMED"),
    ],
)
def test_a_bad_curve_is_refused(change, code):
    fields = {"level": 0.95, "method": "m", "confidences": (0.4, 0.8, 0.9), "bounds": (0.2, 0.7, 0.85)}
    with pytest.raises(CalibratorRefused, match="lower") as refused:
        LowerCurve(**{**fields, **change})
    assert refused.value.code == code
