"""The bounds that what did not answer leaves."""

import numpy as np
import pytest

from training.measure import non_response, post_stratified
from training.measure.non_response import Missing
from training.measure.sample import Sample

SAMPLE = Sample(
    stratum=np.array([0] * 8 + [1] * 10),
    correct=np.array([1.0] * 6 + [0.0] * 2 + [1.0] * 10),
    propensity=np.array([0.1] * 8 + [0.5] * 10),
    sizes=np.array([100.0, 20.0]),
)
NONE = Missing(stratum=np.array([], dtype=np.int64), propensity=np.array([]))
TWO = Missing(stratum=np.array([0, 0]), propensity=np.array([0.1, 0.1]))


def test_the_missing_of_a_stratum_move_that_stratum_alone() -> None:
    # Stratum 0: 6 of 8 right, 2 missing: between 6 and 8 of 10.
    assert non_response.bounds(SAMPLE, TWO) == pytest.approx(((100 * 0.6 + 20) / 120, (100 * 0.8 + 20) / 120))


def test_without_missing_both_ends_are_the_estimate() -> None:
    value = post_stratified.estimate(SAMPLE).value
    assert non_response.bounds(SAMPLE, NONE) == pytest.approx((value, value))


def test_a_domain_sees_its_own_missing_only() -> None:
    second = SAMPLE.stratum == 1
    assert non_response.bounds(SAMPLE, TWO, second, np.array([False, False])) == pytest.approx((1.0, 1.0))
    assert non_response.bounds(SAMPLE, TWO, ~second, np.array([True, True])) == pytest.approx((0.6, 0.8))
    nobody = np.zeros(18, dtype=bool)
    assert non_response.bounds(SAMPLE, TWO, nobody, np.array([False, False])) is None


def test_only_missing_leaves_everything_open() -> None:
    nobody = np.zeros(18, dtype=bool)
    assert non_response.bounds(SAMPLE, TWO, nobody, np.array([True, True])) == (0.0, 1.0)


def test_a_missing_one_that_was_drawn_rarely_weighs_more() -> None:
    rare = Missing(stratum=np.array([0]), propensity=np.array([0.01]))
    low, high = non_response.bounds(SAMPLE, rare, SAMPLE.stratum == 0) or (0.0, 0.0)
    assert low == pytest.approx(60 / 180)
    assert high == pytest.approx(160 / 180)
