"""Promises: what a policy says of the answers that act, band by band and category by category, and their check."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.policy import model as policy_model
from sidecar.policy.model import Band, Promise
from training.measure import intervals
from training.measure.intervals import FloatArray
from training.retraining.placement import BoolArray, Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """A promise about the answers that act in a band.

    Attributes:
        band: its name.
        category: the one that the promise is about, in its normal form; None: every one but `others`.
        others: categories that have bands of their own, which the promise of the model's bands does not cover.
        accuracy: the share that is to be correct.
        confidence: of the two-sided interval that decides.
    """

    band: str
    category: str | None = None
    others: frozenset[str] = frozenset()
    accuracy: float
    confidence: float

    @property
    def name(self) -> str:
        """Words for it: the band, and the category where it is about one."""
        return self.band if self.category is None else f"{self.band}, category {self.category}"

    def covers(self, placement: Placement, categories: npt.NDArray[np.str_] | None) -> BoolArray:
        """(n,) whether the promise is about each answer."""
        rows = placement.acts & (placement.bands == self.band)
        if self.category is not None:
            rows &= False if categories is None else categories == self.category
        elif self.others and categories is not None:
            rows &= ~np.isin(categories, sorted(self.others))
        return np.asarray(rows, dtype=np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What labels say of a promise.

    Attributes:
        n: labels that it is about.
        accuracy: their weighted accuracy.
        low: lower end of the Korn-Graubard interval at the promise's confidence.
        high: its upper end; below the promise, the promise is broken.
    """

    n: int
    accuracy: float
    low: float
    high: float


def of_model(entry: policy_model.Model) -> tuple[Promised, ...]:
    """The promises of a model's policy: of each band, and of each category that says something of its own."""
    sections = sorted(policy_model.sections(entry), key=lambda section: section[0])
    own_bands = frozenset(name for name, category in sections if category is not None and category.bands)
    return tuple(
        _promised(band, name or None, promise, frozenset() if name else own_bands)
        for name, category in sections
        if category is None or category.bands is not None or category.promise is not None
        for band in policy_model.bands_of(entry, category)
        if (promise := policy_model.promise_of(band, category)) is not None
    )


def check(
    promised: Promised,
    placement: Placement,
    correct: FloatArray,
    weights: FloatArray,
    groups: npt.NDArray[Any] | None,
    categories: npt.NDArray[np.str_] | None,
) -> Kept | None:
    """What the labels (n,) say of a promise; None where it is about none of them."""
    rows = promised.covers(placement, categories)
    if not rows.any():
        return None
    estimate = intervals.weighted_mean(correct[rows], weights[rows], None if groups is None else groups[rows])
    low, high = intervals.korn_graubard(estimate, promised.confidence)
    return Kept(n=estimate.n, accuracy=estimate.mean, low=low, high=high)


def _promised(band: Band, category: str | None, promise: Promise, others: frozenset[str]) -> Promised:
    return Promised(
        band=band.name,
        category=category,
        others=others,
        accuracy=float(promise.accuracy),
        confidence=float(promise.confidence),
    )


def as_numbers(name: str, who: str, kept: Kept | None) -> Mapping[str, float]:
    """The finding as metrics, under names that MLflow takes."""
    if kept is None:
        return {}
    key = "".join(sign if sign.isalnum() or sign in "_-." else "_" for sign in name)
    return {f"{who}_accuracy_{key}": kept.accuracy, f"{who}_accuracy_high_{key}": kept.high}


def worse(before: Kept | None, after: Kept) -> bool:
    """Whether the accuracy fell beyond both intervals."""
    return before is not None and after.high < before.low
