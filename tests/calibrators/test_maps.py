"""Each map against its formula, its limits, and the parameters that it refuses."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from calibrators import (
    Beta,
    Calibrator,
    CalibratorRefused,
    Constant,
    Evidence,
    EvidenceUnusable,
    Identity,
    Isotonic,
    Platt,
    Temperature,
    VectorTemperature,
)


def sigmoid(value):
    return 1.0 / (1.0 + math.exp(-value))


def logit(score):
    return math.log(score / (1.0 - score))


@pytest.mark.parametrize(
    ("mapping", "score", "expected"),
    [
        (Identity(), 0.3, 0.3),
        (Constant(0.8), 0.3, 0.8),
        (Temperature(2.0), 0.9, sigmoid(logit(0.9) / 2.0)),
        (Temperature(0.5), 0.9, 0.81 / 0.82),
        (Temperature(1.0), 0.123, 0.123),
        (Platt(1.5, -0.4), 0.7, sigmoid(1.5 * logit(0.7) - 0.4)),
        (Platt(0.0, 0.0), 0.7, 0.5),
        (Platt(3.0, -2.0, "raw"), 0.7, sigmoid(3.0 * 0.7 - 2.0)),
        (Beta(1.2, 0.7, 0.3), 0.4, sigmoid(0.3 + 1.2 * math.log(0.4) - 0.7 * math.log(0.6))),
        (Beta(1.0, 1.0, 0.0), 0.4, 0.4),
        (Isotonic((0.2, 0.6), (0.1, 0.9)), 0.4, 0.5),
        (Isotonic((0.2, 0.6), (0.1, 0.9)), 0.1, 0.1),
        (Isotonic((0.2, 0.6), (0.1, 0.9)), 0.7, 0.9),
        (Isotonic((0.5,), (0.3,)), 0.9, 0.3),
    ],
)
def test_a_map_answers_its_formula(mapping, score, expected):
    assert Calibrator(mapping).apply_one(score) == pytest.approx(expected, abs=1e-13)
    assert Calibrator(mapping).apply([score])[0] == pytest.approx(expected, abs=1e-13)


def test_a_vector_map_answers_the_softmax_at_its_temperature():
    calibrator = Calibrator(VectorTemperature(2.0))
    expected = np.exp([1.0, 0.0, -1.5]) / np.exp([1.0, 0.0, -1.5]).sum()
    assert calibrator.apply_one([2.0, 0.0, -3.0]) == pytest.approx(expected, abs=1e-13)
    assert calibrator.apply([[2.0, 0.0, -3.0]])[0] == pytest.approx(expected, abs=1e-13)


def test_three_terms_that_overflow_together_still_give_a_number():
    calibrator = Calibrator(Beta(6.135035645609494e307, 1.1169695463079503e308, -1.6607937707222677e308))
    run = np.linspace(0.0, 1.0, 2001)
    calibrated = calibrator.apply(run)
    assert (np.diff(calibrated) >= 0.0).all()
    assert calibrated.tolist() == [calibrator.apply_one(score) for score in run.tolist()]


def test_the_ends_are_clipped_by_the_epsilon_of_the_document():
    assert Calibrator(Identity()).apply([0.0, 1.0]).tolist() == [1e-6, 1.0 - 1e-6]
    assert Calibrator(Identity(), epsilon=0.01).apply_one(1.0) == 0.99
    assert Calibrator(Isotonic((0.0, 1.0), (0.0, 1.0)), epsilon=0.01).apply_one(1.0) == 0.99
    assert Calibrator(Constant(1.0), epsilon=0.01).apply_one(0.5) == 0.99
    # The input too: the logit is that of 0.01.
    assert Calibrator(Temperature(2.0), epsilon=0.01).apply_one(0.0) == pytest.approx(
        sigmoid(logit(0.01) / 2)
    )


def test_negative_zero_leaves_no_trace():
    assert Calibrator(Platt(-0.0, -0.0)).digest == Calibrator(Platt(0.0, 0.0)).digest


def test_numbers_of_numpy_and_whole_numbers_become_plain_floats():
    assert Calibrator(Platt(np.float32(2.0), np.int64(1))) == Calibrator(Platt(2.0, 1.0))
    assert type(Temperature(2).temperature) is float
    knots = Isotonic(np.array([0.0, 1.0]), np.array([0.25, 0.5]))
    assert knots == Isotonic((0.0, 1.0), (0.25, 0.5))
    assert Calibrator(knots).digest == Calibrator(Isotonic((0.0, 1.0), (0.25, 0.5))).digest


@pytest.mark.parametrize(
    ("build", "code", "message"),
    [
        (lambda: Temperature(0.0), "OUT_OF_RANGE", "temperature is 0"),
        (lambda: Temperature(-1.0), "NOT_MONOTONE", r"temperature is -1\.0"),
        (lambda: Temperature(math.nan), "NOT_FINITE", "temperature is nan"),
        (lambda: VectorTemperature(math.inf), "NOT_FINITE", "temperature is inf"),
        (lambda: VectorTemperature(0.0), "OUT_OF_RANGE", "temperature"),
        (lambda: Platt(-0.1, 0.0), "NOT_MONOTONE", "slope"),
        (lambda: Platt(1.0, math.inf), "NOT_FINITE", "intercept"),
        (lambda: Platt(1.0, 0.0, "probit"), "DOCUMENT_MALFORMED", "on is 'probit'"),
        (lambda: Platt("steep", 0.0), "DOCUMENT_MALFORMED", "slope must be a number"),
        (lambda: Platt(10**400, 0.0), "NOT_FINITE", "slope"),
        (lambda: Beta(-1.0, 1.0, 0.0), "NOT_MONOTONE", "a is"),
        (lambda: Beta(1.0, -1.0, 0.0), "NOT_MONOTONE", "b is"),
        (lambda: Beta(1.0, 1.0, math.nan), "NOT_FINITE", "c is"),
        (lambda: Constant(1.5), "OUT_OF_RANGE", "value is"),
        (lambda: Constant(None), "DOCUMENT_MALFORMED", "value must be a number"),
        (lambda: Isotonic((), ()), "DOCUMENT_MALFORMED", "at least one"),
        (lambda: Isotonic((0.1, 0.2), (0.3,)), "DOCUMENT_MALFORMED", "2 knots and y has 1"),
        (lambda: Isotonic((0.2, 0.2), (0.3, 0.4)), "NOT_MONOTONE", r"x\[1\] is not above x\[0\]"),
        (lambda: Isotonic((0.1, 0.2), (0.4, 0.3)), "NOT_MONOTONE", r"y\[1\] is below y\[0\]"),
        (lambda: Isotonic((0.1, 1.2), (0.3, 0.4)), "OUT_OF_RANGE", r"x\[1\]"),
        (lambda: Isotonic((0.1, 0.2), (0.3, math.nan)), "NOT_FINITE", r"y\[1\]"),
        (lambda: Calibrator(Identity(), epsilon=0.0), "OUT_OF_RANGE", "epsilon"),
        (lambda: Calibrator(Identity(), epsilon=0.5), "OUT_OF_RANGE", "epsilon"),
        (lambda: Calibrator(Identity(), epsilon=math.nan), "NOT_FINITE", "epsilon"),
    ],
)
def test_parameters_that_make_no_calibrator_are_refused_by_name(build, code, message):
    with pytest.raises(CalibratorRefused, match=message) as refusal:
        build()
    assert refusal.value.code == code


@pytest.mark.parametrize("value", [[0.1, 0.2], "0.5", None])
def test_a_scalar_calibrator_takes_one_number(value):
    with pytest.raises(EvidenceUnusable, match="one score"):
        Calibrator(Identity()).apply_one(value)


@pytest.mark.parametrize("value", [0.5, [], [0.1, math.nan], [0.1, math.inf], None, ["a", "b"]])
def test_a_vector_calibrator_takes_one_vector_of_finite_numbers(value):
    with pytest.raises(EvidenceUnusable, match="vector of logits"):
        Calibrator(VectorTemperature(1.0)).apply_one(value)


@pytest.mark.parametrize("array", [[[0.5]], 0.5, ["high"], [[0.1], [0.2, 0.3]]])
def test_a_scalar_calibrator_takes_one_row_of_numbers(array):
    with pytest.raises(EvidenceUnusable, match=r"shape|array of numbers"):
        Calibrator(Identity()).apply(array)


@pytest.mark.parametrize("array", [[0.5, 0.5], np.zeros((2, 0)), np.zeros((2, 2, 2)), [[0.0, math.inf]]])
def test_a_vector_calibrator_takes_rows_of_finite_numbers(array):
    with pytest.raises(EvidenceUnusable, match="logit"):
        Calibrator(VectorTemperature(1.0)).apply(array)


@pytest.mark.parametrize(
    "mapping", [Identity(), Constant(0.5), Temperature(2.0), Beta(1, 1, 0), Isotonic((0.5,), (0.5,))]
)
def test_no_scores_give_no_confidences(mapping):
    assert Calibrator(mapping).apply([]).shape == (0,)
    assert Calibrator(VectorTemperature(2.0)).apply(np.zeros((0, 3))).shape == (0, 3)


def test_an_array_is_never_changed_in_place():
    given_scores, given_logits = np.array([0.0, 0.5, 1.0]), np.array([[1.0, 2.0]])
    for mapping in (
        Identity(),
        Constant(0.5),
        Temperature(2.0),
        Platt(2, 0, "raw"),
        Isotonic((0.5,), (0.5,)),
    ):
        result = Calibrator(mapping).apply(given_scores)
        result[:] = 7.0
        assert given_scores.tolist() == [0.0, 0.5, 1.0]
    Calibrator(VectorTemperature(2.0)).apply(given_logits)[:] = 7.0
    assert given_logits.tolist() == [[1.0, 2.0]]


def test_isotonic_answers_as_scikit_learn_does_from_its_knots():
    rng = np.random.default_rng(7)
    scores = np.round(rng.random(2000), 3)
    correct = (rng.random(2000) < scores**2).astype(float)
    fitted = IsotonicRegression(y_min=1e-6, y_max=1 - 1e-6, out_of_bounds="clip").fit(scores, correct)
    ours = Calibrator(Isotonic(fitted.X_thresholds_, fitted.y_thresholds_))
    everywhere = rng.random(5000)
    assert np.abs(ours.apply(everywhere) - fitted.predict(everywhere)).max() <= 1e-12


@pytest.mark.parametrize("spread", ["even", "crowded", "few"])
def test_isotonic_takes_the_same_steps_for_many_scores_as_for_one(spread):
    rng = np.random.default_rng(11)
    if spread == "crowded":  # thousands of knots within one cell of the table
        x = np.unique(np.concatenate([0.5 + rng.random(5000) * 1e-6, rng.random(50), [0.0, 1.0]]))
        many = np.concatenate([0.5 + rng.random(60_000) * 1e-6, x])
    else:
        x = np.unique(rng.random(3000 if spread == "even" else 3))
        many = np.concatenate([rng.random(60_000), x, [0.0, 1.0]])
    calibrator = Calibrator(Isotonic(x, np.sort(rng.random(len(x)))))
    together = calibrator.apply(many)
    assert together.tolist() == [calibrator.apply_one(score) for score in many.tolist()]
    in_order = together[np.argsort(many, kind="stable")]
    assert (np.diff(in_order) >= 0.0).all()


@given(
    st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8, unique=True).map(sorted),
    st.lists(st.floats(1e-6, 1 - 1e-6), min_size=8, max_size=8).map(sorted),
)
def test_isotonic_passes_through_its_knots(x, y):
    calibrator = Calibrator(Isotonic(tuple(x), tuple(y[: len(x)])))
    for knot, height in zip(x, y, strict=False):
        assert calibrator.apply_one(knot) == height
    for (left, low), (right, high) in pairwise(zip(x, y, strict=False)):
        assert low <= calibrator.apply_one(left + (right - left) / 2) <= high


def test_isotonic_does_not_overshoot_a_knot_by_rounding():
    # Found by search: without a clamp, the last score before the right knot comes out above the knot.
    x = float.fromhex("0x1.1fffffffffffep-6"), float.fromhex("0x1.bfffffffffffep-4")
    y = float.fromhex("0x1.3000000000003p-2"), float.fromhex("0x1.a000000000003p-1")
    before = float.fromhex("0x1.bfffffffffffdp-4")
    assert y[0] + (before - x[0]) / (x[1] - x[0]) * (y[1] - y[0]) > y[1]
    calibrator = Calibrator(Isotonic(x, y))
    assert calibrator.apply_one(before) <= calibrator.apply_one(x[1]) == y[1]
    assert calibrator.apply([before, x[1]]).tolist() == [y[1], y[1]]


def test_confidence_follows_the_given_answer_of_a_vector():
    calibrator = Calibrator(VectorTemperature(2.0))
    probabilities = calibrator.apply_one([2.0, 0.0, -3.0])
    for index in range(3):
        evidence = Evidence("logits", (2.0, 0.0, -3.0), answer_index=index)
        assert calibrator.confidence(evidence) == probabilities[index]
    assert calibrator.confidence(Evidence("logits", (2.0, 0.0, -3.0))) == probabilities[0]


def test_probabilities_go_through_their_logarithm():
    roots = np.sqrt([0.7, 0.2, 0.1])
    evidence = Evidence("probabilities", (0.7, 0.2, 0.1), answer_index=1)
    assert Calibrator(VectorTemperature(2.0)).confidence(evidence) == pytest.approx(roots[1] / roots.sum())
    certain = Evidence("probabilities", (1.0, 0.0), answer_index=1)
    assert Calibrator(VectorTemperature(1.0)).confidence(certain) == pytest.approx(1e-6, rel=1e-5)


def test_a_vector_calibrator_refuses_what_is_no_vector_or_a_malformed_one():
    calibrator = Calibrator(VectorTemperature(2.0))
    for evidence in (
        Evidence("score", (0.5,)),
        Evidence("token_logprobs", (-0.5, -0.5)),
        Evidence("probabilities", (0.5, 0.9)),
        Evidence("logits", (0.5, 0.9), answer_index=2),
    ):
        with pytest.raises(EvidenceUnusable):
            calibrator.confidence(evidence)


def test_a_scalar_calibrator_reads_the_raw_confidence_of_a_vector():
    calibrator = Calibrator(Platt(2.0, 0.1))
    evidence = Evidence("probabilities", (0.7, 0.2, 0.1), answer_index=1)
    assert calibrator.confidence(evidence) == calibrator.apply_one(0.2)
