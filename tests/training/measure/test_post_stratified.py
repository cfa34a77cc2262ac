"""The estimate and its intervals, against cases counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import errors
from training.measure import intervals, post_stratified
from training.measure.post_stratified import Estimate, Missing, Sample


def sample(*strata: tuple[float, float, int, int], groups: list[str] | None = None) -> Sample:
    """Of each stratum: its size, the propensity, and how many of its labels are right, and wrong."""
    stratum, correct, propensity = [], [], []
    for number, (_, chance, right, wrong) in enumerate(strata):
        stratum += [number] * (right + wrong)
        correct += [1.0] * right + [0.0] * wrong
        propensity += [chance] * (right + wrong)
    return Sample(
        stratum=np.array(stratum, dtype=np.int64),
        correct=np.array(correct),
        propensity=np.array(propensity),
        sizes=np.array([size for size, *_ in strata]),
        groups=None if groups is None else np.array(groups),
    )


def test_strata_count_for_their_size_and_not_for_their_labels() -> None:
    # 9,000 acted and were audited at 1 %: 81 of 90 right. 1,000 were held: 300 of 1,000 right.
    given_sample = sample((9000, 0.01, 81, 9), (1000, 1.0, 300, 700))
    found = post_stratified.estimate(given_sample)
    assert found.value == pytest.approx(0.9 * 81 / 90 + 0.1 * 0.3)
    assert (found.decisions, found.labels, found.uncovered) == (10_000, 1090, 0.0)
    assert given_sample.weights[0] == pytest.approx(100.0)
    assert given_sample.weights.sum() == pytest.approx(10_000)
    assert float(given_sample.correct.mean()) == pytest.approx(381 / 1090), "the naive mean is far off"


def test_equal_weights_give_wilson_and_clopper_pearson_of_the_plain_counts() -> None:
    found = post_stratified.estimate(sample((1000, 0.05, 47, 3)))
    assert (found.method_shown, found.method_decisive) == ("Wilson", "Clopper-Pearson")
    # Test vectors of notes/calibration.md 3.2.
    assert found.shown() == pytest.approx((0.8378291, 0.979385), abs=1e-6)
    assert found.decisive() == pytest.approx((0.8345181, 0.9874514), abs=1e-6)
    assert found.size == 50.0


def test_a_draw_that_took_too_much_of_a_stratum_is_put_right() -> None:
    # Both strata were drawn with 0.1; of the second, twice as many came as should have.
    found = post_stratified.estimate(sample((1000, 0.1, 90, 10), (1000, 0.1, 100, 100)))
    assert found.value == pytest.approx(0.5 * 0.9 + 0.5 * 0.5)
    assert found.method_shown == "Korn-Graubard"


def test_propensities_that_differ_within_a_stratum_weigh_inversely() -> None:
    mixed = Sample(
        stratum=np.zeros(30, dtype=np.int64),
        correct=np.array([1.0] * 10 + [0.0] * 20),
        propensity=np.array([0.05] * 10 + [1.0] * 20),
        sizes=np.array([220.0]),
    )
    found = post_stratified.estimate(mixed)
    assert found.value == pytest.approx(200 / 220)
    assert found.n_effective == pytest.approx(220**2 / (10 * 400 + 20))
    low, high = found.decisive()
    assert low < 0.75, "ten labels that agree are not worth thirty"
    assert low < 200 / 220 < high


def test_a_stratum_without_a_label_is_all_wrong_below_and_all_right_above() -> None:
    whole = post_stratified.estimate(sample((800, 0.1, 76, 4)))
    found = post_stratified.estimate(sample((800, 0.1, 76, 4), (200, 0.1, 0, 0)))
    assert found.uncovered == pytest.approx(0.2)
    assert found.value == pytest.approx(0.95)
    low, high = whole.shown()
    assert found.shown() == pytest.approx((0.8 * low, 0.8 * high + 0.2))
    assert found.decisive()[1] == pytest.approx(0.8 * whole.decisive()[1] + 0.2)


def test_no_label_tells_nothing() -> None:
    found = post_stratified.estimate(sample((100, 0.1, 0, 0)))
    assert (found.value, found.shown(), found.decisive(), found.size) == (None, (0.0, 1.0), (0.0, 1.0), 0.0)
    assert (found.method_shown, found.method_decisive, found.uncovered) == ("none", "none", 1.0)
    empty = post_stratified.estimate(sample())
    assert (empty.decisions, empty.labels, empty.uncovered) == (0, 0, 0.0)


def test_a_domain_is_a_part_of_the_strata() -> None:
    # Two strata of other rates; the domain holds the first 20 labels of each.
    given_sample = sample((1000, 0.1, 90, 10), (1000, 0.2, 150, 50))
    domain = np.zeros(300, dtype=bool)
    domain[:20] = domain[100:120] = True
    found = post_stratified.estimate(given_sample, domain, np.array([190.0, 110.0]))
    assert found.decisions == 300
    assert found.labels == 40
    assert found.value == 1.0
    assert found.method_shown == "Korn-Graubard"
    wrong = np.zeros(300, dtype=bool)
    wrong[80:100] = wrong[240:260] = True  # 10 of 20 right, 10 of 20 right, weights 10 and 5
    assert post_stratified.estimate(given_sample, wrong).value == pytest.approx(0.5)


def test_a_domain_without_labels_in_one_of_its_strata_says_so() -> None:
    given_sample = sample((1000, 0.1, 90, 10), (1000, 0.2, 150, 50))
    domain = np.arange(300) < 100
    found = post_stratified.estimate(given_sample, domain, np.array([300.0, 100.0]))
    assert found.uncovered == pytest.approx(0.25)
    low, high = intervals.wilson(90, 100)
    assert found.shown() == pytest.approx((0.75 * low, 0.75 * high + 0.25))


def test_labels_of_one_group_are_worth_one() -> None:
    alone = post_stratified.estimate(sample((1000, 0.1, 90, 10)))
    groups = [f"g{number // 10}" for number in range(100)]
    together = post_stratified.estimate(sample((1000, 0.1, 90, 10), groups=groups))
    assert together.value == alone.value
    assert together.n_effective == pytest.approx(10.0)
    assert together.method_shown == "Korn-Graubard"
    assert np.ptp(together.shown()) > 2.0 * np.ptp(alone.shown())
    single = post_stratified.estimate(sample((1000, 0.1, 9, 1), groups=["g"] * 10))
    assert single.decisive()[0] < 0.1, "one group alone says next to nothing"


def test_few_labels_of_the_heaviest_stratum_do_not_pass_for_many() -> None:
    # Nine tenths of the decisions have ten labels, which agree; one tenth has four hundred.
    found = post_stratified.estimate(sample((9000, 0.001, 10, 0), (1000, 0.4, 360, 40)))
    plain = intervals.korn_graubard(
        intervals.weighted_mean(np.array([1.0] * 370 + [0.0] * 40), np.array([900.0] * 10 + [2.5] * 400))
    )
    assert plain[0] > 0.95, "the linearised variance alone says that it is settled"
    assert found.decisive()[0] < 0.75
    assert found.size < 15.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"propensity": np.array([0.5, 0.0])}, "not in"),
        ({"propensity": np.array([0.5, 1.5])}, "not in"),
        ({"propensity": np.array([0.5, np.nan])}, "not in"),
        ({"propensity": np.array([0.5])}, "one outcome and one propensity"),
        ({"stratum": np.array([0, 2])}, "stratum without decisions"),
        ({"sizes": np.array([10.0, 0.0])}, "stratum without decisions"),
    ],
)
def test_what_cannot_be_a_sample(changes: dict[str, np.ndarray], message: str) -> None:
    fields = {
        "stratum": np.array([0, 1]),
        "correct": np.array([1.0, 0.0]),
        "propensity": np.array([0.5, 0.5]),
        "sizes": np.array([10.0, 10.0]),
    }
    with pytest.raises(errors.DataRefused, match=message):
        Sample(**fields | changes)


strata = st.lists(
    st.tuples(st.floats(50.0, 10_000.0), st.floats(0.01, 1.0), st.integers(0, 40), st.integers(0, 40)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(strata)
def test_laws(given_strata: list[tuple[float, float, int, int]]) -> None:
    found: Estimate = post_stratified.estimate(sample(*given_strata))
    for low, high in (found.shown(), found.decisive(), found.decisive(0.5)):
        assert 0.0 <= low <= high <= 1.0
    assert 0.0 <= found.uncovered <= 1.0
    wide, narrow = found.decisive(0.99), found.decisive(0.8)
    assert wide[0] <= narrow[0] + 1e-12
    assert narrow[1] <= wide[1] + 1e-12
    if found.value is not None:
        low, high = found.decisive()
        whole = (found.value * (1 - found.uncovered), found.value * (1 - found.uncovered) + found.uncovered)
        assert low <= whole[0] + 1e-9
        assert whole[1] <= high + 1e-9
        assert found.size <= found.labels + 1e-9


SAMPLE = Sample(
    stratum=np.array([0] * 8 + [1] * 10),
    correct=np.array([1.0] * 6 + [0.0] * 2 + [1.0] * 10),
    propensity=np.array([0.1] * 8 + [0.5] * 10),
    sizes=np.array([100.0, 20.0]),
)
NONE = Missing(stratum=np.array([], dtype=np.int64), propensity=np.array([]))
TWO = Missing(stratum=np.array([0, 0]), propensity=np.array([0.1, 0.1]))


def test_the_missing_of_a_stratum_move_that_stratum_alone() -> None:
    # Stratum 0: 6 of 8 right, 2 missing: between 6 and 8 of 10.
    assert post_stratified.bounds(SAMPLE, TWO) == pytest.approx(
        ((100 * 0.6 + 20) / 120, (100 * 0.8 + 20) / 120)
    )


def test_without_missing_both_ends_are_the_estimate() -> None:
    value = post_stratified.estimate(SAMPLE).value
    assert post_stratified.bounds(SAMPLE, NONE) == pytest.approx((value, value))


def test_a_domain_sees_its_own_missing_only() -> None:
    second = SAMPLE.stratum == 1
    assert post_stratified.bounds(SAMPLE, TWO, second, np.array([False, False])) == pytest.approx((1.0, 1.0))
    assert post_stratified.bounds(SAMPLE, TWO, ~second, np.array([True, True])) == pytest.approx((0.6, 0.8))
    nobody = np.zeros(18, dtype=bool)
    assert post_stratified.bounds(SAMPLE, TWO, nobody, np.array([False, False])) is None


def test_only_missing_leaves_everything_open() -> None:
    nobody = np.zeros(18, dtype=bool)
    assert post_stratified.bounds(SAMPLE, TWO, nobody, np.array([True, True])) == (0.0, 1.0)


def test_a_missing_one_that_was_drawn_rarely_weighs_more() -> None:
    rare = Missing(stratum=np.array([0]), propensity=np.array([0.01]))
    low, high = post_stratified.bounds(SAMPLE, rare, SAMPLE.stratum == 0) or (0.0, 0.0)
    assert low == pytest.approx(60 / 180)
    assert high == pytest.approx(160 / 180)
