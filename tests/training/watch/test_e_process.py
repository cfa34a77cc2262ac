import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special

from training import errors
from training.watch import e_process
from training.watch.e_process import BetaMixture

PROMISES = st.floats(0.02, 0.999)


def test_vector() -> None:
    mixture = BetaMixture(promise=0.95, a=18.0, b=2.0)
    assert mixture.log_e(85, 15) == pytest.approx(6.038489, abs=5e-7)
    assert math.exp(mixture.log_e(85, 15)) == pytest.approx(419.259, abs=1e-3)
    assert mixture.log_e(0, 0) == 0.0


@pytest.mark.parametrize(
    ("promise", "a", "b"),
    [(0.95, 18.0, 2.0), (0.70, 13.0, 7.0), (0.99, 18.8, 1.2), (0.06, 0.6, 19.4), (0.02, 0.2, 19.8)],
)
def test_default_prior(promise: float, a: float, b: float) -> None:
    mixture = BetaMixture.default(promise)
    assert (mixture.a, mixture.b) == (pytest.approx(a), pytest.approx(b))


@given(promise=st.floats(0.3, 0.99), correct=st.integers(0, 300), wrong=st.integers(0, 60))
@settings(max_examples=50, deadline=None)
def test_is_the_integral_over_the_truncated_prior(promise: float, correct: int, wrong: int) -> None:
    mixture = BetaMixture.default(promise)
    grid = np.linspace(1e-9, promise, 4_001)

    def log_integral(a: float, b: float) -> float:
        """ln of the integral of q^(a-1) (1-q)^(b-1) from 0 to p0, by quadrature around its peak."""
        heights = (a - 1.0) * np.log(grid) + (b - 1.0) * np.log1p(-grid)
        peak = float(heights.max())
        value, _ = integrate.quad(
            lambda q: math.exp((a - 1.0) * math.log(q) + (b - 1.0) * math.log1p(-q) - peak),
            grid[0],
            promise,
            points=[float(grid[heights.argmax()])],
            limit=200,
            epsabs=0.0,
            epsrel=1e-9,
        )
        return math.log(value) + peak

    expected = (
        log_integral(correct + mixture.a, wrong + mixture.b)
        - log_integral(mixture.a, mixture.b)
        - correct * math.log(promise)
        - wrong * math.log1p(-promise)
    )
    assert mixture.log_e(correct, wrong) == pytest.approx(expected, abs=1e-6)


@given(promise=PROMISES, correct=st.integers(0, 5000), wrong=st.integers(0, 500), extra=st.floats(0.0, 1.0))
@settings(deadline=None)
def test_expects_no_growth_from_a_label_while_the_promise_is_kept(
    promise: float, correct: int, wrong: int, extra: float
) -> None:
    """Enumerates the next label: sum over outcomes of P(outcome) E' / E <= 1 for every accuracy >= p0."""
    mixture = BetaMixture.default(promise)
    accuracy = promise + extra * (1.0 - promise)
    now = mixture.log_e(correct, wrong)
    grown = accuracy * math.exp(mixture.log_e(correct + 1, wrong) - now) + (1.0 - accuracy) * math.exp(
        mixture.log_e(correct, wrong + 1) - now
    )
    assert grown <= 1.0 + 1e-9
    if extra == 0.0:
        assert grown == pytest.approx(1.0, abs=1e-9)


@given(outcomes=st.lists(st.booleans(), min_size=1, max_size=80), promise=PROMISES, seed=st.integers(0, 99))
def test_the_order_of_the_labels_does_not_matter(outcomes: list[bool], promise: float, seed: int) -> None:
    mixture = BetaMixture.default(promise)
    shuffled = np.random.default_rng(seed).permutation(outcomes)
    assert mixture.log_e_path(outcomes)[-1] == mixture.log_e_path(shuffled)[-1]
    assert mixture.log_e_path(outcomes)[-1] == mixture.log_e(sum(outcomes), len(outcomes) - sum(outcomes))


def test_a_path_is_the_value_after_each_label_of_each_stream() -> None:
    outcomes = np.random.default_rng(3).random((2, 5, 40)) < 0.8
    mixture = BetaMixture.default(0.9)
    path = mixture.log_e_path(outcomes)
    assert path.shape == outcomes.shape
    for index in np.ndindex(outcomes.shape):
        seen = outcomes[index[0], index[1], : index[2] + 1]
        assert path[index] == mixture.log_e(int(seen.sum()), int((~seen).sum()))
    assert mixture.log_e_path(np.empty((3, 0))).shape == (3, 0)


@pytest.mark.parametrize(
    ("a", "b", "x"), [(200.0, 5.0, 0.3), (18.0, 2.0, 0.95), (40.0, 900.0, 0.01), (3.0, 0.5, 0.2)]
)
def test_the_continued_fraction_agrees_with_scipy_where_both_work(a: float, b: float, x: float) -> None:
    fraction = e_process._log_betainc_tail(
        np.array([a]), np.array([b]), x, np.array([x < (a + 1) / (a + b + 2)])
    )
    if x < (a + 1) / (a + b + 2):
        assert fraction[0] == pytest.approx(math.log(special.betainc(a, b, x)), rel=1e-12)
    else:
        assert fraction[0] == 0.0


@pytest.mark.parametrize(
    ("promise", "correct", "wrong", "expected"),
    [
        # The formula in arithmetic of 60 digits (mpmath). In the middle rows I_p0 is below the smallest float.
        (0.95, 9_900, 100, -6.790443288143152),
        (0.95, 49_500, 500, -8.399503997790603),
        (0.95, 99_000, 1_000, -9.092604234334879),
        (0.05, 3, 200, 2.63596850819779),
        (0.999, 980, 20, 39.1742608478916),
    ],
)
def test_vectors_of_long_spells_and_extreme_promises(
    promise: float, correct: int, wrong: int, expected: float
) -> None:
    assert BetaMixture.default(promise).log_e(correct, wrong) == pytest.approx(expected, abs=1e-7)


def test_the_smallest_floats_are_no_edge() -> None:
    """I_p0(S+a, F+b) leaves the floats between these labels; ln E goes on as smoothly as before."""
    mixture = BetaMixture.default(0.95)
    labels = np.arange(10_000.0, 60_000.0, 100.0)
    wrong = labels / 100.0
    shares = special.betainc(labels - wrong + 18.0, wrong + 2.0, 0.95)
    assert (shares > 0.0).any()
    assert (shares == 0.0).any()
    values = mixture.log_e(labels - wrong, wrong)
    # E falls like 1 / labels once the posterior lies above the promise.
    assert values + np.log(labels) == pytest.approx(np.full(labels.size, values[0] + math.log(1e4)), abs=0.05)


def test_evidence_can_outgrow_the_floats() -> None:
    assert BetaMixture.default(0.95).log_e(10_000, 10_000) > 5_000.0


@pytest.mark.parametrize("promise", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_refuses_a_promise_outside_zero_and_one(promise: float) -> None:
    with pytest.raises(errors.RequestRefused, match="promised accuracy"):
        BetaMixture(promise=promise, a=18.0, b=2.0)
    with pytest.raises(errors.RequestRefused):
        BetaMixture.default(promise)


@pytest.mark.parametrize(("a", "b"), [(0.0, 2.0), (1.0, -1.0), (math.inf, 1.0), (math.nan, 1.0)])
def test_refuses_a_prior_that_is_none(a: float, b: float) -> None:
    with pytest.raises(errors.RequestRefused, match="prior"):
        BetaMixture(promise=0.9, a=a, b=b)


@pytest.mark.parametrize(("correct", "wrong"), [(-1, 0), (1, 0.5), (math.nan, 1), (math.inf, 1)])
def test_refuses_what_is_no_count(correct: float, wrong: float) -> None:
    with pytest.raises(errors.DataRefused, match="count of labels"):
        BetaMixture.default(0.9).log_e(correct, wrong)


def test_refuses_what_is_no_outcome() -> None:
    with pytest.raises(errors.DataRefused, match="outcomes"):
        BetaMixture.default(0.9).log_e_path([1.0, 0.5])


def test_threshold() -> None:
    assert e_process.log_threshold(0.025) == pytest.approx(math.log(40.0))
    for rate in (0.0, 1.0, math.nan):
        with pytest.raises(errors.RequestRefused, match="false alarm rate"):
            e_process.log_threshold(rate)
