import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.watch import logarithms


@given(st.floats(-30.0, 30.0))
def test_log1p_exp_and_log_expm1_are_inverse_and_are_what_they_say(value: float) -> None:
    assert logarithms.log1p_exp(value) == pytest.approx(math.log(1.0 + math.exp(value)), rel=1e-9, abs=1e-15)
    assert logarithms.log_expm1(logarithms.log1p_exp(value)) == pytest.approx(value, abs=1e-2)


def test_no_overflow_and_the_ends() -> None:
    assert logarithms.log1p_exp(2000.0) == 2000.0
    assert logarithms.log1p_exp(-math.inf) == 0.0
    assert logarithms.log_expm1(2000.0) == 2000.0
    assert logarithms.log_expm1(0.0) == -math.inf
    assert logarithms.log_expm1(1e-12) == pytest.approx(math.log(1e-12))


def test_mean() -> None:
    assert math.exp(logarithms.log_mean([0.0, math.log(3.0)])) == pytest.approx(2.0)
    assert math.exp(logarithms.log_mean([0.0, math.log(3.0)], [0.75, 0.25])) == pytest.approx(1.5)
    assert logarithms.log_mean([-math.inf, -math.inf], [0.5, 0.5]) == -math.inf
