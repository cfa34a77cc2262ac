"""The proof over a policy, and that it fails where a table has lost what the policy promised."""

import dataclasses
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.decision import checks
from sidecar.policy import floors, loading
from sidecar.policy.actions import ALL_ACTIONS, Action, Reason
from sidecar.policy.floors import FloorHit
from sidecar.policy.tables import compile_policy

POLICY = """
version: 1
models:
  m:
    calibrator: models:/c@champion
    evidence: score
    categories:
      general: {}
      contracts: {mandatory_review: true}
      refunds: {mandatory_review: [{from: 0.8, to: 0.95}]}
"""


def table():
    return compile_policy(loading.parse(POLICY).policy)["m"]


def changed(name, **fields):
    """The table with another entry for one category."""
    good = table()
    if name == checks.UNLISTED:
        return dataclasses.replace(good, unlisted=dataclasses.replace(good.unlisted, **fields))
    entry = dataclasses.replace(good.listed[name], **fields)
    return dataclasses.replace(good, listed=MappingProxyType({**good.listed, name: entry}))


def without(name):
    good = table()
    rest = {key: entry for key, entry in good.listed.items() if key != name}
    return dataclasses.replace(good, listed=MappingProxyType(rest))


def test_a_good_policy_breaks_nothing():
    assert checks.violations(table()) == []


def test_every_cell_is_enumerated_once():
    cells = list(checks.enumerate_cells(table()))
    names = {"general", "contracts", "refunds", *("pricing", "legal_language", "account_strategy")}
    assert {cell.category for cell in cells} == names | {checks.UNLISTED}
    assert {cell.state for cell in cells} == {"in force", *(problem.value for problem in checks.PROBLEMS)}
    keys = [(cell.category, cell.lower, cell.state) for cell in cells]
    assert len(set(keys)) == len(keys)
    intervals = [(c.lower, c.upper) for c in cells if c.category == "refunds" and c.state == "in force"]
    assert intervals == [(0.0, 0.5), (0.5, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 1.0)]
    acting = {(c.category, c.lower) for c in cells if c.may_act}
    assert acting == {
        ("general", 0.7), ("general", 0.9), ("refunds", 0.7), ("refunds", 0.95),
    }  # fmt: skip


CELLS = table().unlisted.cells
WIDE = FloorHit(floor="x", reason=Reason.MANDATORY_REVIEW, permitted=tuple(sorted(ALL_ACTIONS)))
REJECTING = FloorHit(floor="x", reason=Reason.MANDATORY_REVIEW, permitted=(Action.ESCALATE, Action.REJECT))
TAMPERED = {
    "the floor of a built-in category is gone": (lambda: changed("pricing", floor=None), "pricing: always"),
    "a built-in category is gone": (lambda: without("legal_language"), "legal_language: always"),
    "a built-in category has a floor that is no mandatory one": (
        lambda: changed("account_strategy", floor=floors.unknown_category(Action.HOLD_FOR_REVIEW)),
        "account_strategy: always",
    ),
    "a floor permits everything": (
        lambda: changed("contracts", floor=WIDE),
        "without a person in a mandatory",
    ),
    "a floor permits a rejection": (
        lambda: changed("contracts", floor=REJECTING),
        "REJECT without a person in a mandatory",
    ),
    "a range permits everything": (
        lambda: changed("refunds", floored_ranges=((0.8, 0.95, WIDE),)),
        "[0.9, 0.95), in force: AUTO_ROUTE without a person",
    ),
    "the floor of what is not listed is gone": (
        lambda: changed(checks.UNLISTED, floor=None),
        "for a category that the policy does not list",
    ),
    "what is not listed may be rejected": (
        lambda: changed(
            checks.UNLISTED, floor=FloorHit(floor="x", reason=Reason.UNKNOWN_CATEGORY, permitted=("REJECT",))
        ),
        "REJECT without a person for a category that the policy does not list",
    ),
    "a stale calibrator acts": (
        lambda: dataclasses.replace(table(), stale_action=Action.AUTO_ROUTE),
        "CALIBRATOR_STALE: AUTO_ROUTE without a calibrated confidence",
    ),
    "a stale calibrator rejects": (
        lambda: dataclasses.replace(table(), stale_action=Action.REJECT),
        "CALIBRATOR_STALE: REJECT without a calibrated confidence",
    ),
    "the lowest band does not start at 0": (
        lambda: changed("general", edges=(0.1, 0.5, 0.7, 0.9)),
        "general: confidences from 0 have no band",
    ),
    "two bands start at one edge": (lambda: changed("general", edges=(0.0, 0.5, 0.5, 0.9)), "is dead"),
    "a band starts beyond 1": (lambda: changed("general", edges=(0.0, 0.5, 0.7, 1.5)), "is dead"),
    "the edges are out of order": (lambda: changed("general", edges=(0.0, 0.7, 0.5, 0.9)), "is dead"),
    "the bands are out of order": (lambda: changed("general", cells=CELLS[::-1]), "does not hold on all of"),
    "a band is gone": (lambda: changed("general", cells=CELLS[1:]), "4 edges do not fit 3 bands"),
    "no band is left": (lambda: changed("general", edges=(), cells=()), "confidences from 0 have no band"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_broken_table_is_found_out(what):
    make, words = TAMPERED[what]
    found = checks.violations(make())
    assert any(words in violation for violation in found), found
    assert all(violation.startswith("m, category ") for violation in found)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_whatever_the_loader_lets_through_is_proven(data, scenarios):
    """The schema and the proof are two nets: nothing that passes the first is caught by the second."""
    for compiled in compile_policy(loading.parse(data.draw(scenarios).policy).policy).values():
        assert checks.violations(compiled) == []


WIDER = [
    # What the policy says of contracts and of refunds now; what is told; how many intervals.
    ("contracts: {}", "category contracts, confidence 0 to 0.5: review is mandatory and would not be", 4),
    ("other: {}", "category contracts, ", 4),  # not listed any more: held, but not mandatory
    ("refunds: {mandatory_review: [{from: 0.8, to: 0.94}]}", "category refunds, confidence 0.94 to 0.95", 1),
    ("refunds: {mandatory_review: [{from: 0.0, to: 0.1}]}", "category refunds, confidence 0.8 to 0.9:", 2),
]


@pytest.mark.parametrize(("becomes", "says", "count"), WIDER)
def test_a_change_that_would_end_mandatory_review_is_named(becomes, says, count):
    name = "refunds" if becomes.startswith("refunds") else "contracts"
    line = next(line for line in POLICY.splitlines() if line.strip().startswith(name))
    changed_policy = POLICY.replace(line.strip(), becomes)
    old, new = (compile_policy(loading.parse(each).policy) for each in (POLICY, changed_policy))
    found = checks.widened(old, new)
    assert len(found) == count
    assert f"model m, {says}" in "\n".join(found)
    assert checks.widened(new, new) == []


def test_more_mandatory_review_is_no_widening():
    old = compile_policy(loading.parse(POLICY).policy)
    for wider in (
        POLICY.replace("general: {}", "general: {mandatory_review: true}"),
        POLICY.replace("from: 0.8", "from: 0.1"),
        POLICY.replace("[{from: 0.8, to: 0.95}]", "true"),
        POLICY.replace("evidence: score", "evidence: score\n    bands: [{name: a, from: 0, action: REJECT}]"),
    ):
        assert checks.widened(old, compile_policy(loading.parse(wider).policy)) == []


def test_a_model_that_is_gone_or_new_is_no_widening():
    old = compile_policy(loading.parse(POLICY).policy)
    new = compile_policy(loading.parse(POLICY.replace("  m:", "  n:")).policy)
    assert checks.widened(old, new) == []


def test_the_end_of_a_range_at_1_is_not_forgotten():
    closed = POLICY.replace("from: 0.8, to: 0.95", "from: 0.9, to: 1.0")
    open_ = POLICY.replace("from: 0.8, to: 0.95", "from: 0.9, to: 0.999999999")
    old, new = (compile_policy(loading.parse(each).policy) for each in (closed, open_))
    assert len(checks.widened(old, new)) == 1
    assert checks.widened(new, old) == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_whatever_is_not_named_as_wider_is_as_mandatory_as_before(data, scenarios):
    """Law: at any confidence, not just at the edges at which the proof looks."""
    old, new = (compile_policy(loading.parse(data.draw(scenarios).policy).policy) for _ in range(2))
    confidence = data.draw(st.floats(0, 1))
    names = [*old["lead-classifier"].listed, *new["lead-classifier"].listed, ""]
    category = data.draw(st.sampled_from(names))
    before, after = (
        checks.mandatory_at(each["lead-classifier"], category, confidence) for each in (old, new)
    )
    named = [line for line in checks.widened(old, new) if f"category {category or checks.UNLISTED}," in line]
    if before and not after:
        assert named
    if not named:
        assert after or not before
