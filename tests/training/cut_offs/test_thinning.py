"""Labels of equal probability, one a group, counted from each cut-off on."""

from decimal import Decimal

import numpy as np
import pytest

from training import errors
from training.cut_offs import thinning
from training.cut_offs.thinning import Sample

EDGES = [Decimal("0.9"), Decimal("0.6"), Decimal("0.1")]


def test_equal_rows_are_all_counted_closed_below() -> None:
    sample = Sample.of([0.95, 0.9, 0.6, 0.2], [1, 0, 1, 0])
    n, wrong = thinning.tally(sample, EDGES)
    assert n.tolist() == [2, 3, 4]
    assert wrong.tolist() == [1, 1, 2]


def test_an_upper_edge_is_open() -> None:
    sample = Sample.of([0.95, 0.9, 0.6, 0.2], [1, 0, 1, 0])
    n, wrong = thinning.tally(sample, EDGES[1:], Decimal("0.9"))
    assert n.tolist() == [1, 2]
    assert wrong.tolist() == [0, 1]


def test_an_edge_is_the_double_that_the_sidecar_compares_with() -> None:
    sample = Sample.of([0.29, np.nextafter(0.29, 0.0)], [1, 1])
    assert thinning.tally(sample, [Decimal("0.29")])[0].tolist() == [1]


def test_rows_of_a_higher_propensity_are_thinned_to_the_lowest() -> None:
    rng = np.random.default_rng(0)
    sure = rng.random(20_000) < 0.5
    sample = Sample.of(np.full(20_000, 0.9), sure, propensity=np.where(sure, 1.0, 0.05), seed=1)
    n, wrong = thinning.tally(sample, [Decimal("0.5")])
    audited = int((~sure).sum())
    assert wrong[0] == audited  # of the lowest propensity all stay
    assert n[0] - wrong[0] == pytest.approx(0.05 * sure.sum(), rel=0.1)


def test_a_strict_test_does_not_pay_for_what_is_audited_rarely_below() -> None:
    confidence = np.concatenate((np.full(200, 0.95), np.full(100, 0.3)))
    sample = Sample.of(confidence, np.ones(300), propensity=np.where(confidence > 0.5, 0.05, 0.001))
    n, _ = thinning.tally(sample, [Decimal("0.9"), Decimal("0.2")])
    assert n[0] == 200
    assert 100 <= n[1] < 125


def test_only_ratios_of_propensities_count() -> None:
    rng = np.random.default_rng(3)
    confidence, propensity = rng.random(500), rng.choice([0.1, 1.0], 500)
    first, second = (
        thinning.tally(Sample.of(confidence, np.ones(500), propensity=scale * propensity, seed=4), EDGES)[0]
        for scale in (1.0, 40.0)
    )
    assert first.tolist() == second.tolist()
    other = thinning.tally(Sample.of(confidence, np.ones(500), propensity=propensity, seed=5), EDGES)[0]
    assert other.tolist() != first.tolist()


def test_a_group_has_one_row() -> None:
    groups = np.repeat(np.arange(50), 10)
    confidence = np.tile(np.linspace(0.5, 0.95, 10), 50)
    sample = Sample.of(confidence, np.ones(500), groups=groups, seed=2)
    assert (len(sample), sample.dropped) == (50, 450)
    # Which one is drawn by chance, not by place.
    assert np.unique(sample.confidence).size > 5
    assert thinning.tally(sample, [Decimal("0.5")])[0].tolist() == [50]


def test_groups_are_drawn_from_rows_of_equal_probability() -> None:
    # Of each group one row was sure to be labelled and one had 2 %: as often as not the latter stays.
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(20_000), 2)
    propensity = np.tile([1.0, 0.02], 20_000)
    drawn = rng.random(40_000) < propensity
    rare = np.tile([0.0, 1.0], 20_000)
    sample = Sample.of(
        np.full(drawn.sum(), 0.9), 1.0 - rare[drawn], propensity=propensity[drawn], groups=groups[drawn]
    )
    assert 600 < len(sample) < 1000
    assert sample.wrong.mean() == pytest.approx(0.5, abs=0.06)


def test_different_groups_lose_nothing() -> None:
    sample = Sample.of([0.9, 0.8], [1, 1], groups=np.array(["a", "b"]), propensity=[1.0, 0.5])
    assert len(sample) == 2
    assert sample.propensity.tolist() == [1.0, 0.5]


def test_above_leaves_the_lower_ones_out() -> None:
    assert Sample.of([0.9, 0.5], [1, 0]).above(0.6).confidence.tolist() == [0.9]


def test_no_row_is_no_sample() -> None:
    with pytest.raises(errors.NotEnoughLabels, match="no label"):
        Sample.of([], [])
