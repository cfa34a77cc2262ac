"""The weeks of audits, and the laws of the samples that budgets leave: merging, nesting, unbiased weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.decision import audit, draws
from sidecar.decision.audit import BottomK

KEY = bytes(range(32))
IDS = st.sets(st.integers(0, 10**6), max_size=120).map(lambda found: [f"d{number}" for number in found])
RATES = st.floats(0.01, 1.0)
BUDGETS = st.integers(1, 30)


def drawn(ids: list[str], key: bytes = KEY) -> list[tuple[float, str]]:
    return [(draws.audit_draw(key, each), each) for each in ids]


# Weeks.


@pytest.mark.parametrize(
    ("moment", "week"),
    [
        (1_770_000_000.0, "2026-W06"),
        (345_600.0, "1970-W02"),  # the first Monday
        (345_599.999, "1970-W01"),
        (1_767_225_600.0, "2026-W01"),  # 1 January, a Thursday
        (1_798_761_600.0, "2026-W53"),  # 1 January 2027, a Friday, is of the old year's last week
        (1_483_228_800.0, "2016-W52"),  # 1 January 2017, a Sunday
    ],
)
def test_weeks_are_those_of_iso_8601_in_utc(moment: float, week: str) -> None:
    assert audit.week_of(moment) == week


@given(st.floats(0.0, 4e9))
def test_a_moment_is_in_its_week_and_weeks_follow_each_other(moment: float) -> None:
    week = audit.week_of(moment)
    start, end = audit.week_start(week), audit.week_end(week)
    assert start <= moment < end
    assert end - start == audit.WEEK_SECONDS
    following = audit.week_of(end)
    assert audit.week_start(following) == end
    assert week < following, "texts of weeks sort as their times do"


@pytest.mark.parametrize(
    "text",
    ["", "2026", "2026-47", "2026-W00", "2026-W54", "2025-W53", "2026-W7", "26-W07", "2026-W07 ", "0000-W01"],
)
def test_what_is_no_week_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no week: write the ISO year"):
        audit.week_start(text)


@pytest.mark.parametrize("moment", [1e18, float("inf"), float("nan"), -1e18])
def test_a_moment_beyond_the_calendar_has_no_week(moment: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        audit.week_of(moment)


# Bottom-k.


@settings(deadline=None)
@given(IDS, RATES, BUDGETS, st.lists(st.integers(0, 4), min_size=120, max_size=120))
def test_what_sidecars_saw_merges_to_what_one_would_have_seen(
    ids: list[str], rate: float, budget: int, sidecars: list[int]
) -> None:
    """Any partition, in any order, with any overlap of retries."""
    found = drawn(ids)
    whole = BottomK.of(found, rate=rate, budget=budget)
    parts = [
        BottomK.of(
            [each for each, sidecar in zip(found, sidecars, strict=False) if sidecar in (number, 4)],
            rate=rate,
            budget=budget,
        )
        for number in range(4)
    ]
    merged = parts[0]
    for part in reversed(parts[1:]):
        merged = part.merge(merged)
    assert merged == whole
    assert whole.merge(whole) == whole


@given(IDS, RATES, BUDGETS)
def test_the_sample_is_what_lies_below_tau(ids: list[str], rate: float, budget: int) -> None:
    found = drawn(ids)
    sample = BottomK.of(found, rate=rate, budget=budget)
    below_rate = [each for each in found if each[0] < rate]
    assert set(sample.sampled) == {each for draw, each in found if draw < sample.tau}
    assert len(sample.sampled) == min(budget, len(below_rate))
    assert sample.tau <= rate
    if len(below_rate) <= budget:
        assert sample.tau == rate, "a budget that does not bind leaves the rate as it is"


@given(IDS, RATES, RATES, BUDGETS, BUDGETS)
def test_rates_and_budgets_are_nested(
    ids: list[str], rate: float, other: float, budget: int, more: int
) -> None:
    """A higher rate, or a larger budget, samples all that the lower one does: nothing is labelled twice."""
    found = drawn(ids)
    low, high = sorted((rate, other))
    few, many = sorted((budget, more))
    small = BottomK.of(found, rate=low, budget=few)
    for larger in (BottomK.of(found, rate=high, budget=few), BottomK.of(found, rate=low, budget=many)):
        assert set(small.sampled) <= set(larger.sampled)
        assert small.tau <= larger.tau


def test_samples_of_other_plans_do_not_merge() -> None:
    sample = BottomK.of(drawn(["a"]), rate=0.5, budget=2)
    for other in (BottomK(rate=0.4, budget=2), BottomK(rate=0.5, budget=3)):
        with pytest.raises(ValueError, match="do not merge"):
            sample.merge(other)


@given(IDS, st.integers(0, 120))
def test_a_key_that_is_replaced_within_a_week_draws_on(ids: list[str], at: int) -> None:
    """The draws of two keys make one sample; which key drew what is all that recomputing needs."""
    found = drawn(ids[:at]) + drawn(ids[at:], bytes(range(32, 64)))
    sample = BottomK.of(found, rate=0.5, budget=10)
    assert list(sample.smallest) == sorted(each for each in found if each[0] < 0.5)[:11]


# Estimates.


def test_inverse_inclusion_probabilities_are_unbiased_and_the_bare_rate_is_not() -> None:
    """Hajek over weeks of different size under one budget; Horvitz-Thompson totals; by simulation.

    The busy week is the worse one. Its labels are as many as the quiet week's, so that only what the budget
    left out, through tau, gives it its weight.
    """
    rng = np.random.default_rng(20261123)
    rate, budget, runs = 0.2, 40, 4000
    weeks = ((1500, 0.80), (250, 0.98))
    truth = sum(n * accuracy for n, accuracy in weeks) / sum(n for n, _ in weeks)
    weighted, counts = np.zeros((2, runs)), np.zeros((2, runs))  # by min(rate, tau), and by the rate alone
    totals = np.zeros(runs)
    for n, accuracy in weeks:
        correct = np.arange(n) < round(n * accuracy)
        draw = rng.random((runs, n))
        draw[draw >= rate] = 2.0
        order = np.argpartition(draw, budget, axis=1)[:, : budget + 1]
        smallest = np.take_along_axis(draw, order, axis=1)
        tau = np.minimum(smallest.max(axis=1), rate)
        sampled = smallest < tau[:, None]
        right = (correct[order] & sampled).sum(axis=1)
        count = sampled.sum(axis=1)
        assert (count <= budget).all()
        inclusion = np.array([audit.inclusion(rate, each) for each in tau])
        for row, probability in enumerate((inclusion, np.full(runs, rate))):
            weighted[row] += right / probability
            counts[row] += count / probability
        totals += count / inclusion
    estimates = weighted / counts
    errors = estimates.mean(axis=1) - truth
    standard = estimates.std(axis=1) / np.sqrt(runs)
    assert abs(errors[0]) < 0.003
    assert errors[1] > 0.02, "the planned rate alone would be biased here"
    n = sum(count for count, _ in weeks)
    assert abs(totals.mean() - n) < 4 * totals.std() / np.sqrt(runs), "the weights add up to the population"
    assert standard[0] < 0.001, "or the bounds above say nothing"
