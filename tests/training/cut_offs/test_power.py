"""How many labels it takes."""

from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

from training.cut_offs import power, testing


@pytest.mark.parametrize(
    ("target", "truth", "about"), [(0.90, 0.95, 140), (0.90, 0.93, 390), (0.95, 0.98, 190), (0.95, 0.97, 450)]
)
def test_the_published_numbers(target: float, truth: float, about: int) -> None:
    needed = power.labels_needed(1 - truth, alpha=1 - target, delta=0.1)
    assert needed == pytest.approx(about, rel=0.1)


def test_with_so_many_labels_the_test_passes_so_often() -> None:
    needed = power.labels_needed(0.05, alpha=0.1, delta=0.1)
    assert needed is not None
    rng = np.random.default_rng(0)
    wrong = rng.binomial(needed, 0.05, 20_000)
    passes = testing.p_values(wrong, np.full(20_000, needed), 0.1) <= 0.1
    assert passes.mean() == pytest.approx(0.8, abs=0.03)


def test_close_to_the_target_the_approximation_takes_over() -> None:
    needed = power.labels_needed(0.091, alpha=0.1, delta=0.1)
    assert needed is not None
    assert needed > power.MANY_LABELS
    most = stats.binom.ppf(0.1, needed, 0.1) - 1
    assert stats.binom.cdf(most, needed, 0.091) == pytest.approx(0.8, abs=0.02)


def test_an_accuracy_at_or_below_the_target_never_gets_there() -> None:
    assert power.labels_needed(0.1, alpha=0.1, delta=0.1) is None
    assert power.labels_needed(0.2, alpha=0.1, delta=0.1) is None
    assert power.labels_needed(0.0999, alpha=0.1, delta=0.1) is None  # more than a million


def outcome(n: list[int], wrong: list[int]) -> testing.Sequence:
    return testing.sequence(np.array(n), np.array(wrong), alpha=0.1, delta=0.1)


def test_the_shortfall_is_at_the_cut_off_that_is_nearest() -> None:
    found = power.shortfall(
        (Decimal("0.9"), Decimal("0.8")), outcome([60, 100], [3, 30]), alpha=0.1, delta=0.1
    )
    assert found is not None
    assert (found.cut_off, found.n, found.wrong) == (Decimal("0.9"), 60, 3)
    assert found.accuracy == pytest.approx(57.5 / 61)
    needed = power.labels_needed(1 - 57.5 / 61, alpha=0.1, delta=0.1)
    assert found.further == (needed or 0) - 60


def test_a_hopeless_score_is_told_so() -> None:
    found = power.shortfall(
        (Decimal("0.9"), Decimal("0.8")), outcome([60, 100], [20, 30]), alpha=0.1, delta=0.1
    )
    assert found is not None
    assert found.further is None
    assert found.cut_off == Decimal("0.8")


def test_without_labels_there_is_nothing_to_say() -> None:
    assert power.shortfall((Decimal("0.9"),), outcome([0], [0]), alpha=0.1, delta=0.1) is None
