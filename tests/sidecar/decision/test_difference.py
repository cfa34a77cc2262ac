"""What one policy does otherwise than another: no more and no less."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.decision import difference, proofs
from sidecar.decision.decide import Assessment, settle
from sidecar.decision.difference import CellChange, MandatoryChange, Setting, Side
from sidecar.policy import floors_file, loading
from sidecar.policy.actions import Action, Intent

POLICY = """
version: 1
models:
  m:
    calibrator: models:/c@champion
    evidence: score
    categories:
      general: {}
      contracts: {mandatory_review: true}
      refunds: {audit_rate: 0.10}
detectors: [{name: lawyer, category: legal, pattern: attorney}]
"""
FLOORS = "version: 1\nmandatory_categories: [general]\ndetectors: [{name: f, category: legal, pattern: sue}]"
ordinary = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def side(text=POLICY, floors=None):
    return Side(policy=loading.parse(text), floors=None if floors is None else floors_file.parse(floors))


def changed(was, becomes):
    assert was in POLICY
    return side(), side(POLICY.replace(was, becomes))


def test_equal_policies_differ_in_nothing():
    old, new = changed("general: {}", "'General ': {}")
    for given_pair in ((old, old), (side(floors=FLOORS), side(floors=FLOORS))):
        assert difference.settings(*given_pair) == []
        assert difference.cells(*given_pair) == []
        assert difference.mandatory(*given_pair) == []
        assert difference.lost_detectors(*given_pair) == []
    assert difference.cells(old, new) == [], "another spelling decides alike"


@pytest.mark.parametrize(
    ("was", "becomes", "expected"),
    [
        (
            "audit_rate: 0.10",
            "audit_rate: 0.2",
            [Setting(key="models.m.categories.refunds.audit_rate", old="0.1", new="0.2")],
        ),
        (
            "evidence: score",
            "evidence: score\n    stale: {after: 2h}",
            [Setting(key="models.m.stale.after", old='"86400.0s"', new='"7200.0s"')],
        ),
        (
            "pattern: attorney",
            "pattern: lawyer",
            [Setting(key="detectors[lawyer].pattern", old='"attorney"', new='"lawyer"')],
        ),
        (
            "evidence: score",
            "evidence: score\n    mode: observe",
            [Setting(key="models.m.mode", old='"enforce"', new='"observe"')],
        ),
    ],
)
def test_a_key_that_changes_is_told_by_name(was, becomes, expected):
    assert difference.settings(*changed(was, becomes)) == expected


def test_a_mode_that_changes_says_whether_anything_acts_now():
    old, new = changed("evidence: score", "evidence: score\n    mode: observe")
    assert difference.modes(old, new) == [("m", False)]
    assert difference.modes(new, old) == [("m", True)]
    assert difference.modes(old, old) == []


def test_a_new_band_does_not_seem_to_change_the_others():
    bands = "bands: [{name: auto, from: 0.9, action: AUTO_ROUTE}, {name: rest, from: 0, action: ESCALATE}]"
    more = bands.replace("{name: rest", "{name: middle, from: 0.5, action: HOLD_FOR_REVIEW}, {name: rest")
    old, new = (
        side(POLICY.replace("evidence: score", f"evidence: score\n    {each}")) for each in (bands, more)
    )
    keys = {each.key for each in difference.settings(old, new)}
    assert {key.split(".")[2] for key in keys} == {"bands[middle]"}
    assert all(each.old == "(absent)" for each in difference.settings(old, new))


def test_the_chain_and_the_floors_are_told_too():
    chain = "evidence: score\n    fallback: [{step: rules, rules: [{name: r, when: 'true', answer: a}]}]"
    keys = {each.key for each in difference.settings(*changed("evidence: score", chain))}
    assert "models.m.fallback[rules].rules[r].when" in keys
    floors = difference.settings(side(), side(floors=FLOORS))
    assert Setting(key='floors.mandatory_categories["general"]', old="(absent)", new='"general"') in floors


def test_cells_that_change_are_joined_where_they_touch():
    old, new = changed("general: {}", "general: {bands: [{name: all, from: 0.0, action: HOLD_FOR_REVIEW}]}")
    cells = difference.cells(old, new)
    in_force = ("in force",)
    assert cells == [
        CellChange(
            model="m", category="general", lower=0.0, upper=0.5, states=in_force, old=Action.REJECT,
            new=Action.HOLD_FOR_REVIEW,
        ),
        CellChange(
            model="m", category="general", lower=0.7, upper=0.9, states=in_force,
            old=Action.AUTO_ROUTE_FLAGGED, new=Action.HOLD_FOR_REVIEW,
        ),
        CellChange(
            model="m", category="general", lower=0.9, upper=1.0, states=in_force, old=Action.AUTO_ROUTE,
            new=Action.HOLD_FOR_REVIEW,
        ),
    ]  # fmt: skip


def test_another_action_when_stale_is_told_once_for_all_confidences():
    old, new = changed("evidence: score", "evidence: score\n    stale: {action: ESCALATE}")
    general = [each for each in difference.cells(old, new) if each.category == "general"]
    (change,) = general
    assert (change.lower, change.upper, change.states) == (0.0, 1.0, ("CALIBRATOR_STALE",))
    assert (change.old, change.new) == (Action.HOLD_FOR_REVIEW, Action.ESCALATE)


def test_what_is_not_mandatory_any_more_is_told():
    old, new = changed("contracts: {mandatory_review: true}", "contracts: {}")
    lost = MandatoryChange(model="m", category="contracts", lower=0.0, upper=1.0, gained=False)
    assert difference.mandatory(old, new) == [lost]
    (gained,) = difference.mandatory(new, old)
    assert gained.gained
    (by_floors,) = difference.mandatory(side(), side(floors=FLOORS))
    assert (by_floors.category, by_floors.gained) == ("general", True)


def test_a_detector_that_is_gone_or_looks_for_something_else_is_told():
    (lost,) = difference.lost_detectors(*changed("pattern: attorney", "pattern: lawyer"))
    assert lost.name == "lawyer"
    (lost,) = difference.lost_detectors(side(floors=FLOORS), side())
    assert lost.name == "f"
    assert difference.lost_detectors(side(), side(floors=FLOORS)) == []


def test_a_model_that_one_side_lacks_has_no_cells_to_compare():
    new = side(POLICY.replace("  m:", "  n:"))
    assert difference.cells(side(), new) == []
    assert difference.mandatory(side(), new) == []
    assert difference.settings(side(), new)


@pytest.mark.slow
@ordinary
@given(data=st.data())
def test_the_cells_told_are_all_that_change(data, scenarios):
    """Law: at any confidence, in force and stale, the action differs exactly where it is told."""
    old, new = (Side(policy=loading.parse(data.draw(scenarios).policy)) for _ in range(2))
    before, after = (each.tables()["lead-classifier"] for each in (old, new))
    confidence = data.draw(st.one_of(st.floats(0, 1), st.sampled_from((0.0, 1.0))))
    category = data.draw(st.sampled_from((*before.listed, *after.listed, "")))
    problem = data.draw(st.sampled_from((None, *proofs.PROBLEMS)))
    known = problem in (None, proofs.PROBLEMS[0])
    was, becomes = (
        settle(
            Assessment(confidence, confidence if known else None, problem, confidence if known else None),
            category,
            Intent.LIVE,
            table,
        ).action
        for table in (before, after)
    )
    told = [
        (each.old, each.new)
        for each in difference.cells(old, new)
        if each.category == (category or proofs.UNLISTED)
        and (each.lower <= confidence < each.upper or confidence == each.upper == 1.0)
        and ("in force" if problem is None else problem) in each.states
    ]
    assert told == ([] if was is becomes else [(was, becomes)])
