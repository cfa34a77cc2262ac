import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calibrators import errors as calibrator_errors
from calibrators import histogram
from training import errors
from training.watch import score_shift

# Few distinct values as well as many: scores of language models repeat.
SCORES = st.lists(
    st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.5, 0.9, 1.0])), min_size=1, max_size=80
)


def test_index_by_hand() -> None:
    expected = (0.3 - 0.5) * math.log(0.3 / 0.5) + (0.7 - 0.5) * math.log(0.7 / 0.5)
    assert score_shift.stability_index([0.5, 0.5], [0.3, 0.7]) == pytest.approx(expected)
    # An empty bin counts as 1e-4, on either side.
    empty = (1.0 - 1e-4) * math.log(1.0 / 1e-4)
    assert score_shift.stability_index([1.0, 0.0], [0.0, 1.0]) == pytest.approx(2.0 * empty)
    assert score_shift.stability_index([1.0, 0.0], [0.0, 1.0], least=1e-6) > 2.0 * empty


@given(SCORES)
@settings(max_examples=40, deadline=None)
def test_nothing_has_moved_from_itself(scores: list[float]) -> None:
    for shift in (
        score_shift.from_scores(scores, scores),
        score_shift.from_histogram(score_shift.reference_bins(scores), scores),
    ):
        assert shift.psi == pytest.approx(0.0, abs=1e-12)
        assert shift.ks == pytest.approx(0.0, abs=1e-12)
        assert not shift.warns
        assert shift.n == len(scores)


@given(SCORES, SCORES)
@settings(max_examples=60, deadline=None)
def test_the_distance_is_scipys_and_the_histograms_a_lower_bound_of_it(
    before: list[float], after: list[float]
) -> None:
    shift = score_shift.from_scores(before, after)
    points = np.concatenate([before, after])
    oracle = np.abs(stats.ecdf(before).cdf.evaluate(points) - stats.ecdf(after).cdf.evaluate(points)).max()
    assert shift.ks == pytest.approx(oracle, abs=1e-12)
    binned = score_shift.from_histogram(score_shift.reference_bins(before), after)
    assert binned.ks <= shift.ks + 1e-12
    assert binned.psi == pytest.approx(shift.psi, abs=1e-12)
    assert binned.psi >= 0.0


def test_ten_bins_of_equal_share_and_fewer_where_scores_repeat() -> None:
    rng = np.random.default_rng(2)
    assert score_shift.reference_bins(rng.random(10_000)).shares == pytest.approx([0.1] * 10, abs=1e-3)
    tied = score_shift.reference_bins(np.repeat([0.7, 0.8, 0.95, 1.0], [5, 20, 25, 50]))
    assert len(tied.shares) <= 4
    assert score_shift.reference_bins([0.9, 0.9]).shares == (1.0,)


def test_a_move_warns_and_a_different_draw_of_the_same_does_not() -> None:
    rng = np.random.default_rng(4)
    reference = rng.beta(8.0, 2.0, 20_000)
    assert not score_shift.from_scores(reference, rng.beta(8.0, 2.0, 5_000)).warns
    moved = score_shift.from_scores(reference, rng.beta(6.0, 2.5, 5_000))
    assert moved.psi_warns
    assert moved.ks_warns
    assert moved.psi_bound == 0.1
    assert moved.ks_bound == 0.09
    assert not score_shift.from_scores(reference, rng.beta(6.0, 2.5, 5_000), warning=5.0).psi_warns


def test_few_scores_still_warn_when_they_are_elsewhere() -> None:
    rng = np.random.default_rng(12)
    assert score_shift.from_scores(rng.uniform(0.8, 1.0, 500), rng.uniform(0.5, 0.8, 40)).psi_warns


def test_a_histogram_with_few_scores_behind_it_asks_more() -> None:
    rng = np.random.default_rng(8)
    reference = score_shift.reference_bins(rng.random(200))
    known = score_shift.from_histogram(reference, rng.random(1_000), reference_n=200.0)
    unknown = score_shift.from_histogram(reference, rng.random(1_000))
    assert known.psi_bound > unknown.psi_bound == 0.1
    assert known.ks_bound > unknown.ks_bound == 0.09


def test_weights_count_as_that_many_scores() -> None:
    reference = histogram.ScoreHistogram(edges=(0.0, 0.5, 0.8, 1.0), shares=(0.2, 0.3, 0.5))
    weighted = score_shift.from_histogram(reference, [0.3, 0.6, 0.9], [2.0, 3.0, 5.0])
    assert weighted.psi == pytest.approx(0.0, abs=1e-12)
    assert weighted.ks == pytest.approx(0.0, abs=1e-12)
    assert score_shift.from_histogram(reference, [0.3, 0.6, 0.9]).psi > 0.05


def test_refuses_what_cannot_be_compared() -> None:
    reference = score_shift.reference_bins([0.1, 0.5, 0.9])
    for scores in ([], [1.5], [math.nan]):
        with pytest.raises(calibrator_errors.CalibratorRefused):
            score_shift.from_histogram(reference, scores)
        with pytest.raises(calibrator_errors.CalibratorRefused):
            score_shift.from_scores([0.1, 0.5], scores)
        with pytest.raises(calibrator_errors.CalibratorRefused):
            score_shift.from_scores(scores, [0.1, 0.5])
    with pytest.raises(errors.RequestRefused, match="reference_n"):
        score_shift.from_histogram(reference, [0.5], reference_n=0.0)
    with pytest.raises(errors.DataRefused, match="same bins"):
        score_shift.stability_index([0.5, 0.5], [1.0])
