"""What a cut-off between two bands says about costs, whether or not anybody meant it.

With q the probability that the answer is correct, an error costing E, a person's look H (their own errors
counted in), a flag F with which the next day's look undoes a share k of the errors, an escalation X, a
rejection R, and a right answer thrown away V, the expected costs are: (1 - q) E for AUTO_ROUTE;
(1 - q)(1 - k) E + F for AUTO_ROUTE_FLAGGED; H for HOLD_FOR_REVIEW; X for ESCALATE; R + q V for REJECT. A
cut-off t is right where the costs of its two sides meet at q = t, which fixes one ratio. After Chow, On
optimum recognition error and reject tradeoff, 1970, and Elkan, The foundations of cost-sensitive learning,
2001.
"""

from fractions import Fraction

from sidecar.policy.actions import Action

NO_ERROR_TERM = {
    (Action.AUTO_ROUTE, Action.AUTO_ROUTE_FLAGGED): (
        "an error that the next day's look undoes costs {} times as much as a flag"
    ),
    (Action.AUTO_ROUTE, Action.HOLD_FOR_REVIEW): "an error costs {} times as much as a review",
    (Action.AUTO_ROUTE, Action.ESCALATE): "an error costs {} times as much as an escalation",
    (Action.AUTO_ROUTE_FLAGGED, Action.HOLD_FOR_REVIEW): (
        "an error that the next day's look does not undo costs {} times as much as a review costs more than "
        "a flag"
    ),
    (Action.AUTO_ROUTE_FLAGGED, Action.ESCALATE): (
        "an error that the next day's look does not undo costs {} times as much as an escalation costs more "
        "than a flag"
    ),
}
"""Sides that meet where errors, of probability 1 - t, cost as much as something certain: 1/(1-t)."""

NO_VALUE_TERM = {
    (Action.HOLD_FOR_REVIEW, Action.REJECT): (
        "a right answer thrown away costs {} times as much as a review costs more than a rejection"
    ),
    (Action.ESCALATE, Action.REJECT): (
        "a right answer thrown away costs {} times as much as an escalation costs more than a rejection"
    ),
}
"""Sides that meet where right answers, of probability t, are worth what is certain: 1/t."""

BOTH_TERMS = {
    (Action.AUTO_ROUTE, Action.REJECT): (
        "an error costs {} times as much as a right answer thrown away (a rejection itself costing nothing)"
    ),
    (Action.AUTO_ROUTE_FLAGGED, Action.REJECT): (
        "an error that the next day's look does not undo costs {} times as much as a right answer thrown "
        "away (a flag and a rejection costing the same)"
    ),
}
"""Sides that meet where errors cost what right answers are worth: t/(1-t)."""


def implied(upper: Action, lower: Action, cut_off: Fraction) -> str:
    """Under which costs a cut-off is right, in words, with the ratio to three digits.

    Args:
        upper: the action from the cut-off on.
        lower: the action below it.
        cut_off: between 0 and 1, neither included.
    """
    sides = upper, lower
    if upper is lower:
        return "both sides do the same, so that costs say nothing"
    if sides in NO_ERROR_TERM:
        return NO_ERROR_TERM[sides].format(_text(1 / (1 - cut_off)))
    if sides in NO_VALUE_TERM:
        return NO_VALUE_TERM[sides].format(_text(1 / cut_off))
    if sides in BOTH_TERMS:
        return BOTH_TERMS[sides].format(_text(cut_off / (1 - cut_off)))
    if {upper, lower} == {Action.HOLD_FOR_REVIEW, Action.ESCALATE}:
        return "both sides are a person's, so that their costs do not depend on the confidence"
    return "no costs make this order right"


def _text(ratio: Fraction) -> str:
    return f"{float(ratio):.3g}"
