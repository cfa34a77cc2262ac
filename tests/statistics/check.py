"""A claim, what was measured, and whether it holds."""

from dataclasses import dataclass
from enum import Enum


class Effort(Enum):
    """How much a study simulates: QUICK within seconds, for the tests; FULL for `make verify-statistics`."""

    QUICK = "quick"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One claim.

    Attributes:
        claim: what should hold, with its bound.
        measured: what came out, for people.
        holds: whether it does.
    """

    claim: str
    measured: str
    holds: bool
