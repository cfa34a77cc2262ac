"""Weighted isotonic regression by pooling adjacent violators."""

from dataclasses import dataclass

import numpy as np

from training.measure.intervals import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The pooled blocks, in rising order of score.

    Attributes:
        first: (b,) smallest score of each block.
        last: (b,) largest score of each block.
        level: (b,) weighted mean outcome, strictly rising.
        mass: (b,) weight.
    """

    first: FloatArray
    last: FloatArray
    level: FloatArray
    mass: FloatArray

    @property
    def knots(self) -> tuple[FloatArray, FloatArray]:
        """The piecewise linear map's x and y: both ends of each block, once where they coincide."""
        x = np.column_stack((self.first, self.last)).ravel()
        y = np.repeat(self.level, 2)
        keep = np.ones(x.size, dtype=bool)
        keep[1::2] = self.last > self.first
        return x[keep], y[keep]

    def at(self, scores: FloatArray) -> FloatArray:
        """(n,) the level of the block that each score was pooled into; for the scores that were pooled."""
        return self.level[np.searchsorted(self.first, scores, side="right") - 1]


def pool(scores: FloatArray, outcomes: FloatArray, weights: FloatArray) -> Steps:
    """Pools adjacent violators (Ayer et al. 1955), each distinct score being one block to begin with.

    Args:
        scores: (n,) in any order, n >= 1.
        outcomes: (n,) numbers in [0, 1].
        weights: (n,) above 0.
    """
    distinct, codes = np.unique(scores, return_inverse=True)
    mass = np.bincount(codes, weights=weights)
    total = np.bincount(codes, weights=weights * outcomes)
    starts: list[int] = []
    masses: list[float] = []
    totals: list[float] = []
    levels: list[float] = []
    for position, (block_mass, block_total) in enumerate(zip(mass.tolist(), total.tolist(), strict=True)):
        start, level = position, block_total / block_mass
        while levels and levels[-1] >= level:
            start = starts.pop()
            block_mass += masses.pop()  # the block grows to the left
            block_total += totals.pop()
            levels.pop()
            level = block_total / block_mass
        starts.append(start)
        masses.append(block_mass)
        totals.append(block_total)
        levels.append(level)
    first = np.asarray(starts, dtype=np.int64)
    last = np.append(first[1:] - 1, distinct.size - 1)
    return Steps(
        first=distinct[first], last=distinct[last], level=np.asarray(levels), mass=np.asarray(masses)
    )
