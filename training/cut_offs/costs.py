"""The cheapest action at each confidence: the lower envelope of the actions' expected costs.

With q the probability that the answer is correct: AUTO_ROUTE costs (1 - q) E; AUTO_ROUTE_FLAGGED
(1 - q)(1 - k) E + F; HOLD_FOR_REVIEW H + r E; ESCALATE X; REJECT R + q V. Each is a line in q, so that each
action is the cheapest on one interval or on none. After Chow, On optimum recognition error and reject
tradeoff, 1970.
"""

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fractions import Fraction

import pydantic

from sidecar.policy.actions import Action
from sidecar.policy.model import Costs
from training import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The expected cost of an action: `fixed + slope * q`."""

    action: Action
    fixed: Fraction
    slope: Fraction

    def at(self, confidence: Fraction) -> Fraction:
        """The cost at a confidence."""
        return self.fixed + self.slope * confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The confidences in which an action is the cheapest."""

    action: Action
    low: Fraction
    high: Fraction


def parse(text: str) -> Costs:
    """The costs in `error=10,review=1,...`; see `sidecar.policy.model.Costs` for the names.

    Raises:
        RequestRefused: it cannot be read, a name is unknown, or a number is missing or out of range.
    """
    names = ", ".join(Costs.model_fields)
    given: dict[str, float] = {}
    for part in text.split(","):
        name, separator, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            separator = ""
        if not separator or name not in Costs.model_fields or name in given:
            raise errors.RequestRefused(
                f"--costs: {part.strip()!r} is none of NAME=NUMBER, each name once; the names are {names}"
            )
        given[name] = value
    try:
        return Costs.model_validate(given)
    except pydantic.ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(key) for key in item['loc']) or 'costs'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise errors.RequestRefused(f"--costs: {problems}; the names are {names}") from error


def lines(costs: Costs, actions: Collection[Action]) -> tuple[Line, ...]:
    """The expected cost of each action, for the actions that a policy's bands have.

    Raises:
        RequestRefused: the costs leave open what one of the actions is worth.
    """
    if Action.ESCALATE in actions and costs.escalation is None:
        raise errors.RequestRefused("the policy escalates, so the costs need `escalation`")
    if Action.AUTO_ROUTE_FLAGGED in actions and costs.flag_catch_rate == 0.0:
        raise errors.RequestRefused(
            "the policy flags answers, so the costs need `flag` and `flag_catch_rate`, the share of errors that "
            "the next day's look undoes; while that is 0, flagging buys nothing"
        )
    if Action.REJECT in actions and costs.rejection == 0.0 and costs.value == 0.0:
        raise errors.RequestRefused(
            "the policy rejects answers, so the costs need `value`, what a right answer thrown away was worth, "
            "or `rejection`: while both are 0, rejecting everything costs nothing"
        )
    error, review, flag, value, rejection = (
        Fraction(number) for number in (costs.error, costs.review, costs.flag, costs.value, costs.rejection)
    )
    uncaught = (1 - Fraction(str(costs.flag_catch_rate))) * error
    human = review + Fraction(str(costs.review_error_rate)) * error
    every = {
        Action.AUTO_ROUTE: (error, -error),
        Action.AUTO_ROUTE_FLAGGED: (uncaught + flag, -uncaught),
        Action.HOLD_FOR_REVIEW: (human, Fraction(0)),
        Action.ESCALATE: (Fraction(costs.escalation or 0), Fraction(0)),
        Action.REJECT: (rejection, value),
    }
    return tuple(
        Line(action=action, fixed=fixed, slope=slope)
        for action, (fixed, slope) in every.items()
        if action in actions
    )


def envelope(given: Iterable[Line], upper: Fraction = Fraction(1)) -> tuple[Interval, ...]:
    """Where each action is the cheapest, from `upper` down to 0; an action that never is, is not in it.

    Of two that cost the same over an interval the first in `given` has it.
    """
    all_lines = tuple(given)
    crossings = {Fraction(0), upper}
    for place, one in enumerate(all_lines):
        for other in all_lines[place + 1 :]:
            if one.slope != other.slope:
                crossing = (other.fixed - one.fixed) / (one.slope - other.slope)
                if 0 < crossing < upper:
                    crossings.add(crossing)
    found: list[Interval] = []
    edges = sorted(crossings, reverse=True)
    for high, low in itertools.pairwise(edges):
        # Between neighbouring crossings no two lines change places, so the middle speaks for all of it.
        cheapest = min(all_lines, key=lambda line: line.at((low + high) / 2)).action
        if found and found[-1].action is cheapest:
            high = found.pop().high
        found.append(Interval(action=cheapest, low=low, high=high))
    return tuple(found)
