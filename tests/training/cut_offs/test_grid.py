"""Which cut-offs are tried."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.cut_offs import grid


def test_few_confidences_have_a_cut_off_each() -> None:
    confidence = np.array([0.95, 0.57, 0.95, 0.812345, 0.57])
    assert grid.cut_offs(confidence) == (Decimal("0.95"), Decimal("0.8123"), Decimal("0.57"))


def test_many_have_quantiles_of_which_each_takes_an_equal_share() -> None:
    confidence = np.random.default_rng(0).random(5000) ** 0.2
    found = grid.cut_offs(confidence)
    assert 45 <= len(found) <= grid.STEPS
    shares = np.diff([(confidence >= float(edge)).mean() for edge in found])
    assert shares == pytest.approx(0.02, abs=0.004)


def test_no_outcome_and_no_order_plays_a_part() -> None:
    confidence = np.random.default_rng(1).random(500)
    assert grid.cut_offs(confidence) == grid.cut_offs(confidence[::-1].copy())


def test_other_cut_offs_are_tried_too_but_none_below_the_lowest() -> None:
    confidence = np.array([0.9, 0.4])
    assert grid.cut_offs(confidence, also=(Decimal("0.70"),)) == (
        Decimal("0.90"),
        Decimal("0.70"),
        Decimal("0.40"),
    )
    assert grid.cut_offs(confidence, lowest=Decimal("0.5"), also=(Decimal("0.70"), Decimal("0.45"))) == (
        Decimal("0.90"),
        Decimal("0.70"),
    )
    assert grid.cut_offs(confidence, also=(Decimal("0.10"),)) == (
        Decimal("0.90"),
        Decimal("0.40"),
    )  # nobody was seen there


@given(st.floats(0.0, 1.0))
def test_a_floor_is_never_above_and_at_most_a_step_below(value: float) -> None:
    found = grid.floor(value)
    assert float(found) <= value
    assert value - float(found) <= 2.1e-4
    assert -found.as_tuple().exponent <= 4


@pytest.mark.parametrize(
    ("value", "text"), [(0.9, "0.90"), (0.57, "0.57"), (0.94372, "0.9437"), (1.0, "0.9999"), (0.0, "0.00")]
)
def test_how_a_cut_off_is_written(value: float, text: str) -> None:
    assert str(grid.floor(value)) == text
