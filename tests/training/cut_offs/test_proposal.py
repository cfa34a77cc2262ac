"""New edges for a policy's bands, by labels and by expected costs."""

import itertools
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.actions import Action
from sidecar.policy.model import DEFAULT_BANDS, Band, Costs
from training import errors
from training.cut_offs import proposal, request
from training.cut_offs.exact_tests import ExactSample
from training.cut_offs.proposal import Proposal

TARGETS = {"auto": Decimal("0.90"), "flagged": Decimal("0.75")}
COSTS = Costs(error=20.0, review=3.0, flag=0.5, flag_catch_rate=0.5, rejection=0.5, value=4.0)


def sample(counts: dict[float, tuple[int, int]]) -> ExactSample:
    """For each confidence, how many labels there are and how many of them are wrong."""
    confidence = np.repeat(list(counts), [n for n, _ in counts.values()])
    correct = np.concatenate([np.arange(n) >= wrong for n, wrong in counts.values()])
    return ExactSample.of(confidence, correct)


GOOD = sample({0.95: (400, 12), 0.85: (300, 20), 0.75: (300, 60), 0.6: (200, 90), 0.3: (200, 150)})


def propose(
    given: ExactSample = GOOD, targets: dict[str, Decimal] | None = None, **options: object
) -> Proposal:
    options = {"bands": DEFAULT_BANDS, "delta": 0.1} | options
    bands = options.pop("bands")
    return proposal.propose(bands, targets or TARGETS, given, given.confidence, **options)  # type: ignore[arg-type]


def test_the_loosest_cut_offs_that_pass() -> None:
    found = propose()
    assert found.cut_offs.edges == (
        ("auto", Decimal("0.85")),
        ("flagged", Decimal("0.75")),
        ("hold", Decimal("0.50")),
        ("reject", Decimal("0.00")),
    )
    auto, flagged = found.certificates
    assert auto.counts == (700, 32)
    assert flagged.counts == (300, 60)  # of the band alone: what is above 0.85 is not in it
    assert auto.delta == flagged.delta == 0.05


def test_one_target_has_all_of_delta_and_the_other_band_stays() -> None:
    found = propose(targets={"auto": Decimal("0.90")})
    assert [each.delta for each in found.certificates] == [0.1]
    assert found.cut_offs.edges[:2] == (("auto", Decimal("0.85")), ("flagged", Decimal("0.70")))


def test_a_band_that_is_swallowed_vanishes() -> None:
    found = propose(targets={"auto": Decimal("0.60")})
    assert found.cut_offs.edges == (
        ("auto", Decimal("0.60")),
        ("hold", Decimal("0.50")),
        ("reject", Decimal("0.00")),
    )


def test_nothing_is_taken_of_a_band_that_rejects() -> None:
    sure = sample({0.95: (400, 1), 0.55: (400, 1), 0.3: (400, 1)})
    edges = propose(sure, {"auto": Decimal("0.90")}).cut_offs.edges
    assert edges == (("auto", Decimal("0.55")), ("hold", Decimal("0.50")), ("reject", Decimal("0.00")))


def test_what_cannot_be_certified_falls_to_the_next_band() -> None:
    found = propose(targets={"auto": Decimal("0.999"), "flagged": Decimal("0.90")})
    assert found.certificates[0].edge is None
    # Without a band above it the flagged one is tested, and goes, up to 1.
    assert found.cut_offs.edges[0] == ("flagged", Decimal("0.85"))
    assert found.certificates[1].counts == (700, 32)
    found = propose(targets={"auto": Decimal("0.90"), "flagged": Decimal("0.95")})
    assert [name for name, _ in found.cut_offs.edges] == ["auto", "hold", "reject"]


def test_no_band_at_all_is_an_answer() -> None:
    found = propose(sample({0.95: (40, 2), 0.6: (40, 10)}), {"auto": Decimal("0.90")})
    assert not found.certified
    missing = found.certificates[0].shortfall()
    assert missing is not None
    assert missing.cut_off == Decimal("0.95")
    assert missing.further is not None
    assert propose().certificates[0].shortfall() is None


def test_costs_alone_are_chows_breakpoints() -> None:
    assert proposal.cheapest(DEFAULT_BANDS, COSTS).edges == (
        ("auto", Decimal("0.95")),
        ("flagged", Decimal("0.75")),
        ("hold", Decimal("0.625")),
        ("reject", Decimal("0.00")),
    )


def test_the_cheapest_cut_offs_are_clipped_to_the_certified_ones() -> None:
    found = propose(costs=COSTS)
    # Labels would allow 0.85, costs want 0.95.
    assert found.cut_offs.edges == proposal.cheapest(DEFAULT_BANDS, COSTS).edges
    cheap = Costs(error=2.0, review=3.0, flag=0.5, flag_catch_rate=0.5, rejection=0.5, value=4.0)
    found = propose(costs=cheap)
    assert dict(proposal.cheapest(DEFAULT_BANDS, cheap).edges)["auto"] < Decimal("0.85")
    assert found.cut_offs.edges[0] == ("auto", Decimal("0.85"))


def test_below_a_clipped_band_the_cheapest_of_what_is_left_decides() -> None:
    # With everything allowed, auto is the cheapest down to 0.53 and flagging never is.
    cheap = Costs(error=4.0, review=1.9, flag=1.2, flag_catch_rate=0.6, rejection=0.5, value=2.0)
    assert [name for name, _ in proposal.cheapest(DEFAULT_BANDS, cheap).edges] == ["auto", "reject"]
    found = propose(costs=cheap)
    # Labels keep auto above 0.85; below, flagging, 1.6 (1 - q) + 1.2, beats rejecting, 0.5 + 2 q, from 2.3 / 3.6 on.
    assert found.cut_offs.edges == (
        ("auto", Decimal("0.85")),
        ("flagged", Decimal("0.6389")),
        ("reject", Decimal("0.00")),
    )
    assert found.certificates[1].wanted


def test_a_band_that_costs_do_not_want_spends_no_test() -> None:
    dear = Costs(error=20.0, review=0.1, flag=5.0, flag_catch_rate=0.5, rejection=0.5, value=4.0)
    found = propose(costs=dear)
    flagged = found.certificates[1]
    assert not flagged.wanted
    assert flagged.tests is None
    assert flagged.edge is None
    assert "flagged" not in dict(found.cut_offs.edges)


def test_no_cut_off_is_tried_below_the_lowest() -> None:
    found = propose(targets={"auto": Decimal("0.60")}, lowest=Decimal("0.80"))
    assert found.cut_offs.edges[0] == ("auto", Decimal("0.85"))
    assert min(found.certificates[0].cut_offs) >= Decimal("0.80")


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"automatic": Decimal("0.9")}, "not a band of the policy; the bands that act are: auto, flagged"),
        ({"hold": Decimal("0.9")}, "hold: does not act"),
    ],
)
def test_targets_of_no_band_that_acts(targets: dict[str, Decimal], said: str) -> None:
    with pytest.raises(errors.RequestRefused, match=said):
        propose(targets=targets)


def test_no_target() -> None:
    with pytest.raises(errors.RequestRefused, match="--target is needed"):
        proposal.propose(DEFAULT_BANDS, {}, GOOD, GOOD.confidence, delta=0.1)


def test_two_bands_that_do_the_same_have_no_cheapest_cut_off() -> None:
    bands = (DEFAULT_BANDS[0].model_copy(update={"name": "top", "from_": Decimal("0.97")}), *DEFAULT_BANDS)
    found = propose(bands=bands, targets={"top": Decimal("0.90"), "auto": Decimal("0.80")})
    assert [each.band for each in found.certificates] == ["top", "auto"]
    with pytest.raises(errors.RequestRefused, match="two bands"):
        propose(bands=bands, costs=COSTS)


def test_some_band_must_be_left_for_the_lowest() -> None:
    bands = tuple(
        Band.model_validate({"name": name, "from": edge, "action": action})
        for name, edge, action in (
            ("auto", 0.9, Action.AUTO_ROUTE),
            ("flagged", 0, Action.AUTO_ROUTE_FLAGGED),
        )
    )
    with pytest.raises(errors.RequestRefused, match="no band would be left"):
        propose(bands=bands, targets={"auto": Decimal("0.90"), "flagged": Decimal("0.99")})


DEFAULT = (Action.AUTO_ROUTE, Action.AUTO_ROUTE_FLAGGED, Action.HOLD_FOR_REVIEW, Action.REJECT)
ALL = (*DEFAULT, Action.ESCALATE)


def edges(given: Costs, actions: tuple[Action, ...]) -> dict[Action, Fraction]:
    return {each.action: each.low for each in proposal.envelope(proposal.lines(given, actions))}


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
    given = proposal.lines(Costs(error=10.0, review=1.0), (Action.AUTO_ROUTE, Action.HOLD_FOR_REVIEW))
    found = proposal.envelope(given, Fraction(1, 2))
    assert found == (proposal.Interval(action=Action.HOLD_FOR_REVIEW, low=Fraction(0), high=Fraction(1, 2)),)


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
    lines = proposal.lines(given, ALL)
    found = proposal.envelope(lines)
    assert (found[0].high, found[-1].low) == (1, 0)
    assert all(upper.low == lower.high for upper, lower in itertools.pairwise(found))
    assert len({each.action for each in found}) == len(found)
    by_action = {line.action: line for line in lines}
    for number in np.linspace(0.0, 1.0, 41):
        confidence = Fraction(float(number))
        action = next(each.action for each in found if each.low <= confidence)
        assert by_action[action].at(confidence) == min(line.at(confidence) for line in lines)


def test_costs_from_a_text() -> None:
    assert request.costs("error=10, review=1,flag_catch_rate=0.5") == Costs(
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
        request.costs(text)


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
        proposal.lines(Costs(error=10.0, review=1.0), (Action.AUTO_ROUTE, action))
