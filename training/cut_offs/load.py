"""The work that cut-offs make: how many of 1,000 decisions each band gets, and how many a person looks at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.policy.actions import Action
from sidecar.policy.model import DEFAULT_AUDIT_RATE, Band
from training.cut_offs.proposal import CutOffs
from training.measure.intervals import FloatArray

WAITING = (Action.HOLD_FOR_REVIEW, Action.ESCALATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Of 1,000 decisions that the bands decide.

    Attributes:
        bands: how many each band gets.
        looks: how many a person looks at: those that wait, those that are looked at the next day, and the
            audits that are drawn of the others.
        hours: that takes; None where nobody said how long a look is.
    """

    bands: Mapping[str, float]
    looks: float
    hours: float | None


def load(
    cut_offs: CutOffs,
    bands: Sequence[Band],
    confidence: FloatArray,
    weights: FloatArray,
    *,
    minutes_per_review: float | None = None,
) -> Load:
    """The load of cut-offs.

    Args:
        cut_offs: from the highest edge down.
        bands: the policy's, for their actions and audit rates.
        confidence: (m,) of all decisions, not only of labelled ones.
        weights: (m,) how many decisions each stands for.
        minutes_per_review: None: unknown.
    """
    known = {band.name: band for band in bands}
    rising = cut_offs.edges[::-1]
    place = np.searchsorted([float(edge) for _, edge in rising], confidence, side="right") - 1
    counts = np.bincount(place, weights=weights, minlength=len(rising)) * (1000.0 / weights.sum())
    shares = {name: float(counts[position]) for position, (name, _) in enumerate(rising)}
    looks = sum(share * _looks(known[name]) for name, share in shares.items())
    return Load(
        bands=dict(reversed(shares.items())),
        looks=looks,
        hours=None if minutes_per_review is None else looks * minutes_per_review / 60.0,
    )


def _looks(band: Band) -> float:
    if band.action in WAITING or band.review is not None:
        return 1.0
    return DEFAULT_AUDIT_RATE if band.audit_rate is None else band.audit_rate
