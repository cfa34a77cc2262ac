"""Each confidence falls into exactly one band, by the decimals that stand in the file."""

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.policy import loading
from sidecar.policy.actions import Action
from sidecar.policy.tables import compile_policy

HEAD = """
version: 1
models:
  m:
    calibrator: models:/c@champion
    evidence: score
"""


def table(rest=""):
    return compile_policy(loading.parse(HEAD + rest).policy)["m"]


@pytest.mark.parametrize(
    ("confidence", "band"),
    [
        (0.0, "reject"),
        (5e-324, "reject"),
        (math.nextafter(0.5, 0.0), "reject"),
        (0.5, "hold"),
        (math.nextafter(0.7, 0.0), "hold"),
        (0.7, "flagged"),
        (0.8999999999999999, "flagged"),
        (0.9, "auto"),
        (math.nextafter(0.9, 1.0), "auto"),
        (math.nextafter(1.0, 0.0), "auto"),
        (1.0, "auto"),
    ],
)
def test_the_default_bands_are_closed_below_and_open_above(confidence, band):
    for category in ("pricing", "whatever"):
        assert table().category(category).cell_at(confidence).name == band


def test_the_defaults_are_those_of_the_design():
    cells = table().unlisted.cells
    assert [(cell.lower, cell.action, cell.audit_rate, cell.batch_review) for cell in cells] == [
        (0.0, Action.REJECT, 0.05, False),
        (0.5, Action.HOLD_FOR_REVIEW, 0.05, False),
        (0.7, Action.AUTO_ROUTE_FLAGGED, 0.05, True),
        (0.9, Action.AUTO_ROUTE, 0.05, False),
    ]


@settings(max_examples=60)
@given(st.lists(st.integers(1, 999), min_size=1, max_size=8, unique=True).map(sorted), st.data())
def test_a_written_decimal_and_its_neighbours_fall_into_one_band(thousandths, data):
    bands = ["{name: b0, from: 0, action: REJECT}"]
    bands += [f"{{name: b{n}, from: {n / 1000:.3f}, action: AUTO_ROUTE}}" for n in thousandths]
    category = table(f"    bands: [{', '.join(bands)}]\n").unlisted
    chosen = data.draw(st.sampled_from(thousandths))
    edge = float(f"{chosen / 1000:.3f}")
    near = (math.nextafter(edge, 0.0), edge, math.nextafter(edge, 1.0))
    for confidence in (*near, data.draw(st.floats(0, 1))):
        # Exactly one cell holds it by the text of the file; and that is the one that is found.
        lowers = [Decimal(0), *(Decimal(n) / 1000 for n in thousandths)]
        uppers = [*lowers[1:], Decimal(2)]
        exact = Decimal(repr(confidence))
        (found,) = [index for index in range(len(lowers)) if lowers[index] <= exact < uppers[index]]
        assert category.cell_at(confidence).name == f"b{([0, *thousandths])[found]}"


def test_a_category_overrides_bands_and_audit_rate():
    compiled = table(
        "    categories:\n"
        "      Re-Funds: {audit_rate: 0.5, bands: [{name: only, from: 0, action: HOLD_FOR_REVIEW}]}\n"
        "      general: {audit_rate: 0}\n"
    )
    only = compiled.category("re_funds").cell_at(0.99)
    assert (only.name, only.action, only.audit_rate) == ("only", Action.HOLD_FOR_REVIEW, 0.5)
    assert compiled.category("general").cell_at(0.99).audit_rate == 0.0
    assert compiled.category("unheard").cell_at(0.99).audit_rate == 0.05


def test_a_range_binds_from_its_lower_end_up_to_but_not_at_its_upper_one():
    compiled = table(
        "    categories:\n      refunds: {mandatory_review: [{from: 0.5, to: 0.6}, {from: 0.95, to: 1}]}\n"
    )
    refunds = compiled.category("refunds")
    binds = {c: refunds.floor_at(c) is not None for c in (0.4999, 0.5, 0.5999, 0.6, 0.949, 0.95, 1.0)}
    assert binds == {
        0.4999: False, 0.5: True, 0.5999: True, 0.6: False, 0.949: False, 0.95: True, 1.0: True,
    }  # fmt: skip
    assert refunds.floor_at(None) is not None


def test_what_the_text_of_a_range_looks_like_does_not_reach_its_name():
    """`0` in the file is `0.0` in the canonical text; the recorded floor must be the same from both."""
    spelt = "    categories:\n      refunds: {mandatory_review: [{from: 0, to: 1}]}\n"
    loaded = loading.parse(HEAD + spelt)
    again = loading.parse(loaded.canonical)
    hits = [compile_policy(each.policy)["m"].category("refunds").floor_at(0.3) for each in (loaded, again)]
    assert hits[0] == hits[1]


@pytest.mark.parametrize("name", ["legal_language", "pricing", "account_strategy"])
@pytest.mark.parametrize("rest", ["", "    categories: {general: {}}\n", "    mode: observe\n"])
def test_the_built_in_categories_are_mandatory_in_every_policy(name, rest):
    floor = table(rest).category(name).floor
    assert set(floor.permitted) == {Action.HOLD_FOR_REVIEW, Action.ESCALATE, Action.UNCERTAIN}


def test_only_a_policy_that_lists_categories_holds_the_others():
    assert table().category("whatever").floor is None
    floor = (
        table("    categories: {general: {}}\n    unknown_category: ESCALATE\n").category("whatever").floor
    )
    assert floor.permitted == (Action.ESCALATE, Action.UNCERTAIN)
