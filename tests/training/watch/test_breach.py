import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special

from tests.statistics import paths
from training import errors
from training.watch import breach
from training.watch.breach import SHARES, BetaMixture, ShiryaevRoberts, Thresholds

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
    assert paths.mixture(mixture, outcomes)[-1] == paths.mixture(mixture, shuffled)[-1]
    assert paths.mixture(mixture, outcomes)[-1] == mixture.log_e(sum(outcomes), len(outcomes) - sum(outcomes))


def test_a_path_is_the_value_after_each_label_of_each_stream() -> None:
    outcomes = np.random.default_rng(3).random((2, 5, 40)) < 0.8
    mixture = BetaMixture.default(0.9)
    path = paths.mixture(mixture, outcomes)
    assert path.shape == outcomes.shape
    for index in np.ndindex(outcomes.shape):
        seen = outcomes[index[0], index[1], : index[2] + 1]
        assert path[index] == mixture.log_e(int(seen.sum()), int((~seen).sum()))
    assert paths.mixture(mixture, np.empty((3, 0))).shape == (3, 0)


@pytest.mark.parametrize(
    ("a", "b", "x"), [(200.0, 5.0, 0.3), (18.0, 2.0, 0.95), (40.0, 900.0, 0.01), (3.0, 0.5, 0.2)]
)
def test_the_continued_fraction_agrees_with_scipy_where_both_work(a: float, b: float, x: float) -> None:
    fraction = breach._log_betainc_tail(
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


def test_threshold() -> None:
    assert breach.log_mixture_threshold(0.025) == pytest.approx(math.log(40.0))
    for rate in (0.0, 1.0, math.nan):
        with pytest.raises(errors.RequestRefused, match="false alarm rate"):
            breach.log_mixture_threshold(rate)


CHANGE_PROMISES = st.floats(0.01, 0.9999)
OUTCOMES = st.lists(st.booleans(), min_size=1, max_size=60)


def statistic(state: ShiryaevRoberts) -> float:
    return math.exp(state.log_statistic)


def test_is_the_recursion_of_shiryaev_and_roberts() -> None:
    """M = (1 + M) L by hand, for 0.95 against 0.925, 0.90 and 0.85, in plain numbers."""
    outcomes = [True, True, False, True, False, False]
    sums = [0.0, 0.0, 0.0]
    state = ShiryaevRoberts.start(0.95)
    assert state.alternatives == pytest.approx((0.925, 0.90, 0.85))
    assert state.log_statistic == -math.inf
    for count, correct in enumerate(outcomes, 1):
        state = state.updated(correct)
        for k, alternative in enumerate((0.925, 0.90, 0.85)):
            ratio = alternative / 0.95 if correct else (1.0 - alternative) / 0.05
            sums[k] = (1.0 + sums[k]) * ratio
        assert statistic(state) == pytest.approx(0.25 * sums[0] + 0.5 * sums[1] + 0.25 * sums[2])
        assert state.labels == count


@given(promise=CHANGE_PROMISES, extra=st.floats(0.0, 1.0), outcomes=OUTCOMES)
def test_expects_at_most_one_more_from_a_label_while_the_promise_is_kept(
    promise: float, extra: float, outcomes: list[bool]
) -> None:
    """Enumerates the next label: each L is an e-value for every accuracy >= p0, so E[M'] <= M + 1."""
    state = ShiryaevRoberts.start(promise)
    accuracy = promise + extra * (1.0 - promise)
    for alternative in state.alternatives:
        ratios = alternative / promise, (1.0 - alternative) / (1.0 - promise)
        assert accuracy * ratios[0] + (1.0 - accuracy) * ratios[1] <= 1.0 + 1e-9
    for correct in outcomes:
        state = state.updated(correct)
    expected = accuracy * statistic(state.updated(True)) + (1.0 - accuracy) * statistic(state.updated(False))
    assert expected <= (statistic(state) + 1.0) * (1.0 + 1e-9)
    if extra == 0.0:
        assert expected == pytest.approx(statistic(state) + 1.0, rel=1e-9)


@given(promise=CHANGE_PROMISES)
def test_looks_for_accuracies_below_the_promise(promise: float) -> None:
    small, middle, large = ShiryaevRoberts.start(promise).alternatives
    assert 0.0 < large < middle < small < promise
    assert promise - middle <= breach.GAP + 1e-12
    assert 1.0 - middle <= 2.0 * (1.0 - promise) + 1e-12
    assert sum(SHARES) == 1.0


@given(promise=CHANGE_PROMISES, before=OUTCOMES, after=OUTCOMES)
def test_a_path_is_one_update_after_another_from_any_state(
    promise: float, before: list[bool], after: list[bool]
) -> None:
    state = ShiryaevRoberts.start(promise)
    for correct in before:
        state = state.updated(correct)
    path = paths.change(state, [after, after])
    for step, correct in enumerate(after):
        state = state.updated(correct)
        assert path[:, step] == pytest.approx([state.log_statistic] * 2, abs=1e-9)


def test_streams_of_any_shape_go_side_by_side() -> None:
    outcomes = np.random.default_rng(5).random((2, 3, 50)) < 0.9
    start = ShiryaevRoberts.start(0.9)
    path = paths.change(start, outcomes)
    for i, j in np.ndindex(2, 3):
        assert path[i, j] == pytest.approx(paths.change(start, outcomes[i, j]), abs=1e-12)


@given(promise=CHANGE_PROMISES, outcomes=OUTCOMES)
def test_the_state_survives_json(promise: float, outcomes: list[bool]) -> None:
    state = ShiryaevRoberts.start(promise)
    for correct in [*outcomes]:
        stored = json.loads(json.dumps(dataclasses.asdict(state), allow_nan=False))
        assert ShiryaevRoberts(**stored) == state
        state = state.updated(correct)


def test_a_long_breach_outgrows_the_floats_but_not_the_logarithm() -> None:
    path = paths.change(ShiryaevRoberts.start(0.95), np.zeros(2_000))
    assert path[-1] > 2_000.0
    damaged = ShiryaevRoberts(
        promise=0.95, alternatives=(0.925, 0.9, 0.85), log_sums=(900.0, 900.0, 900.0), labels=9
    )
    assert damaged.log_statistic == pytest.approx(900.0)
    assert damaged.updated(False).log_statistic > 900.0


def test_a_good_spell_is_no_credit() -> None:
    """After 1,000 or 10,000 correct labels in 100 wrong ones, ten wrong ones in a row weigh the same."""
    short, long = ((np.arange(n) % 20 != 0) for n in (1_000, 10_000))
    start = ShiryaevRoberts.start(0.95)
    bad = np.zeros(10)
    first = paths.change(start, np.concatenate([short, bad]))[-1]
    second = paths.change(start, np.concatenate([long, bad]))[-1]
    assert second == pytest.approx(first, abs=0.2)
    assert first > breach.log_change_threshold(0.025)


def test_threshold_is_the_horizon_over_the_rate() -> None:
    assert math.exp(breach.log_change_threshold(0.025)) == pytest.approx(80_000.0)
    assert math.exp(breach.log_change_threshold(0.025, 1000)) == pytest.approx(40_000.0)
    with pytest.raises(errors.RequestRefused, match="horizon"):
        breach.log_change_threshold(0.025, 0)
    with pytest.raises(errors.RequestRefused, match="false alarm rate"):
        breach.log_change_threshold(1.0)


def test_refuses_what_is_no_state() -> None:
    state = ShiryaevRoberts.start(0.9).updated(True)
    for wrong in (
        {"promise": 1.0},
        {"alternatives": (0.8, 0.9, 0.85)},
        {"alternatives": (0.8, 0.85)},
        {"log_sums": (0.1, 0.2)},
        {"log_sums": (0.1, 0.2, math.nan)},
        {"log_sums": (0.1, 0.2, -1.0)},
        {"labels": -1},
    ):
        with pytest.raises(errors.RequestRefused):
            dataclasses.replace(state, **wrong)
    for promise in (0.0, 1.0, math.nan):
        with pytest.raises(errors.RequestRefused, match="promised accuracy"):
            ShiryaevRoberts.start(promise)


@pytest.mark.parametrize("outcome", [0.5, 2, -1, math.nan])
def test_the_change_detector_refuses_what_is_no_outcome(outcome: float) -> None:
    with pytest.raises(errors.DataRefused, match="outcome"):
        ShiryaevRoberts.start(0.9).updated(outcome)


def test_each_detector_has_half_of_the_rate() -> None:
    thresholds = Thresholds.of(0.05)
    assert math.exp(thresholds.mixture_log_e) == pytest.approx(40.0)
    assert math.exp(thresholds.change_log_statistic) == pytest.approx(80_000.0)
    assert thresholds.horizon_labels == 2000
    assert math.exp(Thresholds.of(0.05, 1000).change_log_statistic) == pytest.approx(40_000.0)


def test_either_raises_the_alarm() -> None:
    thresholds = Thresholds.of(0.05)
    low, high = -1.0, 20.0
    assert not thresholds.reached(low, low)
    assert thresholds.reached(high, low)
    assert thresholds.reached(low, high)
    assert thresholds.reached(thresholds.mixture_log_e, -math.inf)
    assert thresholds.reached(low, thresholds.change_log_statistic)


def test_whatever_raises_the_alarm_is_an_e_value_of_one_over_the_rate() -> None:
    thresholds = Thresholds.of(0.05)
    for mixture, change in (
        (thresholds.mixture_log_e, -math.inf),
        (-50.0, thresholds.change_log_statistic),
    ):
        assert thresholds.log_e_value(mixture, change, 700) == pytest.approx(math.log(20.0), abs=1e-9)
    assert thresholds.log_e_value(0.0, -math.inf, 0) == pytest.approx(math.log(0.5))
    # Past the horizon the same statistic is worth less: its expectation has grown with the labels.
    later = thresholds.log_e_value(-50.0, thresholds.change_log_statistic, 8000)
    assert later == pytest.approx(math.log(5.0), abs=1e-9)


@pytest.mark.parametrize("rate", [0.0, -0.1, math.nan, 2.0])
def test_refuses_what_is_no_rate(rate: float) -> None:
    with pytest.raises(errors.RequestRefused, match="false alarm rate"):
        Thresholds.of(rate)


def test_refuses_an_empty_horizon() -> None:
    with pytest.raises(errors.RequestRefused, match="horizon"):
        Thresholds.of(0.05, 0)
