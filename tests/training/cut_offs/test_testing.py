"""The tests of cut-offs: exact p-values, the sequence, its several starts, and MAPIE's as an oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from training.cut_offs import testing


def arrays(*counts: int) -> np.ndarray:
    return np.array(counts, dtype=np.int64)


def test_the_p_value_is_the_exact_binomial_tail() -> None:
    # 200 labels with 4 errors against 5 %: 0.0264 (the notes' vector, also from Angelopoulos et al.'s method).
    assert testing.p_values(arrays(4), arrays(200), 0.05)[0] == pytest.approx(0.0264, abs=5e-5)
    n = np.arange(1, 400)
    wrong = n // 13
    expected = stats.binom.cdf(wrong, n, 0.1)
    assert testing.p_values(wrong, n, 0.1) == pytest.approx(expected, rel=1e-10)


def test_no_label_rejects_nothing() -> None:
    assert testing.p_values(arrays(0), arrays(0), 0.1)[0] == 1.0


@pytest.mark.parametrize(
    ("alpha", "delta", "least"),
    [(0.1, 0.1, 22), (0.1, 0.05, 29), (0.05, 0.1, 45), (0.05, 0.05, 59), (0.01, 0.1, 230), (0.01, 0.05, 299)],
)
def test_below_the_least_number_of_labels_no_test_can_pass(alpha: float, delta: float, least: int) -> None:
    assert testing.least_labels(alpha, delta) == least
    assert testing.p_values(arrays(0), arrays(least), alpha)[0] <= delta
    assert testing.p_values(arrays(0), arrays(least - 1), alpha)[0] > delta


def test_one_start_is_plain_fixed_sequence_testing() -> None:
    n = arrays(5, 22, 60, 120, 200, 300)
    wrong = arrays(0, 0, 1, 5, 21, 22)  # the last but one fails, the last would pass alone
    found = testing.sequence(n, wrong, alpha=0.1, delta=0.1, starts=(1.0,))
    assert found.levels.tolist() == [0.0, 0.1, 0.1, 0.1, 0.1, 0.0]
    assert found.p_values[5] < 0.1
    assert found.passed.tolist() == [False, True, True, True, False, False]
    assert found.loosest == 3


def test_a_second_start_goes_on_where_the_first_one_ended() -> None:
    n = arrays(44, 80, 132, 240)
    wrong = arrays(9, 12, 2, 9)  # bad on top, good from there on
    found = testing.sequence(n, wrong, alpha=0.1, delta=0.1)
    assert found.levels.tolist() == [0.05, 0.0, 0.05, 0.05]
    assert found.passed.tolist() == [False, False, True, True]
    one = testing.sequence(n, wrong, alpha=0.1, delta=0.1, starts=(2.0,))
    assert one.loosest is None


def test_a_start_reached_alive_adds_its_share() -> None:
    n = arrays(44, 80, 132, 240)
    found = testing.sequence(n, arrays(0, 0, 0, 0), alpha=0.1, delta=0.1)
    assert found.levels.tolist() == [0.05, 0.05, 0.1, 0.1]


def test_few_labels_have_one_start_where_a_test_can_pass() -> None:
    found = testing.sequence(arrays(10, 22, 30), arrays(0, 0, 0), alpha=0.1, delta=0.1)
    assert found.passed.tolist() == [False, True, True]


def test_too_few_labels_have_none() -> None:
    found = testing.sequence(arrays(10, 21), arrays(0, 0), alpha=0.1, delta=0.1)
    assert found.loosest is None
    assert found.levels.tolist() == [0.0, 0.0]
    assert testing.sequence(arrays(), arrays(), alpha=0.1, delta=0.1).loosest is None


@given(st.lists(st.integers(0, 80), min_size=1, max_size=40), st.sampled_from([0.01, 0.05, 0.1, 0.4]))
def test_the_shares_come_from_counts_and_never_exceed_delta(steps: list[int], alpha: float) -> None:
    n = np.cumsum(steps)
    found = testing.shares(n, alpha=alpha, delta=0.1)
    assert found.sum() <= 0.1 + 1e-12
    for place in np.flatnonzero(found):
        assert testing.p_values(arrays(0), n[[place]], alpha)[0] <= found[place] + 1e-9


@given(st.data())
def test_more_errors_never_certify_more(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.booleans(), min_size=30, max_size=300))
    flip = data.draw(st.integers(0, len(rows) - 1))
    n = np.arange(10, len(rows) + 1, 10)

    def passed(labels: list[bool]) -> np.ndarray:
        wrong = np.cumsum(labels)[n - 1]
        return testing.sequence(n, wrong, alpha=0.3, delta=0.1).passed

    worse = [*rows]
    worse[flip] = True
    assert not np.any(passed(worse) & ~passed(rows))


# What was observed need not fall from cut-off to cut-off; MAPIE says so, and tests in the order given.
@pytest.mark.filterwarnings("ignore:Fixed sequence testing requires a monotonic risk")
@pytest.mark.parametrize("seed", range(5))
def test_mapie_certifies_the_same_cut_offs(seed: int) -> None:
    risk_control = pytest.importorskip("mapie.risk_control")
    rng = np.random.default_rng(seed)
    confidence = rng.choice(np.linspace(0.5, 1.0, 21), 600)
    correct = rng.random(600) < confidence
    tried = np.unique(confidence)[::-1]
    n = np.array([(confidence >= edge).sum() for edge in tried])
    wrong = np.array([(~correct[confidence >= edge]).sum() for edge in tried])
    first = int(np.flatnonzero(n >= testing.least_labels(0.2, 0.1))[0])
    controller = risk_control.BinaryClassificationController(
        predict_function=lambda rows: np.column_stack((1.0 - rows[:, 0], rows[:, 0])),
        risk=risk_control.precision,
        target_level=0.8,
        confidence_level=0.9,
        fwer_method="fixed_sequence",
        list_predict_params=tried[first:],
    )
    controller.calibrate(confidence[:, None], correct.astype(int))
    found = testing.sequence(n, wrong, alpha=0.2, delta=0.1, starts=(1.0,))
    assert 0 < found.passed.sum() < found.passed.size - first
    assert sorted(controller.valid_predict_params) == sorted(tried[found.passed])
    # MAPIE takes ceil(n * mean), which rounding makes one error too many at times, and the smaller bound.
    theirs, ours = controller.p_values.ravel(), found.p_values[first:]
    one_more = testing.p_values(wrong[first:] + 1, n[first:], 0.2)
    assert np.all((theirs >= ours * (1 - 1e-9)) & (theirs <= one_more * (1 + 1e-9)))
    assert np.isclose(theirs, ours, rtol=1e-9).sum() >= theirs.size / 3
