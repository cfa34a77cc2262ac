import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from training.measure import intervals


def test_vectors_of_47_in_50() -> None:
    assert intervals.wilson(47, 50) == pytest.approx((0.8378291, 0.979385), abs=1e-6)
    assert intervals.clopper_pearson(47, 50) == pytest.approx((0.8345181, 0.9874514), abs=1e-7)


@given(st.integers(1, 400), st.floats(0.0, 1.0), st.sampled_from([0.8, 0.95, 0.99]))
def test_agree_with_scipy_for_whole_numbers(n: int, share: float, level: float) -> None:
    correct = round(share * n)
    oracle = stats.binomtest(correct, n)
    exact = oracle.proportion_ci(level, method="exact")
    assert intervals.clopper_pearson(correct, n, level) == pytest.approx((exact.low, exact.high), abs=1e-9)
    score = oracle.proportion_ci(level, method="wilson")
    assert intervals.wilson(correct, n, level) == pytest.approx((score.low, score.high), abs=1e-9)


@pytest.mark.parametrize("interval", [intervals.wilson, intervals.clopper_pearson])
def test_ends(interval: object) -> None:
    assert callable(interval)
    assert interval(0, 0) == (0.0, 1.0)
    low, high = interval(0, 20)
    assert low == 0.0
    assert 0.1 < high < 0.2
    low, high = interval(20, 20)
    assert high == 1.0
    assert 0.8 < low < 0.9


def test_n_effective() -> None:
    assert intervals.n_effective(np.ones(7)) == pytest.approx(7.0)
    assert intervals.n_effective(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    assert intervals.n_effective(np.full(5, 1e300)) == pytest.approx(5.0)
    assert intervals.n_effective(np.empty(0)) == 0.0


def test_weighted_mean_without_weights_is_the_classical_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=50)
    found = intervals.weighted_mean(values, np.ones(50))
    assert found.mean == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(50))
    assert (found.n, found.clusters) == (50, 50)


def test_copies_of_a_group_teach_nothing_new() -> None:
    values = np.random.default_rng(2).normal(size=40)
    groups = np.arange(40)
    once = intervals.weighted_mean(values, np.ones(40), groups)
    ten_times = intervals.weighted_mean(np.tile(values, 10), np.ones(400), np.tile(groups, 10))
    assert ten_times.standard_error == pytest.approx(once.standard_error)
    assert ten_times.clusters_effective == pytest.approx(40.0)
    assert intervals.weighted_mean(np.tile(values, 10), np.ones(400)).standard_error < once.standard_error / 3


def test_one_cluster_is_no_evidence() -> None:
    found = intervals.weighted_mean(np.array([1.0, 0.0, 1.0]), np.ones(3), np.zeros(3))
    assert found.standard_error == math.inf
    assert intervals.korn_graubard(found) == (0.0, 1.0)


def test_korn_graubard_is_clopper_pearson_without_weights_and_wider_with_them() -> None:
    correct = np.repeat([1.0, 0.0], [47, 3])
    plain = intervals.korn_graubard(intervals.weighted_mean(correct, np.ones(50)))
    # The linearised variance divides by n - 1, so n* is 49.
    assert plain == pytest.approx(intervals.clopper_pearson(0.94 * 49, 49))
    weights = np.where(np.arange(50) % 2 == 0, 1.0, 9.0)
    weighted = intervals.weighted_mean(correct, weights)
    low, high = intervals.korn_graubard(weighted)
    assert high - low > 1.2 * (plain[1] - plain[0])
    assert low < weighted.mean < high


def test_korn_graubard_when_all_labels_agree() -> None:
    estimate = intervals.weighted_mean(np.ones(50), np.where(np.arange(50) < 25, 1.0, 3.0))
    size = estimate.clusters_effective
    assert size == pytest.approx(40.0)
    assert intervals.korn_graubard(estimate) == pytest.approx(intervals.clopper_pearson(size, size))


def test_weighted_interval_covers() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        stratum = rng.random(300) < 0.3
        correct = (rng.random(300) < np.where(stratum, 0.8, 0.97)).astype(float)
        estimate = intervals.weighted_mean(correct, np.where(stratum, 1.0, 7 / 3 * 2))
        truth = (0.3 * 0.8 + 0.7 * 14 / 3 * 0.97) / (0.3 + 0.7 * 14 / 3)
        low, high = intervals.korn_graubard(estimate)
        covered += low <= truth <= high
    assert covered / 400 >= 0.93
