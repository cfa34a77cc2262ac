"""Floors: hard constraints that only narrow what may happen."""

from collections.abc import Iterable, Mapping

import msgspec

from sidecar.policy import categories
from sidecar.policy.actions import PERSON_ACTIONS, Action, Reason


class FloorHit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A floor that bound, and the actions that it permits."""

    floor: str
    reason: Reason
    permitted: tuple[Action, ...]


def mandatory_category(category: str) -> FloorHit:
    """The floor of a category that never acts, and is never rejected, without a person."""
    return _floor(f"mandatory_category:{category}", Reason.MANDATORY_REVIEW, PERSON_ACTIONS)


def mandatory_range(category: str, lower: float, upper: float) -> FloorHit:
    """The floor of a range of calibrated confidences that never acts without a person."""
    return _floor(f"mandatory_range:{category}:{lower}-{upper}", Reason.MANDATORY_REVIEW, PERSON_ACTIONS)


def unknown_category(action: Action) -> FloorHit:
    """The floor of a category that is missing or not listed."""
    return _floor("unknown_category", Reason.UNKNOWN_CATEGORY, {action, Action.ESCALATE, Action.UNCERTAIN})


def missing_context(required: Iterable[str], context: Mapping[str, str]) -> tuple[FloorHit, ...]:
    """The floor of every field of the context that a policy requires and that is absent or blank.

    A detector cannot read what is not sent, so such an answer waits for a person.
    """
    return tuple(
        _floor(f"required_context:{field}", Reason.CONTEXT_MISSING, PERSON_ACTIONS)
        for field in required
        if not categories.visible(context.get(field, "")).strip()
    )


def narrow(proposed: Action, floors: Iterable[FloorHit]) -> Action:
    """The proposed action where every floor permits it, else the person's action that they permit.

    Floors are intersected, so their order cannot matter and none can widen. A proposal to reject becomes an
    escalation, any other one a hold; an empty intersection is UNCERTAIN, which acts on nothing.
    """
    permitted = PERSON_ACTIONS | {proposed}
    for floor in floors:
        permitted = permitted & frozenset(floor.permitted)
    if proposed in permitted:
        return proposed
    preferred = (
        (Action.ESCALATE, Action.HOLD_FOR_REVIEW)
        if proposed in (Action.REJECT, Action.ESCALATE)
        else (Action.HOLD_FOR_REVIEW, Action.ESCALATE)
    )
    return next((action for action in preferred if action in permitted), Action.UNCERTAIN)


def _floor(name: str, reason: Reason, permitted: Iterable[Action]) -> FloorHit:
    return FloorHit(floor=name, reason=reason, permitted=tuple(sorted(permitted)))
