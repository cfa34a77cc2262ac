"""Audit periods: ISO weeks, and the bottom-k sample that a budget leaves of what the rate drew in one."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

WEEK_SECONDS = 604800.0
_WEEK = re.compile(r"([0-9]{4})-W([0-9]{2})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def week_of(moment: float) -> str:
    """The ISO 8601 week, in UTC, of a moment in seconds since the epoch: `2026-W47`.

    Raises:
        ValueError, OverflowError: the moment is beyond the calendar.
    """
    year, week, _ = (_EPOCH + timedelta(seconds=moment)).isocalendar()
    return f"{year:04}-W{week:02}"


def week_start(week: str) -> float:
    """When a week written `2026-W47` begins, on Monday at 00:00 UTC; seconds since the epoch.

    Raises:
        ValueError: it is no week of the calendar.
    """
    found = _WEEK.fullmatch(week)
    try:
        if found is None:
            raise ValueError
        monday = date.fromisocalendar(int(found[1]), int(found[2]), 1)
    except ValueError:
        raise ValueError(f"{week!r} is no week: write the ISO year and week, such as 2026-W47") from None
    return float((monday - _EPOCH.date()).days) * 86400.0


def week_end(week: str) -> float:
    """When a week ends, which is when the next one begins."""
    return week_start(week) + WEEK_SECONDS


def inclusion(rate: float, tau: float) -> float:
    """With which probability a decision came into the sample of its period, in (0, 1].

    A decision is in the sample if its draw is below the rate, and below the budget-th smallest draw of the
    others. For one that is in the sample, this is the smaller of the rate and tau, whatever its own draw is.
    So, given the others' draws, the probability is exactly that, and inverse weights are unbiased (bottom-k
    sketches: Cohen & Kaplan 2007; priority sampling: Duffield, Lund & Thorup 2007).
    """
    return min(rate, tau)


@dataclass(frozen=True, slots=True, kw_only=True)
class BottomK:
    """The smallest draws of a stratum in a period, as far as they were seen.

    Draws of decisions are independent and uniform on [0, 1) whichever key made them, so a key may be replaced
    within a period. What several sidecars saw merges to what one would have seen.

    Attributes:
        rate: only draws below it count.
        budget: how many of them the sample may have.
        smallest: the budget + 1 smallest, ascending, each with its decision's id.
    """

    rate: float
    budget: int
    smallest: tuple[tuple[float, str], ...] = ()

    @classmethod
    def of(cls, draws: Iterable[tuple[float, str]], *, rate: float, budget: int) -> Self:
        """The smallest of these draws, each with its decision's id; a decision counts once."""
        counted = {(draw, decision) for draw, decision in draws if draw < rate}
        return cls(rate=rate, budget=budget, smallest=tuple(sorted(counted)[: budget + 1]))

    def merge(self, other: Self) -> Self:
        """The smallest draws of both.

        Raises:
            ValueError: they are not of the same rate and budget.
        """
        if (self.rate, self.budget) != (other.rate, other.budget):
            raise ValueError("samples of different rates or budgets do not merge")
        return self.of((*self.smallest, *other.smallest), rate=self.rate, budget=self.budget)

    @property
    def tau(self) -> float:
        """The smallest draw that the budget leaves out; the rate, where it leaves out none."""
        return self.smallest[self.budget][0] if len(self.smallest) > self.budget else self.rate

    @property
    def sampled(self) -> tuple[str, ...]:
        """The decisions of the sample, by their draws: those below tau."""
        return tuple(decision for draw, decision in self.smallest if draw < self.tau)
