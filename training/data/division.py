"""Division of a dataset: folds of a cross-validation, labels that fit and later ones that judge, halves."""

import numpy as np

import calibrators
from sidecar.times import moment
from training import errors
from training.data.dataset import Dataset
from training.measure.intervals import IntArray

FOLDS = 5
# Below this many independent units, groups or rows, one random division is too much of a lottery.
FEW_UNITS = 500
REPETITIONS = 4

FIT_SHARE = 0.7
"""So many of the labels, by time, fit; the later ones judge."""


def folds(dataset: Dataset, *, seed: int, count: int = FOLDS) -> tuple[IntArray, ...]:
    """One array (n,) of fold numbers for each repetition; each fold is scored by fits on the others.

    * With times: units (groups, or single rows where there are no groups) are sorted by their mean time and
      cut into contiguous blocks of about equal numbers of rows. Without groups the folds are therefore blocks
      of time. A group is never split; one that recurs all the time lands in the block of its mean time, so
      such folds share no group though they overlap in time. There is nothing random, hence no repetition.
    * With groups only: groups in seeded random order, larger ones first, each into the emptiest fold.
    * With neither: seeded random, each fold with its share of correct and of incorrect rows.
      Below 500 groups or rows there are four random divisions in place of one.

    There are fewer folds where there are fewer groups or rows; none (an empty tuple) where there is only one.
    """
    n = len(dataset)
    rng = np.random.default_rng(seed)
    codes = np.arange(n)
    if dataset.groups is not None:
        codes = np.unique(dataset.groups, return_inverse=True)[1]
    units = int(codes.max()) + 1
    count = min(count, units)
    if count < 2:
        return ()
    repetitions = REPETITIONS if units < FEW_UNITS else 1
    sizes = np.bincount(codes)
    if dataset.times is not None:
        moments = np.bincount(codes, weights=dataset.times) / sizes
        order = np.lexsort((np.arange(units), moments))
        return (_blocks(sizes[order], order, count)[codes],)
    if dataset.groups is not None:
        return tuple(_spread(sizes, rng, count)[codes] for _ in range(repetitions))
    return tuple(_stratified(dataset, rng, count) for _ in range(repetitions))


def by_time(dataset: Dataset, *, at_least: float | None = None) -> tuple[Dataset, Dataset]:
    """The earlier 70 % of the labels, which fit, and the later ones, which judge.

    Decisions of one moment stay together. Groups may be on both sides: the verdict's variance is clustered by
    group, and a calibrator has too few parameters to learn a group by heart.

    Args:
        dataset: with times.
        at_least: labels before this moment cannot judge, in seconds since the epoch: where it is later than
            70 % of the labels, all of them fit.

    Raises:
        NotEnoughLabels: no label is left to judge, or none to fit.
    """
    if dataset.times is None:
        raise errors.RequestRefused("the labels carry no times, so they cannot be split by time")
    edge = float(np.quantile(dataset.times, FIT_SHARE, method="lower"))
    earlier = dataset.times <= edge
    if earlier.all():
        raise errors.NotEnoughLabels(
            "all labelled decisions are of one moment; later ones must judge the fit"
        )
    if at_least is not None:
        earlier |= dataset.times < at_least
        if earlier.all():
            raise errors.NotEnoughLabels(
                "no labelled decision is later than the labels that the champion was fitted to, and only those "
                "can judge a challenger against it: wait for new ones"
            )
    return dataset.take(earlier), dataset.take(~earlier)


def fitted_until(calibrator: calibrators.Calibrator | None) -> float | None:
    """The first moment after a calibrator's fitting window, in seconds since the epoch; None where unknown."""
    if calibrator is None or calibrator.fit is None or calibrator.fit.window_to is None:
        return None
    try:
        # The document keeps whole seconds, rounded down.
        return moment(calibrator.fit.window_to) + 1.0
    except ValueError:
        return None


def halves(dataset: Dataset, *, seed: int) -> tuple[Dataset, Dataset, str]:
    """The earlier half of the rows, which fit, the others, which certify, and the former in words.

    Without times it is a random half. No group is on both sides.

    Raises:
        NotEnoughLabels: one of the halves would have no row.
    """
    codes = np.arange(len(dataset))
    if dataset.groups is not None:
        codes = np.unique(dataset.groups, return_inverse=True)[1]
    if dataset.times is None:
        units = int(codes.max()) + 1
        order = np.random.default_rng(seed).permutation(units)
        earlier = np.isin(codes, order[: round(units * 0.5)])
        how = "a random half of them" if dataset.groups is None else "a random half of the groups"
        later = ~earlier
    else:
        edge = float(np.quantile(dataset.times, 0.5, method="lower"))
        earlier = dataset.times <= edge
        later = ~earlier & ~np.isin(codes, codes[earlier])
        how = "the earlier half of them"
    if not earlier.any() or not later.any():
        raise errors.NotEnoughLabels(
            "the rows cannot be divided into some that fit and some that certify, for they are of one moment or "
            "share their groups: fit a calibrator to other labels and name it with --calibrator"
        )
    return dataset.take(earlier), dataset.take(later), how


def _blocks(sizes: IntArray, order: IntArray, count: int) -> IntArray:
    """Fold of each unit: where the middle of its rows lies. Folds without any unit are left out."""
    ends = np.cumsum(sizes)
    middles = ends - sizes / 2.0
    placed = np.minimum((middles / ends[-1] * count).astype(np.int64), count - 1)
    # A huge unit can leave folds without any: number those in use without gaps. At least two are, for the
    # middles of the first and of the last unit lie half of the rows apart or more.
    placed = np.unique(placed, return_inverse=True)[1]
    fold = np.empty(order.size, dtype=np.int64)
    fold[order] = placed
    return fold


def _spread(sizes: IntArray, rng: np.random.Generator, count: int) -> IntArray:
    shuffled = rng.permutation(sizes.size)
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold = np.empty(sizes.size, dtype=np.int64)
    filled = np.zeros(count, dtype=np.int64)
    for unit in order:
        emptiest = int(filled.argmin())
        fold[unit] = emptiest
        filled[emptiest] += sizes[unit]
    return fold


def _stratified(dataset: Dataset, rng: np.random.Generator, count: int) -> IntArray:
    shuffled = rng.permutation(len(dataset))
    order = shuffled[np.argsort(dataset.correct[shuffled], kind="stable")]
    fold = np.empty(len(dataset), dtype=np.int64)
    fold[order] = np.arange(len(dataset)) % count
    return fold
