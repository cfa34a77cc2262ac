"""Cross-validation folds that keep groups whole and, where there are times, keep time in blocks."""

import numpy as np

from training.data.dataset import Dataset
from training.measure.intervals import IntArray

FOLDS = 5
# Below this many independent units, groups or rows, one random division is too much of a lottery.
FEW_UNITS = 500
REPETITIONS = 4


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
