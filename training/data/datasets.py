"""Datasets together: two of the same evidence as one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from training import errors
from training.data.dataset import Dataset

COLUMNS = ("vectors", "answers", "truths", "groups", "times", "categories")


def joined(first: Dataset, second: Dataset) -> Dataset:
    """The rows of both, the first's before the second's.

    Raises:
        DataRefused: they are not of the same evidence, or one has a column that the other lacks.
    """
    if (first.evidence, first.aggregation) != (second.evidence, second.aggregation):
        raise errors.DataRefused("datasets of different evidence cannot be put together")
    together: Callable[[str], Any] = lambda name: np.concatenate(  # noqa: E731
        (getattr(first, name), getattr(second, name))
    )
    optional = {}
    for name in COLUMNS:
        there = [getattr(each, name) is not None for each in (first, second)]
        if any(there) and not all(there):
            raise errors.DataRefused(f"one of the datasets has {name}, and the other has none")
        optional[name] = together(name) if all(there) else None
    return Dataset(
        scores=together("scores"),
        correct=together("correct"),
        weights=together("weights"),
        evidence=first.evidence,
        aggregation=first.aggregation,
        **optional,
    )
