import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import errors
from training.watch import change
from training.watch.change import SHARES, ShiryaevRoberts

PROMISES = st.floats(0.01, 0.9999)
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


@given(promise=PROMISES, extra=st.floats(0.0, 1.0), outcomes=OUTCOMES)
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


@given(promise=PROMISES)
def test_looks_for_accuracies_below_the_promise(promise: float) -> None:
    small, middle, large = ShiryaevRoberts.start(promise).alternatives
    assert 0.0 < large < middle < small < promise
    assert promise - middle <= change.GAP + 1e-12
    assert 1.0 - middle <= 2.0 * (1.0 - promise) + 1e-12
    assert sum(SHARES) == 1.0


@given(promise=PROMISES, before=OUTCOMES, after=OUTCOMES)
def test_a_path_is_one_update_after_another_from_any_state(
    promise: float, before: list[bool], after: list[bool]
) -> None:
    state = ShiryaevRoberts.start(promise)
    for correct in before:
        state = state.updated(correct)
    path = state.log_statistic_path([after, after])
    for step, correct in enumerate(after):
        state = state.updated(correct)
        assert path[:, step] == pytest.approx([state.log_statistic] * 2, abs=1e-9)


def test_streams_of_any_shape_go_side_by_side() -> None:
    outcomes = np.random.default_rng(5).random((2, 3, 50)) < 0.9
    start = ShiryaevRoberts.start(0.9)
    path = start.log_statistic_path(outcomes)
    for i, j in np.ndindex(2, 3):
        assert path[i, j] == pytest.approx(start.log_statistic_path(outcomes[i, j]), abs=1e-12)


@given(promise=PROMISES, outcomes=OUTCOMES)
def test_the_state_survives_json(promise: float, outcomes: list[bool]) -> None:
    state = ShiryaevRoberts.start(promise)
    for correct in [*outcomes]:
        stored = json.loads(json.dumps(dataclasses.asdict(state), allow_nan=False))
        assert ShiryaevRoberts(**stored) == state
        state = state.updated(correct)


def test_a_long_breach_outgrows_the_floats_but_not_the_logarithm() -> None:
    path = ShiryaevRoberts.start(0.95).log_statistic_path(np.zeros(2_000))
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
    first = start.log_statistic_path(np.concatenate([short, bad]))[-1]
    second = start.log_statistic_path(np.concatenate([long, bad]))[-1]
    assert second == pytest.approx(first, abs=0.2)
    assert first > change.log_threshold(0.025)


def test_threshold_is_the_horizon_over_the_rate() -> None:
    assert math.exp(change.log_threshold(0.025)) == pytest.approx(80_000.0)
    assert math.exp(change.log_threshold(0.025, 1000)) == pytest.approx(40_000.0)
    with pytest.raises(errors.RequestRefused, match="horizon"):
        change.log_threshold(0.025, 0)
    with pytest.raises(errors.RequestRefused, match="false alarm rate"):
        change.log_threshold(1.0)


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
def test_refuses_what_is_no_outcome(outcome: float) -> None:
    with pytest.raises(errors.DataRefused, match="outcome"):
        ShiryaevRoberts.start(0.9).updated(outcome)
    with pytest.raises(errors.DataRefused, match="outcomes"):
        ShiryaevRoberts.start(0.9).log_statistic_path([1, outcome])
