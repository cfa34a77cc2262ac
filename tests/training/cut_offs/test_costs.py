"""Expected costs, and where each action is the cheapest."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.actions import Action
from sidecar.policy.model import Costs
from training import errors
from training.cut_offs import costs

DEFAULT = (Action.AUTO_ROUTE, Action.AUTO_ROUTE_FLAGGED, Action.HOLD_FOR_REVIEW, Action.REJECT)
ALL = (*DEFAULT, Action.ESCALATE)


def edges(given: Costs, actions: tuple[Action, ...]) -> dict[Action, Fraction]:
    return {each.action: each.low for each in costs.envelope(costs.lines(given, actions))}


def test_auto_over_a_person_is_chows_rule() -> None:
    # q >= 1 - eps - c_h / C_e
    given = Costs(error=10.0, review=1.0, review_error_rate=0.02)
    found = edges(given, (Action.AUTO_ROUTE, Action.HOLD_FOR_REVIEW))
    assert found == {Action.AUTO_ROUTE: 1 - Fraction("0.02") - Fraction(1, 10), Action.HOLD_FOR_REVIEW: 0}


def test_all_four_bands_by_the_formulas() -> None:
    given = Costs(error=20.0, review=3.0, flag=0.5, flag_catch_rate=0.5, rejection=0.5, value=4.0)
    found = edges(given, DEFAULT)
    assert found == {
        Action.AUTO_ROUTE: 1 - Fraction("0.5") / (Fraction("0.5") * 20),  # 1 - c_f / (kappa C_e)
        Action.AUTO_ROUTE_FLAGGED: 1
        - (3 - Fraction("0.5")) / (Fraction("0.5") * 20),  # 1 - (c_h - c_f) / ((1 - kappa) C_e)
        Action.HOLD_FOR_REVIEW: (3 - Fraction("0.5")) / 4,  # (c_h - c_x) / V
        Action.REJECT: 0,
    }


def test_a_band_may_vanish() -> None:
    given = Costs(error=20.0, review=1.0, flag=0.9, flag_catch_rate=0.1)
    found = edges(given, DEFAULT[:3])
    assert found == {Action.AUTO_ROUTE: Fraction(19, 20), Action.HOLD_FOR_REVIEW: 0}


def test_the_cheaper_of_two_persons_has_it_all() -> None:
    given = Costs(error=20.0, review=2.0, escalation=1.0)
    assert Action.HOLD_FOR_REVIEW not in edges(
        given, (Action.AUTO_ROUTE, Action.HOLD_FOR_REVIEW, Action.ESCALATE)
    )


def test_below_an_upper_edge_the_envelope_is_what_is_left() -> None:
    given = costs.lines(Costs(error=10.0, review=1.0), (Action.AUTO_ROUTE, Action.HOLD_FOR_REVIEW))
    found = costs.envelope(given, Fraction(1, 2))
    assert found == (costs.Interval(action=Action.HOLD_FOR_REVIEW, low=Fraction(0), high=Fraction(1, 2)),)


@given(
    st.builds(
        Costs,
        error=st.floats(0.5, 100.0),
        review=st.floats(0.0, 50.0),
        review_error_rate=st.floats(0.0, 0.9),
        flag=st.floats(0.0, 10.0),
        flag_catch_rate=st.floats(0.01, 1.0),
        escalation=st.floats(0.0, 50.0),
        rejection=st.floats(0.01, 50.0),
        value=st.floats(0.0, 50.0),
    )
)
def test_the_envelope_is_the_cheapest_everywhere_without_gap(given: Costs) -> None:
    lines = costs.lines(given, ALL)
    found = costs.envelope(lines)
    assert (found[0].high, found[-1].low) == (1, 0)
    assert all(upper.low == lower.high for upper, lower in itertools.pairwise(found))
    assert len({each.action for each in found}) == len(found)
    by_action = {line.action: line for line in lines}
    for number in np.linspace(0.0, 1.0, 41):
        confidence = Fraction(float(number))
        action = next(each.action for each in found if each.low <= confidence)
        assert by_action[action].at(confidence) == min(line.at(confidence) for line in lines)


def test_costs_from_a_text() -> None:
    assert costs.parse("error=10, review=1,flag_catch_rate=0.5") == Costs(
        error=10.0, review=1.0, flag_catch_rate=0.5
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("error=10", "review: Field required"),
        ("error=10,reviews=1", "'reviews=1' is none of NAME=NUMBER"),
        ("error=ten,review=1", "'error=ten'"),
        ("error=10,review=1,error=5", "each name once"),
        ("error=0,review=1", "error: Input should be greater than 0"),
        ("error=10,review=nan", "review"),
        ("error=10,review=1,review_error_rate=1", "no review"),
        ("", "NAME=NUMBER"),
    ],
)
def test_costs_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(errors.RequestRefused, match=said):
        costs.parse(text)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (Action.ESCALATE, "escalation"),
        (Action.AUTO_ROUTE_FLAGGED, "flag_catch_rate"),
        (Action.REJECT, "value"),
    ],
)
def test_costs_that_leave_an_action_open(action: Action, said: str) -> None:
    with pytest.raises(errors.RequestRefused, match=said):
        costs.lines(Costs(error=10.0, review=1.0), (Action.AUTO_ROUTE, action))
