"""The histogram of raw confidence that later drift checks are measured against."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrators import CalibratorRefused, ScoreHistogram

verbal = st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.8, 0.9, 0.95, 1.0]), min_size=1, max_size=60)
continuous = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60)


def test_continuous_scores_fall_into_ten_bins_of_a_tenth_each():
    scores = np.random.default_rng(3).beta(5, 2, 20_000)
    histogram = ScoreHistogram.of(scores)
    assert len(histogram.shares) == 10
    assert histogram.shares == pytest.approx([0.1] * 10, abs=1e-4)
    assert histogram.edges[1:-1] == pytest.approx(np.quantile(scores, np.arange(1, 10) / 10), abs=1e-3)


def test_repeated_scores_get_bins_of_their_own_that_survive_float32():
    scores = np.repeat([0.5, 0.9, 0.95, 1.0], [20, 20, 30, 130])
    histogram = ScoreHistogram.of(scores)
    assert histogram.shares == (0.1, 0.1, 0.15, 0.65)
    assert histogram.edges == pytest.approx((0.0, 0.7, 0.925, 0.975, 1.0))
    assert histogram.shares_of(scores.astype(np.float32)) == histogram.shares


def test_a_score_that_holds_half_of_the_weight_is_cut_off_from_the_rest():
    assert ScoreHistogram.of(np.repeat([0.5, 1.0], [49, 51])).shares == (0.49, 0.51)


def test_scores_too_close_to_part_share_a_bin():
    histogram = ScoreHistogram.of([np.nextafter(1.0, 0.0), 1.0])
    assert histogram == ScoreHistogram(edges=(0.0, 1.0), shares=(1.0,))


def test_one_score_alone_is_one_bin():
    assert ScoreHistogram.of([1.0, 1.0]) == ScoreHistogram(edges=(0.0, 1.0), shares=(1.0,))
    assert ScoreHistogram.of([0.0]) == ScoreHistogram(edges=(0.0, 1.0), shares=(1.0,))


def test_a_weight_counts_as_that_many_scores():
    rng = np.random.default_rng(5)
    scores, weights = rng.random(300), rng.integers(0, 5, 300)
    weighted = ScoreHistogram.of(scores, weights.astype(float))
    repeated = ScoreHistogram.of(np.repeat(scores, weights))
    assert weighted.shares == pytest.approx(repeated.shares)
    assert len(weighted.edges) == len(repeated.edges)


@given(verbal | continuous, st.integers(1, 12))
def test_every_score_is_counted_and_no_bin_is_empty(scores, bins):
    histogram = ScoreHistogram.of(scores, bins=bins)
    assert sum(histogram.shares) == pytest.approx(1.0)
    assert 1 <= len(histogram.shares) <= bins
    assert min(histogram.shares) > 0.0
    assert histogram.shares_of(scores) == histogram.shares


@given(continuous, continuous)
def test_other_scores_are_counted_whole_over_the_same_bins(reference, later):
    shares = ScoreHistogram.of(reference).shares_of(later)
    assert sum(shares) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "at least one"),
        (([[0.5]],), "a row of scores"),
        (([0.5, 0.6], [1.0]), "as many weights"),
        (([0.5, 1.5],), "between 0 and 1"),
        (([0.5, float("nan")],), "between 0 and 1"),
        (([0.5], [-1.0]), "not negative"),
        (([0.5], [float("inf")]), "finite"),
        (([0.5, 0.6], [0.0, 0.0]), "not all zero"),
        (([0.5], None, 0), "bins is 0"),
    ],
)
def test_scores_that_make_no_histogram_are_refused(arguments, message):
    with pytest.raises(CalibratorRefused, match=message):
        ScoreHistogram.of(*arguments)


@pytest.mark.parametrize(
    ("edges", "shares", "message"),
    [
        ((), (), "0 edges do not fit 0 shares"),
        ((0.0, 1.0), (0.5, 0.5), "2 edges do not fit 2 shares"),
        ((0.1, 1.0), (1.0,), "from 0 to 1"),
        ((0.0, 0.9), (1.0,), "from 0 to 1"),
        ((0.0, 0.6, 0.5, 1.0), (0.2, 0.3, 0.5), "increase strictly"),
        ((0.0, 0.5, 1.0), (0.5, 0.4), "not to 1"),
        ((0.0, 0.5, 1.0), (1.5, -0.5), r"shares\[0\]"),
    ],
)
def test_edges_and_shares_must_fit(edges, shares, message):
    with pytest.raises(CalibratorRefused, match=message):
        ScoreHistogram(edges=edges, shares=shares)
