"""The ratio that a cut-off implies is the one at which both sides cost the same."""

import itertools
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decision import cost_ratios
from sidecar.policy.actions import Action
from sidecar.policy.model import DEFAULT_BANDS, STRICTNESS

ACTIONS = (*(action for action in Action if action is not Action.UNCERTAIN),)


def test_the_default_cut_offs():
    found = [
        cost_ratios.implied(upper.action, lower.action, Fraction(upper.from_))
        for upper, lower in itertools.pairwise(DEFAULT_BANDS)
    ]
    assert found == [
        "an error that the next day's look undoes costs 10 times as much as a flag",
        (
            "an error that the next day's look does not undo costs 3.33 times as much as a review costs more "
            "than a flag"
        ),
        "a right answer thrown away costs 2 times as much as a review costs more than a rejection",
    ]


def costs(ratio, *, upper, lower):
    """Costs in which the named ratio holds, whatever else is freely chosen."""
    chosen = {"flag": 0.2, "caught": 0.4, "review": 1.0, "escalation": 3.0, "rejection": 0.1, "value": 2.0}
    spent = {Action.HOLD_FOR_REVIEW: chosen["review"], Action.ESCALATE: chosen["escalation"]}
    if (upper, lower) == (Action.AUTO_ROUTE, Action.AUTO_ROUTE_FLAGGED):
        chosen["error"] = ratio * chosen["flag"] / chosen["caught"]
    elif lower in spent and upper is Action.AUTO_ROUTE:
        chosen["error"] = ratio * spent[lower]
    elif lower in spent:
        chosen["error"] = ratio * (spent[lower] - chosen["flag"]) / (1 - chosen["caught"])
    elif upper in spent:
        chosen["value"] = ratio * (spent[upper] - chosen["rejection"])
        chosen["error"] = 1.0
    elif upper is Action.AUTO_ROUTE:
        chosen["rejection"] = 0.0
        chosen["error"] = ratio * chosen["value"]
    else:
        chosen["rejection"] = chosen["flag"]
        chosen["error"] = ratio * chosen["value"] / (1 - chosen["caught"])
    return chosen


def expected(action, q, given_costs):
    return {
        Action.AUTO_ROUTE: (1 - q) * given_costs["error"],
        Action.AUTO_ROUTE_FLAGGED: (1 - q) * (1 - given_costs["caught"]) * given_costs["error"]
        + given_costs["flag"],
        Action.HOLD_FOR_REVIEW: given_costs["review"],
        Action.ESCALATE: given_costs["escalation"],
        Action.REJECT: given_costs["rejection"] + q * given_costs["value"],
    }[action]


@pytest.mark.parametrize(
    ("upper", "lower"), [*cost_ratios.NO_ERROR_TERM, *cost_ratios.NO_VALUE_TERM, *cost_ratios.BOTH_TERMS]
)
@given(cut_off=st.integers(5, 95))
def test_both_sides_cost_the_same_at_the_cut_off(upper, lower, cut_off):
    """Against the costs themselves, not against the formula."""
    edge = Fraction(cut_off, 100)
    told = cost_ratios.implied(upper, lower, edge)
    ratio = float(re.search(r"costs ([0-9.e+]+) times", told)[1])
    given_costs = costs(ratio, upper=upper, lower=lower)
    sides = [expected(action, float(edge), given_costs) for action in (upper, lower)]
    assert sides[0] == pytest.approx(sides[1], rel=0.02)  # the ratio is told to three digits
    better = [expected(action, float(edge) + 0.04, given_costs) for action in (upper, lower)]
    assert better[0] < better[1]


def test_every_order_that_a_policy_may_have_is_answered():
    for upper, lower in itertools.product(ACTIONS, ACTIONS):
        if STRICTNESS[upper] <= STRICTNESS[lower]:
            told = cost_ratios.implied(upper, lower, Fraction(1, 2))
            assert told
            assert "{}" not in told
    assert "do the same" in cost_ratios.implied(Action.REJECT, Action.REJECT, Fraction(1, 2))
    assert "a person's" in cost_ratios.implied(Action.HOLD_FOR_REVIEW, Action.ESCALATE, Fraction(1, 2))
    assert "no costs" in cost_ratios.implied(Action.REJECT, Action.ESCALATE, Fraction(1, 2))
