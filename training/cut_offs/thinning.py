"""Labels that stand for themselves: independent, and each included with the same probability.

An exact test counts rows. Where the draw took some decisions with another probability than others, counting
them as they come answers another question; keeping each with probability pi_min / pi brings the equal
probability back. It is enough that the rows of one test are equal among themselves, so that a test of the
strictest answers does not pay for a band below that is audited more rarely.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from training import errors
from training.measure.intervals import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """n labels. Build one with `Sample.of`.

    Attributes:
        confidence: (n,) what the bands are cut on.
        wrong: (n,) 1 where the answer was wrong, else 0.
        propensity: (n,) with which probability each was labelled, up to one factor for all.
        draw: (n,) uniform on [0, 1), fixed before any test: which rows a thinning keeps.
        dropped: rows that shared a group with one that was kept.
    """

    confidence: FloatArray
    wrong: IntArray
    propensity: FloatArray
    draw: FloatArray
    dropped: int = 0

    @classmethod
    def of(
        cls,
        confidence: npt.ArrayLike,
        correct: npt.ArrayLike,
        *,
        propensity: npt.ArrayLike | None = None,
        groups: npt.NDArray[Any] | None = None,
        seed: int = 0,
    ) -> "Sample":
        """The labels, with at most one row of each group.

        Rows of one group depend on each other, and no exact test allows for that. So all rows are thinned to
        one propensity, and then one row of each group is drawn: what is certified counts each group once.

        Args:
            confidence: (n,) in [0, 1].
            correct: (n,) 1 where the answer was right, else 0.
            propensity: (n,) above 0; None: all the same.
            groups: (n,) keys; None: every row is its own.
            seed: of the draws.

        Raises:
            NotEnoughLabels: there is no row.
        """
        rng = np.random.default_rng(seed)
        values = np.asarray(confidence, dtype=np.float64)
        if values.size == 0:
            raise errors.NotEnoughLabels("there is no label that can certify a cut-off")
        sample = cls(
            confidence=values,
            wrong=(np.asarray(correct) != 1).astype(np.int64),
            propensity=np.ones(values.size) if propensity is None else np.asarray(propensity, np.float64),
            draw=rng.random(values.size),
        )
        if groups is None or np.unique(groups).size == values.size:
            return sample
        kept = np.flatnonzero(_kept(sample))
        order = kept[rng.permutation(kept.size)]
        first = np.sort(order[np.unique(np.asarray(groups)[order], return_index=True)[1]])
        return replace(
            _take(sample, first), propensity=np.ones(first.size), dropped=int(kept.size - first.size)
        )

    def __len__(self) -> int:
        return int(self.confidence.size)

    def above(self, lowest: float) -> "Sample":
        """The rows from a confidence on."""
        return _take(self, np.flatnonzero(self.confidence >= lowest))


def tally(
    sample: Sample, cut_offs: Sequence[Decimal], below: Decimal | None = None
) -> tuple[IntArray, IntArray]:
    """For each cut-off, how many labels of equal propensity lie from it on, and how many of those are wrong.

    Args:
        sample: the labels.
        cut_offs: (k,) in any order.
        below: only confidences below it count; None: all up to 1.

    Returns:
        Two (k,) arrays.
    """
    if below is not None:
        sample = _take(sample, np.flatnonzero(sample.confidence < float(below)))
    if not len(sample) or sample.propensity.min() == sample.propensity.max():
        return _counted(sample, cut_offs)
    n, wrong = np.zeros(len(cut_offs), np.int64), np.zeros(len(cut_offs), np.int64)
    for place, cut_off in enumerate(cut_offs):
        # The very comparison that the sidecar makes: the double nearest to the decimal, closed below.
        inside = sample.confidence >= float(cut_off)
        if inside.any():
            inside &= sample.draw * sample.propensity < sample.propensity[inside].min()
            n[place], wrong[place] = inside.sum(), sample.wrong[inside].sum()
    return n, wrong


def _counted(sample: Sample, cut_offs: Sequence[Decimal]) -> tuple[IntArray, IntArray]:
    """`tally` where nothing is to be thinned, all cut-offs at once."""
    order = np.argsort(sample.confidence)
    errors_below = np.concatenate(([0], np.cumsum(sample.wrong[order])))
    edges = np.array([float(cut_off) for cut_off in cut_offs])
    below = np.searchsorted(sample.confidence[order], edges, side="left")
    return len(sample) - below, errors_below[-1] - errors_below[below]


def _kept(sample: Sample) -> npt.NDArray[np.bool_]:
    return np.asarray(sample.draw * sample.propensity < sample.propensity.min())


def _take(sample: Sample, index: npt.NDArray[np.int64]) -> Sample:
    return replace(
        sample,
        confidence=sample.confidence[index],
        wrong=sample.wrong[index],
        propensity=sample.propensity[index],
        draw=sample.draw[index],
    )
