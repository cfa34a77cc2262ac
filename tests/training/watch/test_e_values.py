import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import errors
from training.watch import e_values


@given(st.floats(-30.0, 30.0))
def test_log1p_exp_and_log_expm1_are_inverse_and_are_what_they_say(value: float) -> None:
    assert e_values.log1p_exp(value) == pytest.approx(math.log(1.0 + math.exp(value)), rel=1e-9, abs=1e-15)
    assert e_values.log_expm1(e_values.log1p_exp(value)) == pytest.approx(value, abs=1e-2)


def test_no_overflow_and_the_ends() -> None:
    assert e_values.log1p_exp(2000.0) == 2000.0
    assert e_values.log1p_exp(-math.inf) == 0.0
    assert e_values.log_expm1(2000.0) == 2000.0
    assert e_values.log_expm1(0.0) == -math.inf
    assert e_values.log_expm1(1e-12) == pytest.approx(math.log(1e-12))


def test_mean() -> None:
    assert math.exp(e_values.log_mean([0.0, math.log(3.0)])) == pytest.approx(2.0)
    assert math.exp(e_values.log_mean([0.0, math.log(3.0)], [0.75, 0.25])) == pytest.approx(1.5)
    assert e_values.log_mean([-math.inf, -math.inf], [0.5, 0.5]) == -math.inf


VALUES = st.lists(st.floats(-20.0, 20.0), max_size=12)


def plain_e_bh(values: list[float], level: float) -> set[int]:
    """The definition, in plain numbers: the largest k with e_(k) >= K/(k level); its k largest."""
    order = sorted(range(len(values)), key=lambda k: -values[k])
    best = max(
        (k for k in range(1, len(order) + 1) if values[order[k - 1]] >= len(order) / (k * level)), default=0
    )
    return set(order[:best])


@given(values=VALUES, level=st.sampled_from([0.01, 0.05, 0.2, 0.5]))
def test_e_bh_is_its_definition(values: list[float], level: float) -> None:
    named = e_values.e_benjamini_hochberg(values, level)
    assert set(named) == plain_e_bh([math.exp(value) for value in values], level)
    assert list(named) == sorted(named)


def test_e_bh_vectors() -> None:
    # K = 4 at 0.05 asks 80 of one, 40 of each of two, 26.7 of three, 20 of all four.
    assert e_values.e_benjamini_hochberg(np.log([79.0, 1.0, 1.0, 1.0]), 0.05) == ()
    assert e_values.e_benjamini_hochberg(np.log([1.0, 81.0, 1.0, 1.0]), 0.05) == (1,)
    assert e_values.e_benjamini_hochberg(np.log([41.0, 1.0, 41.0, 1.0]), 0.05) == (0, 2)
    assert e_values.e_benjamini_hochberg(np.log([21.0, 21.0, 21.0, 21.0]), 0.05) == (0, 1, 2, 3)
    assert e_values.e_benjamini_hochberg([math.inf, -math.inf, 0.0], 0.05) == (0,)
    assert e_values.e_benjamini_hochberg([], 0.05) == ()


@given(values=VALUES.filter(bool), level=st.sampled_from([0.05, 0.2]), more=st.floats(0.0, 5.0))
def test_more_evidence_never_names_fewer(values: list[float], level: float, more: float) -> None:
    before = e_values.e_benjamini_hochberg(values, level)
    after = e_values.e_benjamini_hochberg([value + more for value in values], level)
    assert set(before) <= set(after)


def test_e_bh_holds_the_false_discovery_rate_under_dependence() -> None:
    """Ten strata, seven of them true, all driven by one shared label: the e-values are as dependent as can be."""
    rng = np.random.default_rng(17)
    level, shares = 0.2, []
    for _ in range(4000):
        shared = float(
            rng.exponential()
        )  # ln of an e-value with expectation 1: P(E >= e) = 1/e for e >= 1, halved
        null = np.full(7, shared + math.log(0.5)) if rng.random() < 0.5 else np.full(7, -10.0)
        named = e_values.e_benjamini_hochberg([*null, *rng.normal(3.0, 2.0, 3)], level)
        shares.append(sum(k < 7 for k in named) / max(len(named), 1))
    assert 0.0 < np.mean(shares) <= level


@given(values=VALUES.filter(bool))
def test_the_mean_is_taken_of_the_values_and_not_of_their_logarithms(values: list[float]) -> None:
    assert math.exp(e_values.log_mean_e_value(values)) == pytest.approx(np.mean(np.exp(values)))


def test_the_mean_of_extremes() -> None:
    assert e_values.log_mean_e_value([]) == 0.0
    assert e_values.log_mean_e_value([-math.inf, -math.inf]) == -math.inf
    assert e_values.log_mean_e_value([math.inf, 0.0]) == math.inf
    assert e_values.log_mean_e_value([5000.0, 5000.0, -5000.0, -5000.0]) == pytest.approx(
        5000.0 - math.log(2.0)
    )


def test_refuses_what_is_no_row_of_evidence() -> None:
    for wrong in ([math.nan, 1.0], [[1.0], [2.0]]):
        with pytest.raises(errors.DataRefused, match="e-values"):
            e_values.e_benjamini_hochberg(wrong, 0.05)
        with pytest.raises(errors.DataRefused, match="e-values"):
            e_values.log_mean_e_value(wrong)
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(errors.RequestRefused, match="level"):
            e_values.e_benjamini_hochberg([1.0], level)
