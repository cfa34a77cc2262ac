"""The verdict on a promise: whether the labels show it, break it, or cannot tell yet."""

import math
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from sidecar.policy.model import Promise
from training.measure import intervals
from training.measure.post_stratified import Estimate

LEAST_EFFECTIVE = 30
"""Effective labels below which nothing is claimed."""

MOST_LABELS = 10_000_000


class Finding(StrEnum):
    """What the labels say about a promise."""

    SHOWN = "SHOWN"
    BROKEN = "BROKEN"
    NOT_SHOWN = "NOT SHOWN"
    TOO_FEW = "TOO FEW"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromiseVerdict:
    """What was found about a promise.

    Attributes:
        finding: SHOWN: the interval's lower end reaches the promise. BROKEN: its upper end is below it. NOT
            SHOWN: neither. TOO FEW: fewer than 30 effective labels, of which nothing is claimed.
        promised: the accuracy.
        level: of the two-sided interval.
        interval: its ends.
        by: from which day on the promise is overdue; None: there is no such day.
        overdue: whether that day has come and the promise is not shown.
        more_labels: about how many more labels would decide, if the share of right answers stays as it is; 0
            where it is decided. None: no number would, since the estimate lies on the promise itself, or since
            of a part of the decisions no label tells.
    """

    finding: Finding
    promised: float
    level: float
    interval: tuple[float, float]
    by: date | None
    overdue: bool
    more_labels: int | None


def judge(estimate: Estimate, promise: Promise, *, today: date) -> PromiseVerdict:
    """The verdict on a promise; `today` in UTC."""
    promised, level = float(promise.accuracy), float(promise.confidence)
    low, high = estimate.decisive(level)
    if estimate.n_effective < LEAST_EFFECTIVE:
        finding = Finding.TOO_FEW
    elif low >= promised:
        finding = Finding.SHOWN
    elif high < promised:
        finding = Finding.BROKEN
    else:
        finding = Finding.NOT_SHOWN
    decided = finding in (Finding.SHOWN, Finding.BROKEN)
    return PromiseVerdict(
        finding=finding,
        promised=promised,
        level=level,
        interval=(low, high),
        by=promise.by,
        overdue=promise.by is not None and today >= promise.by and finding is not Finding.SHOWN,
        more_labels=0 if decided else _more(estimate, promised, level),
    )


def labels_needed(accuracy: float, promised: float, level: float) -> int | None:
    """The fewest plain labels, `accuracy` of them right, whose Clopper-Pearson interval decides; None: none do.

    The share of right ones is taken as it is, also where it is no whole number of labels. So it is what one
    would need to see, not what makes it likely to be seen: even if `accuracy` is the truth, about half of all
    samples of that size come out lower.
    """

    def decides(n: int) -> bool:
        low, high = intervals.clopper_pearson(accuracy * n, n, level)
        return low >= promised or high < promised

    high = 1
    while not decides(high):
        high *= 2
        if high > MOST_LABELS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def _more(estimate: Estimate, promised: float, level: float) -> int | None:
    """More labels like those that there are: a label is worth as much of a plain one as it has been so far."""
    if estimate.value is None or not estimate.size:
        return LEAST_EFFECTIVE
    needed = labels_needed(estimate.value, promised, level)
    missing_effective = LEAST_EFFECTIVE - estimate.n_effective
    if needed is None and missing_effective <= 0.0:
        return None
    for_claim = missing_effective * estimate.labels / estimate.n_effective
    for_decision = 0.0 if needed is None else (needed - estimate.size) * estimate.labels / estimate.size
    more = math.ceil(max(for_claim, for_decision))
    return more if more > 0 else None
