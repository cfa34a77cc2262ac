import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import errors
from training.data import division
from training.data.dataset import Dataset


def dataset(n: int, *, groups: object = None, times: object = None, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    return Dataset.of(
        rng.random(n),
        rng.random(n) < 0.8,
        groups=None if groups is None else np.asarray(groups),
        times=None if times is None else np.asarray(times, dtype=float),
    )


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=80),
    st.booleans(),
    st.booleans(),
    st.integers(0, 5),
)
def test_laws(keys: list[int], grouped: bool, timed: bool, seed: int) -> None:
    n = len(keys)
    times = np.random.default_rng(seed).permutation(n) if timed else None
    data = dataset(n, groups=keys if grouped else None, times=times)
    units = len(set(keys)) if grouped else n
    divisions = division.folds(data, seed=seed)
    if units < 2:
        assert divisions == ()
        return
    assert len(divisions) == (1 if timed else 4)
    for fold in divisions:
        used = np.unique(fold)
        assert used.tolist() == list(range(used.size))
        assert 2 <= used.size <= min(5, units)
        if grouped:
            for key in set(keys):
                assert np.unique(fold[np.asarray(keys) == key]).size == 1
    again = division.folds(data, seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(divisions, again, strict=True))


def test_times_without_groups_are_cut_into_five_equal_blocks() -> None:
    times = np.random.default_rng(1).permutation(1000)
    (fold,) = division.folds(dataset(1000, times=times), seed=0)
    assert fold[np.argsort(times)].tolist() == np.repeat(np.arange(5), 200).tolist()


def test_groups_with_times_follow_their_mean_time() -> None:
    groups = np.repeat(np.arange(10), 20)
    times = groups * 100.0 + np.tile(np.arange(20), 10)
    (fold,) = division.folds(dataset(200, groups=groups, times=times), seed=0)
    assert fold.tolist() == np.repeat(np.arange(5), 40).tolist()


def test_groups_that_recur_all_the_time_still_give_five_folds() -> None:
    groups = np.tile(np.arange(50), 40)
    (fold,) = division.folds(dataset(2000, groups=groups, times=np.arange(2000)), seed=0)
    assert np.bincount(fold).tolist() == [400] * 5


def test_random_folds_are_stratified_and_depend_on_the_seed() -> None:
    data = dataset(1000)
    (fold,) = division.folds(data, seed=1)
    wrong = np.bincount(fold[data.correct == 0.0])
    assert np.ptp(wrong) <= 1
    assert np.ptp(np.bincount(fold)) <= 1
    (other,) = division.folds(data, seed=2)
    assert not np.array_equal(fold, other)


@pytest.mark.parametrize(
    ("n", "groups", "repetitions"),
    [(499, None, 4), (500, None, 1), (2000, np.arange(2000) % 499, 4), (2000, np.arange(2000) % 500, 1)],
)
def test_few_independent_rows_are_divided_four_times(
    n: int, groups: np.ndarray | None, repetitions: int
) -> None:
    divisions = division.folds(dataset(n, groups=groups), seed=0)
    assert len(divisions) == repetitions
    assert len({division.tobytes() for division in divisions}) == repetitions


def test_groups_of_unequal_size_are_balanced() -> None:
    groups = np.repeat(np.arange(30), np.random.default_rng(3).integers(1, 60, 30))
    for fold in division.folds(dataset(groups.size, groups=groups), seed=0):
        sizes = np.bincount(fold)
        assert sizes.max() - sizes.min() < 0.1 * groups.size


def test_the_earlier_labels_fit_and_the_later_ones_judge() -> None:
    times = [5.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    data = Dataset.of([0.5] * 10, [1.0] * 10, times=times)
    earlier, later = division.by_time(data)
    assert earlier.times is not None
    assert later.times is not None
    assert sorted(earlier.times) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert sorted(later.times) == [8.0, 9.0, 10.0]
    # Decisions of one moment stay together, whatever that does to the shares.
    together = Dataset.of([0.5] * 5, [1.0] * 5, times=[1.0, 2.0, 2.0, 2.0, 3.0])
    assert [len(part) for part in division.by_time(together)] == [4, 1]
    with pytest.raises(errors.NotEnoughLabels, match="of one moment"):
        division.by_time(Dataset.of([0.5] * 3, [1.0] * 3, times=[7.0] * 3))
    with pytest.raises(errors.RequestRefused, match="no times"):
        division.by_time(Dataset.of([0.5] * 3, [1.0] * 3))
