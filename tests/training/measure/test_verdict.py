"""Every verdict, and how many labels more would decide."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sidecar.policy.model import Promise
from training.measure import intervals, post_stratified, verdict
from training.measure.post_stratified import Estimate, Sample
from training.measure.verdict import Finding

TODAY = date(2027, 3, 31)


def estimate(right: int, wrong: int, *, size: float = 10_000.0, blank: float = 0.0) -> Estimate:
    n = right + wrong
    return post_stratified.estimate(
        Sample(
            stratum=np.zeros(n, dtype=np.int64),
            correct=np.array([1.0] * right + [0.0] * wrong),
            propensity=np.full(n, 0.05),
            sizes=np.array([size, blank]),
        )
    )


def promise(accuracy: str = "0.9", confidence: str = "0.95", by: date | None = None) -> Promise:
    return Promise(accuracy=Decimal(accuracy), confidence=Decimal(confidence), by=by)


@pytest.mark.parametrize(
    ("right", "wrong", "finding"),
    [
        (485, 15, Finding.SHOWN),
        (200, 100, Finding.BROKEN),
        (93, 7, Finding.NOT_SHOWN),
        (88, 12, Finding.NOT_SHOWN),
        (29, 0, Finding.TOO_FEW),
        (0, 29, Finding.TOO_FEW),
        (0, 0, Finding.TOO_FEW),
        (0, 30, Finding.BROKEN),
    ],
)
def test_findings(right: int, wrong: int, finding: Finding) -> None:
    found = verdict.judge(estimate(right, wrong), promise(), today=TODAY)
    assert found.finding is finding
    assert (found.more_labels == 0) == (finding in (Finding.SHOWN, Finding.BROKEN))


def test_the_promise_itself_is_reached_and_not_broken_by_equality() -> None:
    low, high = intervals.clopper_pearson(95, 100)
    reached = verdict.judge(estimate(95, 5), promise(repr(low)), today=TODAY)
    assert reached.finding is Finding.SHOWN
    at_the_upper_end = verdict.judge(estimate(95, 5), promise(repr(high)), today=TODAY)
    assert at_the_upper_end.finding is Finding.NOT_SHOWN


def test_a_higher_confidence_asks_for_more() -> None:
    given_estimate = estimate(191, 9)
    assert verdict.judge(given_estimate, promise("0.91", "0.9"), today=TODAY).finding is Finding.SHOWN
    assert verdict.judge(given_estimate, promise("0.91", "0.999"), today=TODAY).finding is Finding.NOT_SHOWN


@pytest.mark.parametrize(
    ("by", "right", "overdue"),
    [
        (None, 93, False),
        (date(2027, 4, 1), 93, False),
        (date(2027, 3, 31), 93, True),
        (date(2027, 3, 30), 60, True),
        (date(2027, 3, 30), 10, True),
        (date(2027, 3, 30), 100, False),
    ],
)
def test_overdue_is_what_is_not_shown_by_its_day(by: date | None, right: int, overdue: bool) -> None:
    wrong = 0 if right == 100 else 7
    assert verdict.judge(estimate(right, wrong), promise(by=by), today=TODAY).overdue is overdue


@pytest.mark.parametrize(("right", "wrong", "promised"), [(93, 7, "0.9"), (85, 15, "0.9"), (40, 0, "0.95")])
def test_so_many_more_labels_decide_and_one_fewer_does_not(right: int, wrong: int, promised: str) -> None:
    found = verdict.judge(estimate(right, wrong), promise(promised), today=TODAY)
    assert found.finding is Finding.NOT_SHOWN
    assert found.more_labels
    total = right + wrong + found.more_labels
    share = right / (right + wrong)
    low, high = intervals.clopper_pearson(share * total, total)
    assert low >= float(promised) or high < float(promised)
    low, high = intervals.clopper_pearson(share * (total - 1), total - 1)
    assert low < float(promised) <= high


def test_more_labels_where_they_are_worth_less() -> None:
    plain = verdict.judge(estimate(93, 7), promise(), today=TODAY).more_labels or 0
    n = 200
    weighted = post_stratified.estimate(
        Sample(
            stratum=np.zeros(n, dtype=np.int64),
            correct=np.array([1.0] * 93 + [0.0] * 7 + [1.0] * 93 + [0.0] * 7),
            propensity=np.array([0.02] * 100 + [1.0] * 100),
            sizes=np.array([10_000.0]),
        )
    )
    found = verdict.judge(weighted, promise(), today=TODAY)
    assert found.finding is Finding.NOT_SHOWN
    assert (found.more_labels or 0) > plain


def test_no_number_of_labels_decides_on_the_promise_itself() -> None:
    assert verdict.judge(estimate(90, 10), promise(), today=TODAY).more_labels is None
    few = verdict.judge(estimate(9, 1), promise(), today=TODAY)
    assert (few.finding, few.more_labels) == (Finding.TOO_FEW, 20)
    assert verdict.judge(estimate(0, 0), promise(), today=TODAY).more_labels == 30


def test_strata_without_a_label_can_stand_in_the_way() -> None:
    shown = verdict.judge(estimate(990, 10), promise(), today=TODAY)
    assert shown.finding is Finding.SHOWN
    blank = verdict.judge(estimate(990, 10, size=8000.0, blank=2000.0), promise(), today=TODAY)
    assert blank.finding is Finding.NOT_SHOWN
    assert blank.more_labels is None


@settings(max_examples=60, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.5, 0.999), st.sampled_from([0.8, 0.95, 0.99]))
def test_labels_needed_is_the_fewest(accuracy: float, promised: float, level: float) -> None:
    assume(abs(accuracy - promised) > 0.005)
    needed = verdict.labels_needed(accuracy, promised, level)
    assert needed is not None

    def decides(n: int) -> bool:
        low, high = intervals.clopper_pearson(accuracy * n, n, level)
        return low >= promised or high < promised

    assert decides(needed)
    assert needed == 1 or not decides(needed - 1)
