"""Bands: intervals of calibrated confidence that fit together, each with an action."""

import itertools
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action
from sidecar.policy.fields import Edge, Rate, Strict, as_tuple
from sidecar.policy.promise import OnBreach, Promise

DEFAULT_AUDIT_RATE = 0.05
BatchReview = Literal["next_day"]
Budget = Annotated[int, Field(ge=1, le=1_000_000)]


class Band(Strict):
    """An interval of calibrated confidence, closed below and open above, with an action.

    Attributes:
        name: of the band.
        from_: its lower edge.
        action: what happens to answers in it.
        audit_rate: the share of its decisions that is drawn for audit.
        audit_budget: the most audit labels a week and stratum; None: all that are drawn.
        review: `next_day` for flagged answers.
        promise: of what acts; None: an accuracy of at least the lower edge.
        on_breach: what an alarm does; on a band that acts.
    """

    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")
    from_: Edge = Field(alias="from")
    action: Action = Field(strict=False)
    audit_rate: Rate | None = None
    audit_budget: Budget | None = None
    review: BatchReview | None = None
    promise: Promise | None = None
    on_breach: OnBreach = "alarm"

    @model_validator(mode="after")
    def _fits_the_action(self) -> Self:
        if self.action is Action.UNCERTAIN:
            raise ValueError(
                "UNCERTAIN is what remains when nothing else is possible; a band cannot ask for it"
            )
        if self.review is not None and self.action is not Action.AUTO_ROUTE_FLAGGED:
            raise ValueError("review: next_day goes with action AUTO_ROUTE_FLAGGED only")
        if self.action not in AUTOMATIC_ACTIONS and (self.promise is not None or self.on_breach != "alarm"):
            raise ValueError(
                "a promise is about decisions that act: promise and on_breach go with AUTO_ROUTE and "
                "AUTO_ROUTE_FLAGGED only"
            )
        return self


DEFAULT_BANDS = tuple(
    Band.model_validate(band)
    for band in (
        {"name": "auto", "from": 0.90, "action": "AUTO_ROUTE"},
        {"name": "flagged", "from": 0.70, "action": "AUTO_ROUTE_FLAGGED", "review": "next_day"},
        {"name": "hold", "from": 0.50, "action": "HOLD_FOR_REVIEW"},
        {"name": "reject", "from": 0.00, "action": "REJECT"},
    )
)

SMALLEST_EPSILON = Decimal("1e-12")
"""What a calibrator answers lies between the smallest epsilon that it may have and one minus that."""

STRICTNESS = {
    Action.AUTO_ROUTE: 0,
    Action.AUTO_ROUTE_FLAGGED: 1,
    Action.HOLD_FOR_REVIEW: 2,
    Action.ESCALATE: 3,
    Action.REJECT: 3,
}


def _ordered(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """The bands from the highest edge down.

    Raises:
        ValueError: a gap at 0, two bands at one edge, a name twice, or a stricter band above a milder one.
    """
    if not bands:
        raise ValueError("at least one band is needed")
    ordered = tuple(sorted(bands, key=lambda band: band.from_, reverse=True))
    edges = [band.from_ for band in ordered]
    names = [band.name for band in ordered]
    if len(set(names)) != len(names):
        raise ValueError("two bands have the same name")
    for upper, lower in itertools.pairwise(ordered):
        if upper.from_ == lower.from_:
            raise ValueError(
                f"bands {upper.name} and {lower.name} both start at {upper.from_}: one would be dead"
            )
        if STRICTNESS[upper.action] > STRICTNESS[lower.action]:
            raise ValueError(
                f"band {upper.name} ({upper.action}) is stricter than {lower.name} ({lower.action}) below "
                "it: a higher confidence must not be treated worse"
            )
    if edges[-1] != 0:
        raise ValueError(f"confidences from 0 to {edges[-1]} have no band: the lowest must start at 0.00")
    if edges[0] > 1 - SMALLEST_EPSILON:
        raise ValueError(
            f"band {ordered[0].name} starts at {edges[0]}: a calibrated confidence never gets there"
        )
    if len(edges) > 1 and edges[-2] <= SMALLEST_EPSILON:
        raise ValueError(
            f"band {ordered[-1].name} ends at {edges[-2]}: a calibrated confidence is never below that"
        )
    return ordered


Bands = Annotated[
    tuple[Band, ...],
    BeforeValidator(as_tuple),
    AfterValidator(_ordered),
]
"""Always from the highest edge down, in whatever order the file has them."""
