"""The floors file: read strictly, and merged so that no policy takes anything from it, nor it from a policy."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar import errors
from sidecar.decision import proofs
from sidecar.decision.decide import Assessment, settle
from sidecar.policy import detectors, floors_file, loading
from sidecar.policy.actions import PERSON_ACTIONS, Action, Intent, Reason
from sidecar.policy.tables import compile_policy

POLICY = """
version: 1
models:
  leads:
    calibrator: models:/c@champion
    evidence: score
    unknown_category: ESCALATE
    categories:
      general: {}
      refunds: {mandatory_review: [{from: 0.2, to: 0.3}]}
  open:
    calibrator: models:/c@champion
    evidence: score
detectors: [{name: threat, category: legal, pattern: sue}]
"""
FLOORS = """
version: 1
mandatory_categories: [Contract-Terms]
models:
  leads:
    mandatory_categories: [general]
    mandatory_ranges:
      Refunds: [{from: 0.95, to: 1.0}]
      complaints: [{from: 0.9, to: 1}]
detectors: [{name: threat, category: legal, pattern: attorney}]
"""
ordinary = settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
NAMES = ("general", "REFUNDS", "größe", "legal language", "brand_new", "other")


@st.composite
def ranges(draw):
    low, high = sorted(draw(st.lists(st.integers(0, 100), min_size=2, max_size=2, unique=True)))
    return {"from": low / 100, "to": high / 100}


@st.composite
def floors_contents(draw):
    section = {
        "mandatory_categories": draw(st.lists(st.sampled_from(NAMES), max_size=3)),
        "mandatory_ranges": {
            name: draw(st.lists(ranges(), min_size=1, max_size=2))
            for name in draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
        },
    }
    return {
        "version": 1,
        "mandatory_categories": draw(st.lists(st.sampled_from(NAMES), max_size=2)),
        "models": draw(st.sampled_from(({}, {"lead-classifier": section}, {"another": section}))),
    }


def merged(policy=POLICY, floors=FLOORS):
    return floors_file.merge(loading.parse(policy).policy, floors_file.parse(floors).floors)


def verdict(table, category, confidence, problem=None):
    return settle(Assessment(confidence, confidence, problem), category, Intent.LIVE, table)


def possible(table, category, confidence):
    """What a table still permits, over every action that anything could propose."""
    own = table.category(category).floor_at(confidence)
    return frozenset(Action) if own is None else frozenset(own.permitted)


@pytest.mark.slow
@ordinary
@given(data=st.data())
def test_a_merge_never_takes_anything_away(data, scenarios):
    """Law: in every cell the merged table permits at most what the policy's permits, and what is mandatory stays."""
    policy = loading.parse(data.draw(scenarios).policy).policy
    floors = floors_file.parse(json.dumps(data.draw(floors_contents()))).floors
    before, after = compile_policy(policy), floors_file.merge(policy, floors)
    assert proofs.widened(before, after) == []
    old, new = before["lead-classifier"], after["lead-classifier"]
    for category in (*(old.listed.keys() | new.listed.keys()), ""):
        lowers = [lower for lower, _ in proofs.intervals(old.category(category), new.category(category))]
        for confidence in (*lowers, 1.0, None):
            assert possible(new, category, confidence) <= possible(old, category, confidence)
    assert proofs.violations([new]) == []


@ordinary
@given(data=st.data())
def test_what_the_floors_name_is_mandatory_whatever_the_policy(data, scenarios):
    policy = loading.parse(data.draw(scenarios).policy).policy
    floors = floors_file.parse(json.dumps(data.draw(floors_contents()))).floors
    table = floors_file.merge(policy, floors)["lead-classifier"]
    own = floors.models.get("lead-classifier", floors_file.ModelFloors())
    for name in (*floors.mandatory_categories, *own.mandatory_categories):
        for confidence in (0.0, 0.5, 1.0, None):
            found = verdict(table, name, confidence)
            assert found.mandatory
            assert found.action in PERSON_ACTIONS
            assert not found.may_act
    for name, given_ranges in own.mandatory_ranges.items():
        for each in given_ranges:
            assert verdict(table, name, float(each.from_)).mandatory
            assert verdict(table, name, None).mandatory
            if each.to == 1:
                assert verdict(table, name, 1.0).action in PERSON_ACTIONS


@pytest.mark.slow
@ordinary
@given(data=st.data())
def test_merging_the_same_floors_again_changes_nothing(data, scenarios):
    policy = loading.parse(data.draw(scenarios).policy).policy
    floors = floors_file.parse(json.dumps(data.draw(floors_contents()))).floors
    once = floors_file.merge(policy, floors)
    again = {name: floors_file._narrowed(table, floors) for name, table in once.items()}
    assert again == dict(once)


def test_without_floors_the_policy_stands_as_it_is():
    policy = loading.parse(POLICY).policy
    assert floors_file.merge(policy, None) == compile_policy(policy)
    empty = floors_file.parse("version: 1").floors
    assert floors_file.merge(policy, empty) == compile_policy(policy)


def test_a_policy_that_lists_no_categories_still_takes_any_other():
    """A named floor must not turn every other category into an unknown one."""
    table = merged()["open"]
    assert verdict(table, "contract_terms", 0.99).action is Action.HOLD_FOR_REVIEW
    assert verdict(table, "whatever", 0.99).may_act
    assert not table.lists_categories


def test_ranges_add_up():
    table = merged()["leads"]
    assert verdict(table, "refunds", 0.25).mandatory
    assert verdict(table, "refunds", 0.97).mandatory
    assert verdict(table, "refunds", 1.0).mandatory
    assert verdict(table, "refunds", 0.94).may_act


def test_a_range_in_an_unlisted_category_makes_all_of_it_mandatory():
    """Such answers wait for a person anyway; that only a person releases them must hold in the range too."""
    found = verdict(merged()["leads"], "complaints", 0.99)
    assert found.mandatory
    assert found.action is Action.ESCALATE, "the policy asks to escalate what it does not list"
    assert found.reasons == (Reason.BAND, Reason.MANDATORY_REVIEW)


def test_the_detectors_of_both_files_look():
    policy, floors = loading.parse(POLICY).policy, floors_file.parse(FLOORS).floors
    both = floors_file.compiled_detectors(policy, floors)
    assert len(both) == 2
    for text in ("my attorney", "I will sue"):
        assert len(detectors.hits(both, {"text": text})) == 1
    assert len(floors_file.compiled_detectors(policy, None)) == 1


def test_models_that_the_policy_does_not_have_are_named():
    given = floors_file.parse("version: 1\nmodels: {leads: {}, lead: {}}").floors
    assert floors_file.unused(merged(), given) == ("lead",)


def test_the_digest_is_of_the_meaning():
    base = floors_file.parse(FLOORS)
    assert floors_file.parse(base.canonical).digest == base.digest
    assert floors_file.parse(base.canonical).canonical == base.canonical
    same = FLOORS.replace("[Contract-Terms]", "[contract terms, ' CONTRACT_TERMS']  # a comment")
    assert floors_file.parse(same).digest == base.digest
    other = floors_file.parse(FLOORS.replace("0.95", "0.94"))
    assert other.digest != base.digest
    assert base.digest.startswith("sha256:")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "must be a mapping"),
        ("mandatory_categories: [a]", "version: is required"),
        ("version: 2", "version: must be 1"),
        (
            "version: 1\nmandatory: [a]",
            "mandatory: no such key; see `trueband-sidecar check --floors-schema`",
        ),
        ("version: 1\nmandatory_categories: a", "mandatory_categories: must be a list"),
        ("version: 1\nmandatory_categories: [1]", "mandatory_categories.0: must be text"),
        ("version: 1\nmandatory_categories: ['\u200b']", "no name of a category"),
        ("version: 1\nmodels: {'a b': {}}", "no model name"),
        ("version: 1\nmodels: {m: {bands: []}}", "models.m.bands: no such key"),
        (
            "version: 1\nmodels: {m: {mandatory_ranges: {a: [{from: 0.9, to: 0.9}]}}}",
            "models.m.mandatory_ranges.a.0: an empty range",
        ),
        ("version: 1\nmodels: {m: {mandatory_ranges: {a: []}}}", "models.m.mandatory_ranges.a"),
        (
            "version: 1\nmodels: {m: {mandatory_ranges: {a: [{from: 0, to: 1}], A: [{from: 0, to: 1}]}}}",
            "stands twice",
        ),
        ("version: 1\nversion: 1", "stands twice"),
        (
            "version: 1\ndetectors: [{name: d, category: a, pattern: '('}]",
            "detectors.0: '(' is no RE2 pattern",
        ),
        ("a: [", "not YAML"),
    ],
)
def test_a_mistake_is_named_by_its_key(text, says):
    with pytest.raises(errors.FloorsRefused) as caught:
        floors_file.parse(text, name="floors.yaml")
    assert "floors.yaml" in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.code == "FLOORS_REFUSED"
    assert isinstance(caught.value, errors.PolicyRefused)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(errors.FloorsRefused, match=r"nowhere\.yaml"):
        floors_file.read(tmp_path / "nowhere.yaml")


def test_the_schema_is_for_editors():
    schema = floors_file.json_schema()
    assert {"version", "mandatory_categories", "models", "detectors"} == set(schema["properties"])
