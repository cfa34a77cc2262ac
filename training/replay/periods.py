"""What became of each band in each period: what the loop's labels said of it, beside what was true."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from sidecar.times import DAY_SECONDS, day_of
from training.measure import intervals
from training.measure.intervals import FloatArray
from training.replay.routing import History
from training.replay.simulation import ReplayStep

Period = Literal["day", "week", "month", "quarter"]
PERIODS: tuple[Period, ...] = get_args(Period)
MOST_ROWS = 14
_LENGTH_DAYS: dict[Period, int] = {"day": 1, "week": 7, "month": 30, "quarter": 91}


@dataclass(frozen=True, slots=True, kw_only=True)
class BandPeriod:
    """One band in one period.

    Attributes:
        period: its first day (UTC).
        band: its name; empty for decisions without a calibrated confidence.
        decisions: in it.
        acted: of these.
        held: of these, with a person before the action.
        drawn: of these, for audit.
        estimate: of the accuracy of what acted, from audit labels alone; None: there is no label.
        low: lower end of its 95 % interval: Wilson's where all were drawn alike, else Korn and Graubard's.
        high: upper end.
        n_effective: of those labels.
        truth: the accuracy of everything that acted, which only a replay can know; None: nothing acted.
        calibrators: how many calibrators had been promoted at its beginning and at its end.
    """

    period: str
    band: str
    decisions: int
    acted: int
    held: int
    drawn: int
    estimate: float | None
    low: float
    high: float
    n_effective: float
    truth: float | None
    calibrators: tuple[int, int]


def fitting(history: History) -> Period:
    """The shortest period of which the history has not too many for a table."""
    days = (float(history.times[-1]) - float(history.times[0])) / DAY_SECONDS
    return next((period for period in PERIODS if days / _LENGTH_DAYS[period] <= MOST_ROWS), "quarter")


def of(history: History, steps: Iterable[ReplayStep], period: Period) -> tuple[BandPeriod, ...]:
    """The table, oldest period first, and in each the bands by how confident they are.

    Args:
        history: what happened.
        steps: all of them, in order.
        period: how long a row's time is.
    """
    lived = list(steps)
    joined = {
        name: np.concatenate([getattr(step.routed, name) for step in lived])
        for name in ("rows", "bands", "acted", "held", "drawn", "audit_rate", "confidence")
    }
    epochs = np.concatenate([np.full(step.routed.rows.size, step.epoch) for step in lived])
    rows = joined["rows"]
    starts = _starts(history.times[rows], period)
    table = []
    for start in np.unique(starts):
        within = starts == start
        spread = int(epochs[within].min()), int(epochs[within].max())
        for band in _by_confidence(joined["bands"][within], joined["confidence"][within]):
            here = within & (joined["bands"] == band)
            table.append(
                _band_period(
                    str(start),
                    str(band),
                    correct=history.correct[rows[here]],
                    acted=joined["acted"][here],
                    held=joined["held"][here],
                    drawn=joined["drawn"][here],
                    rate=joined["audit_rate"][here],
                    groups=None if history.groups is None else history.groups[rows[here]],
                    calibrators=spread,
                )
            )
    return tuple(table)


def _band_period(
    period: str,
    band: str,
    *,
    correct: npt.NDArray[np.bool_],
    acted: npt.NDArray[np.bool_],
    held: npt.NDArray[np.bool_],
    drawn: npt.NDArray[np.bool_],
    rate: FloatArray,
    groups: npt.NDArray[np.int64] | None,
    calibrators: tuple[int, int],
) -> BandPeriod:
    labelled = acted & drawn
    estimate, low, high, n_effective = None, 0.0, 1.0, 0.0
    if labelled.any():
        weights = 1.0 / rate[labelled]
        mean = intervals.weighted_mean(
            correct[labelled].astype(np.float64), weights, None if groups is None else groups[labelled]
        )
        estimate, n_effective = mean.mean, mean.n_effective
        alike = weights.min() == weights.max() and groups is None
        low, high = (
            intervals.wilson(float(correct[labelled].sum()), mean.n)
            if alike
            else intervals.korn_graubard(mean)
        )
    return BandPeriod(
        period=period,
        band=band,
        decisions=int(correct.size),
        acted=int(acted.sum()),
        held=int(held.sum()),
        drawn=int(drawn.sum()),
        estimate=estimate,
        low=low,
        high=high,
        n_effective=n_effective,
        truth=float(correct[acted].mean()) if acted.any() else None,
        calibrators=calibrators,
    )


def _by_confidence(bands: npt.NDArray[np.object_], confidence: FloatArray) -> list[str]:
    means = {band: float(confidence[bands == band].mean()) if band else -1.0 for band in set(bands.tolist())}
    return sorted(means, key=lambda band: -means[band])


def _starts(times: FloatArray, period: Period) -> npt.NDArray[np.str_]:
    days, position = np.unique(np.floor(times / DAY_SECONDS), return_inverse=True)
    names = np.array([_start(float(day) * DAY_SECONDS, period) for day in days])
    return names[position]


def _start(moment: float, period: Period) -> str:
    day = day_of(moment)
    if period == "week":
        day -= timedelta(days=day.weekday())
    elif period == "month":
        day = day.replace(day=1)
    elif period == "quarter":
        day = day.replace(month=day.month - (day.month - 1) % 3, day=1)
    return day.isoformat()
