"""What happened: scores, when they were given, and whether the answers were right."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training import errors
from training.data.dataset import Dataset
from training.measure.intervals import FloatArray

DAY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """n answers, oldest first.

    Attributes:
        times: (n,) seconds since the epoch, not decreasing.
        scores: (n,) confidence in the given answer, in [0, 1].
        correct: (n,) whether it was right.
        categories: (n,) names in normal form; empty where the history has none.
        groups: (n,) keys of answers that depend on each other; None: there are none.
    """

    times: FloatArray
    scores: FloatArray
    correct: npt.NDArray[np.bool_]
    categories: npt.NDArray[np.object_]
    groups: npt.NDArray[Any] | None = None

    def __len__(self) -> int:
        return int(self.times.size)


def of(dataset: Dataset) -> History:
    """The history that a labelled file tells.

    Args:
        dataset: with times.

    Raises:
        DataRefused: there are no times, or all are the same.
    """
    if dataset.times is None:
        raise errors.DataRefused("a history needs a time in each row: name its column with --time-column")
    if dataset.times.min() == dataset.times.max():
        raise errors.DataRefused(
            "every row of the history has the same time: there is nothing to live through"
        )
    order = np.argsort(dataset.times, kind="stable")
    names = [""] * len(dataset) if dataset.categories is None else dataset.categories[order].tolist()
    return History(
        times=dataset.times[order],
        scores=dataset.scores[order],
        correct=dataset.correct[order] == 1.0,
        categories=np.array(names, dtype=object),
        groups=None if dataset.groups is None else dataset.groups[order],
    )
