"""The tests of cut-offs: which are tried, on which labels, exact p-values, several starts, what is missing."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from training import errors
from training.cut_offs import exact_tests
from training.cut_offs.exact_tests import ExactSample


def arrays(*counts: int) -> np.ndarray:
    return np.array(counts, dtype=np.int64)


def test_the_p_value_is_the_exact_binomial_tail() -> None:
    # 200 labels with 4 errors against 5 %: 0.0264 (the notes' vector, also from Angelopoulos et al.'s method).
    assert exact_tests.p_values(arrays(4), arrays(200), 0.05)[0] == pytest.approx(0.0264, abs=5e-5)
    n = np.arange(1, 400)
    wrong = n // 13
    expected = stats.binom.cdf(wrong, n, 0.1)
    assert exact_tests.p_values(wrong, n, 0.1) == pytest.approx(expected, rel=1e-10)


def test_no_label_rejects_nothing() -> None:
    assert exact_tests.p_values(arrays(0), arrays(0), 0.1)[0] == 1.0


@pytest.mark.parametrize(
    ("alpha", "delta", "least"),
    [(0.1, 0.1, 22), (0.1, 0.05, 29), (0.05, 0.1, 45), (0.05, 0.05, 59), (0.01, 0.1, 230), (0.01, 0.05, 299)],
)
def test_below_the_least_number_of_labels_no_test_can_pass(alpha: float, delta: float, least: int) -> None:
    assert exact_tests.least_labels(alpha, delta) == least
    assert exact_tests.p_values(arrays(0), arrays(least), alpha)[0] <= delta
    assert exact_tests.p_values(arrays(0), arrays(least - 1), alpha)[0] > delta


def test_one_start_is_plain_fixed_sequence_testing() -> None:
    n = arrays(5, 22, 60, 120, 200, 300)
    wrong = arrays(0, 0, 1, 5, 21, 22)  # the last but one fails, the last would pass alone
    found = exact_tests.sequence(n, wrong, alpha=0.1, delta=0.1, starts=(1.0,))
    assert found.levels.tolist() == [0.0, 0.1, 0.1, 0.1, 0.1, 0.0]
    assert found.p_values[5] < 0.1
    assert found.passed.tolist() == [False, True, True, True, False, False]
    assert found.loosest == 3


def test_a_second_start_goes_on_where_the_first_one_ended() -> None:
    n = arrays(44, 80, 132, 240)
    wrong = arrays(9, 12, 2, 9)  # bad on top, good from there on
    found = exact_tests.sequence(n, wrong, alpha=0.1, delta=0.1)
    assert found.levels.tolist() == [0.05, 0.0, 0.05, 0.05]
    assert found.passed.tolist() == [False, False, True, True]
    one = exact_tests.sequence(n, wrong, alpha=0.1, delta=0.1, starts=(2.0,))
    assert one.loosest is None


def test_a_start_reached_alive_adds_its_share() -> None:
    n = arrays(44, 80, 132, 240)
    found = exact_tests.sequence(n, arrays(0, 0, 0, 0), alpha=0.1, delta=0.1)
    assert found.levels.tolist() == [0.05, 0.05, 0.1, 0.1]


def test_few_labels_have_one_start_where_a_test_can_pass() -> None:
    found = exact_tests.sequence(arrays(10, 22, 30), arrays(0, 0, 0), alpha=0.1, delta=0.1)
    assert found.passed.tolist() == [False, True, True]


def test_too_few_labels_have_none() -> None:
    found = exact_tests.sequence(arrays(10, 21), arrays(0, 0), alpha=0.1, delta=0.1)
    assert found.loosest is None
    assert found.levels.tolist() == [0.0, 0.0]
    assert exact_tests.sequence(arrays(), arrays(), alpha=0.1, delta=0.1).loosest is None


@given(st.lists(st.integers(0, 80), min_size=1, max_size=40), st.sampled_from([0.01, 0.05, 0.1, 0.4]))
def test_the_shares_come_from_counts_and_never_exceed_delta(steps: list[int], alpha: float) -> None:
    n = np.cumsum(steps)
    found = exact_tests.shares(n, alpha=alpha, delta=0.1)
    assert found.sum() <= 0.1 + 1e-12
    for place in np.flatnonzero(found):
        assert exact_tests.p_values(arrays(0), n[[place]], alpha)[0] <= found[place] + 1e-9


@given(st.data())
def test_more_errors_never_certify_more(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.booleans(), min_size=30, max_size=300))
    flip = data.draw(st.integers(0, len(rows) - 1))
    n = np.arange(10, len(rows) + 1, 10)

    def passed(labels: list[bool]) -> np.ndarray:
        wrong = np.cumsum(labels)[n - 1]
        return exact_tests.sequence(n, wrong, alpha=0.3, delta=0.1).passed

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
    first = int(np.flatnonzero(n >= exact_tests.least_labels(0.2, 0.1))[0])
    controller = risk_control.BinaryClassificationController(
        predict_function=lambda rows: np.column_stack((1.0 - rows[:, 0], rows[:, 0])),
        risk=risk_control.precision,
        target_level=0.8,
        confidence_level=0.9,
        fwer_method="fixed_sequence",
        list_predict_params=tried[first:],
    )
    controller.calibrate(confidence[:, None], correct.astype(int))
    found = exact_tests.sequence(n, wrong, alpha=0.2, delta=0.1, starts=(1.0,))
    assert 0 < found.passed.sum() < found.passed.size - first
    assert sorted(controller.valid_predict_params) == sorted(tried[found.passed])
    # MAPIE takes ceil(n * mean), which rounding makes one error too many at times, and the smaller bound.
    theirs, ours = controller.p_values.ravel(), found.p_values[first:]
    one_more = exact_tests.p_values(wrong[first:] + 1, n[first:], 0.2)
    assert np.all((theirs >= ours * (1 - 1e-9)) & (theirs <= one_more * (1 + 1e-9)))
    assert np.isclose(theirs, ours, rtol=1e-9).sum() >= theirs.size / 3


def test_few_confidences_have_a_cut_off_each() -> None:
    confidence = np.array([0.95, 0.57, 0.95, 0.812345, 0.57])
    assert exact_tests.grid(confidence) == (Decimal("0.95"), Decimal("0.8123"), Decimal("0.57"))


def test_many_have_quantiles_of_which_each_takes_an_equal_share() -> None:
    confidence = np.random.default_rng(0).random(5000) ** 0.2
    found = exact_tests.grid(confidence)
    assert 45 <= len(found) <= exact_tests.STEPS
    shares = np.diff([(confidence >= float(edge)).mean() for edge in found])
    assert shares == pytest.approx(0.02, abs=0.004)


def test_no_outcome_and_no_order_plays_a_part() -> None:
    confidence = np.random.default_rng(1).random(500)
    assert exact_tests.grid(confidence) == exact_tests.grid(confidence[::-1].copy())


def test_other_cut_offs_are_tried_too_but_none_below_the_lowest() -> None:
    confidence = np.array([0.9, 0.4])
    assert exact_tests.grid(confidence, also=(Decimal("0.70"),)) == (
        Decimal("0.90"),
        Decimal("0.70"),
        Decimal("0.40"),
    )
    assert exact_tests.grid(confidence, lowest=Decimal("0.5"), also=(Decimal("0.70"), Decimal("0.45"))) == (
        Decimal("0.90"),
        Decimal("0.70"),
    )
    assert exact_tests.grid(confidence, also=(Decimal("0.10"),)) == (
        Decimal("0.90"),
        Decimal("0.40"),
    )  # nobody was seen there


@given(st.floats(0.0, 1.0))
def test_a_floor_is_never_above_and_at_most_a_step_below(value: float) -> None:
    found = exact_tests.floor(value)
    assert float(found) <= value
    assert value - float(found) <= 2.1e-4
    assert -found.as_tuple().exponent <= 4


@pytest.mark.parametrize(
    ("value", "text"), [(0.9, "0.90"), (0.57, "0.57"), (0.94372, "0.9437"), (1.0, "0.9999"), (0.0, "0.00")]
)
def test_how_a_cut_off_is_written(value: float, text: str) -> None:
    assert str(exact_tests.floor(value)) == text


@pytest.mark.parametrize(
    ("target", "truth", "about"), [(0.90, 0.95, 140), (0.90, 0.93, 390), (0.95, 0.98, 190), (0.95, 0.97, 450)]
)
def test_the_published_numbers(target: float, truth: float, about: int) -> None:
    needed = exact_tests.labels_needed(1 - truth, alpha=1 - target, delta=0.1)
    assert needed == pytest.approx(about, rel=0.1)


def test_with_so_many_labels_the_test_passes_so_often() -> None:
    needed = exact_tests.labels_needed(0.05, alpha=0.1, delta=0.1)
    assert needed is not None
    rng = np.random.default_rng(0)
    wrong = rng.binomial(needed, 0.05, 20_000)
    passes = exact_tests.p_values(wrong, np.full(20_000, needed), 0.1) <= 0.1
    assert passes.mean() == pytest.approx(0.8, abs=0.03)


def test_close_to_the_target_the_approximation_takes_over() -> None:
    needed = exact_tests.labels_needed(0.091, alpha=0.1, delta=0.1)
    assert needed is not None
    assert needed > exact_tests.MANY_LABELS
    most = stats.binom.ppf(0.1, needed, 0.1) - 1
    assert stats.binom.cdf(most, needed, 0.091) == pytest.approx(0.8, abs=0.02)


def test_an_accuracy_at_or_below_the_target_never_gets_there() -> None:
    assert exact_tests.labels_needed(0.1, alpha=0.1, delta=0.1) is None
    assert exact_tests.labels_needed(0.2, alpha=0.1, delta=0.1) is None
    assert exact_tests.labels_needed(0.0999, alpha=0.1, delta=0.1) is None  # more than a million


def outcome(n: list[int], wrong: list[int]) -> exact_tests.Sequence:
    return exact_tests.sequence(np.array(n), np.array(wrong), alpha=0.1, delta=0.1)


def test_the_shortfall_is_at_the_cut_off_that_is_nearest() -> None:
    found = exact_tests.shortfall(
        (Decimal("0.9"), Decimal("0.8")), outcome([60, 100], [3, 30]), alpha=0.1, delta=0.1
    )
    assert found is not None
    assert (found.cut_off, found.n, found.wrong) == (Decimal("0.9"), 60, 3)
    assert found.accuracy == pytest.approx(57.5 / 61)
    needed = exact_tests.labels_needed(1 - 57.5 / 61, alpha=0.1, delta=0.1)
    assert found.further == (needed or 0) - 60


def test_where_the_sequence_ended_before_labels_that_would_do_that_is_what_is_missing() -> None:
    tested = outcome([140, 300], [40, 15])
    assert tested.p_values[1] < 0.01
    assert not tested.passed.any()
    found = exact_tests.shortfall((Decimal("0.9"), Decimal("0.6")), tested, alpha=0.1, delta=0.1)
    assert found is not None
    assert (found.cut_off, found.n, found.wrong, found.further) == (Decimal("0.9"), 140, 40, None)
    assert found.beyond == Decimal("0.6")


def test_a_hopeless_score_is_told_so() -> None:
    found = exact_tests.shortfall(
        (Decimal("0.9"), Decimal("0.8")), outcome([60, 100], [20, 30]), alpha=0.1, delta=0.1
    )
    assert found is not None
    assert found.further is None
    assert found.cut_off == Decimal("0.8")


def test_without_labels_there_is_nothing_to_say() -> None:
    assert exact_tests.shortfall((Decimal("0.9"),), outcome([0], [0]), alpha=0.1, delta=0.1) is None


EDGES = [Decimal("0.9"), Decimal("0.6"), Decimal("0.1")]


def test_equal_rows_are_all_counted_closed_below() -> None:
    sample = ExactSample.of([0.95, 0.9, 0.6, 0.2], [1, 0, 1, 0])
    n, wrong = exact_tests.tally(sample, EDGES)
    assert n.tolist() == [2, 3, 4]
    assert wrong.tolist() == [1, 1, 2]


def test_an_upper_edge_is_open() -> None:
    sample = ExactSample.of([0.95, 0.9, 0.6, 0.2], [1, 0, 1, 0])
    n, wrong = exact_tests.tally(sample, EDGES[1:], Decimal("0.9"))
    assert n.tolist() == [1, 2]
    assert wrong.tolist() == [0, 1]


def test_an_edge_is_the_double_that_the_sidecar_compares_with() -> None:
    sample = ExactSample.of([0.29, np.nextafter(0.29, 0.0)], [1, 1])
    assert exact_tests.tally(sample, [Decimal("0.29")])[0].tolist() == [1]


def test_rows_of_a_higher_propensity_are_thinned_to_the_lowest() -> None:
    rng = np.random.default_rng(0)
    sure = rng.random(20_000) < 0.5
    sample = ExactSample.of(np.full(20_000, 0.9), sure, propensity=np.where(sure, 1.0, 0.05), seed=1)
    n, wrong = exact_tests.tally(sample, [Decimal("0.5")])
    audited = int((~sure).sum())
    assert wrong[0] == audited  # of the lowest propensity all stay
    assert n[0] - wrong[0] == pytest.approx(0.05 * sure.sum(), rel=0.1)


def test_a_strict_test_does_not_pay_for_what_is_audited_rarely_below() -> None:
    confidence = np.concatenate((np.full(200, 0.95), np.full(100, 0.3)))
    sample = ExactSample.of(confidence, np.ones(300), propensity=np.where(confidence > 0.5, 0.05, 0.001))
    n, _ = exact_tests.tally(sample, [Decimal("0.9"), Decimal("0.2")])
    assert n[0] == 200
    assert 100 <= n[1] < 125


def test_only_ratios_of_propensities_count() -> None:
    rng = np.random.default_rng(3)
    confidence, propensity = rng.random(500), rng.choice([0.1, 1.0], 500)
    first, second = (
        exact_tests.tally(
            ExactSample.of(confidence, np.ones(500), propensity=scale * propensity, seed=4), EDGES
        )[0]
        for scale in (1.0, 40.0)
    )
    assert first.tolist() == second.tolist()
    other = exact_tests.tally(ExactSample.of(confidence, np.ones(500), propensity=propensity, seed=5), EDGES)[
        0
    ]
    assert other.tolist() != first.tolist()


def test_a_group_has_one_row() -> None:
    groups = np.repeat(np.arange(50), 10)
    confidence = np.tile(np.linspace(0.5, 0.95, 10), 50)
    sample = ExactSample.of(confidence, np.ones(500), groups=groups, seed=2)
    assert (len(sample), sample.dropped) == (50, 450)
    # Which one is drawn by chance, not by place.
    assert np.unique(sample.confidence).size > 5
    assert exact_tests.tally(sample, [Decimal("0.5")])[0].tolist() == [50]


def test_groups_are_drawn_from_rows_of_equal_probability() -> None:
    # Of each group one row was sure to be labelled and one had 2 %: as often as not the latter stays.
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(20_000), 2)
    propensity = np.tile([1.0, 0.02], 20_000)
    drawn = rng.random(40_000) < propensity
    rare = np.tile([0.0, 1.0], 20_000)
    sample = ExactSample.of(
        np.full(drawn.sum(), 0.9), 1.0 - rare[drawn], propensity=propensity[drawn], groups=groups[drawn]
    )
    assert 600 < len(sample) < 1000
    assert sample.wrong.mean() == pytest.approx(0.5, abs=0.06)


def test_different_groups_lose_nothing() -> None:
    sample = ExactSample.of([0.9, 0.8], [1, 1], groups=np.array(["a", "b"]), propensity=[1.0, 0.5])
    assert len(sample) == 2
    assert sample.propensity.tolist() == [1.0, 0.5]


def test_no_row_is_no_sample() -> None:
    with pytest.raises(errors.NotEnoughLabels, match="no label"):
        ExactSample.of([], [])
