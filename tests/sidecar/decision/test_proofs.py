"""The proof over a policy, and that it fails where a table has lost what the policy promised."""

import dataclasses
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.decision import conclusion, proofs
from sidecar.decision.conclusion import Judgement
from sidecar.policy import floors, loading, model
from sidecar.policy.actions import Action, Reason
from sidecar.policy.fallback import StepTable
from sidecar.policy.floors import FloorHit
from sidecar.policy.tables import ModelTable, compile_policy

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
    if name == proofs.UNLISTED:
        return dataclasses.replace(good, unlisted=dataclasses.replace(good.unlisted, **fields))
    entry = dataclasses.replace(good.listed[name], **fields)
    return dataclasses.replace(good, listed=MappingProxyType({**good.listed, name: entry}))


def without(name):
    good = table()
    rest = {key: entry for key, entry in good.listed.items() if key != name}
    return dataclasses.replace(good, listed=MappingProxyType(rest))


def test_a_good_policy_breaks_nothing():
    assert proofs.violations([table()]) == []


def test_every_cell_is_enumerated_once():
    cells = list(proofs.cells(table()))
    names = {"general", "contracts", "refunds", *("pricing", "legal_language", "account_strategy")}
    assert {cell.category for cell in cells} == names | {proofs.UNLISTED}
    assert {cell.state for cell in cells} == {"in force", *(problem.value for problem in proofs.PROBLEMS)}
    keys = [(cell.category, cell.lower, cell.state) for cell in cells]
    assert len(set(keys)) == len(keys)
    intervals = [(c.lower, c.upper) for c in cells if c.category == "refunds" and c.state == "in force"]
    assert intervals == [(0.0, 0.5), (0.5, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 1.0)]
    acting = {(c.category, c.lower) for c in cells if c.may_act}
    assert acting == {
        ("general", 0.7), ("general", 0.9), ("refunds", 0.7), ("refunds", 0.95),
    }  # fmt: skip


CELLS = table().unlisted.cells
WIDE = FloorHit(floor="x", reason=Reason.MANDATORY_REVIEW, permitted=tuple(sorted(Action)))
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
        lambda: changed(proofs.UNLISTED, floor=None),
        "for a category that the policy does not list",
    ),
    "what is not listed may be rejected": (
        lambda: changed(
            proofs.UNLISTED, floor=FloorHit(floor="x", reason=Reason.UNKNOWN_CATEGORY, permitted=("REJECT",))
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
    found = proofs.table_violations(make())
    assert any(words in violation for violation in found), found
    assert all(violation.startswith("m, category ") for violation in found)


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_whatever_the_loader_lets_through_is_proven(data, scenarios):
    """The schema and the proof are two nets: nothing that passes the first is caught by the second."""
    for compiled in compile_policy(loading.parse(data.draw(scenarios).policy).policy).values():
        assert proofs.violations([compiled]) == []


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
    found = proofs.widened(old, new)
    assert len(found) == count
    assert f"model m, {says}" in "\n".join(found)
    assert proofs.widened(new, new) == []


def test_more_mandatory_review_is_no_widening():
    old = compile_policy(loading.parse(POLICY).policy)
    for wider in (
        POLICY.replace("general: {}", "general: {mandatory_review: true}"),
        POLICY.replace("from: 0.8", "from: 0.1"),
        POLICY.replace("[{from: 0.8, to: 0.95}]", "true"),
        POLICY.replace("evidence: score", "evidence: score\n    bands: [{name: a, from: 0, action: REJECT}]"),
    ):
        assert proofs.widened(old, compile_policy(loading.parse(wider).policy)) == []


def test_a_model_that_is_gone_or_new_is_no_widening():
    old = compile_policy(loading.parse(POLICY).policy)
    new = compile_policy(loading.parse(POLICY.replace("  m:", "  n:")).policy)
    assert proofs.widened(old, new) == []


def test_the_end_of_a_range_at_1_is_not_forgotten():
    closed = POLICY.replace("from: 0.8, to: 0.95", "from: 0.9, to: 1.0")
    open_ = POLICY.replace("from: 0.8, to: 0.95", "from: 0.9, to: 0.999999999")
    old, new = (compile_policy(loading.parse(each).policy) for each in (closed, open_))
    assert len(proofs.widened(old, new)) == 1
    assert proofs.widened(new, old) == []


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_whatever_is_not_named_as_wider_is_as_mandatory_as_before(data, scenarios):
    """Law: at any confidence, not just at the edges at which the proof looks."""
    old, new = (compile_policy(loading.parse(data.draw(scenarios).policy).policy) for _ in range(2))
    confidence = data.draw(st.floats(0, 1))
    names = [*old["lead-classifier"].listed, *new["lead-classifier"].listed, ""]
    category = data.draw(st.sampled_from(names))
    before, after = (
        proofs.mandatory_at(each["lead-classifier"], category, confidence) for each in (old, new)
    )
    named = [line for line in proofs.widened(old, new) if f"category {category or proofs.UNLISTED}," in line]
    if before and not after:
        assert named
    if not named:
        assert after or not before


# Chains.

CHAIN = (
    StepTable("rules", None, {"a": Action.AUTO_ROUTE, "b": Action.AUTO_ROUTE, "c": Action.REJECT}),
    StepTable("secondary", frozenset({"hold"}), {}),
)


@pytest.fixture(scope="module")
def chained() -> ModelTable:
    entry = {
        "calibrator": "file:primary.json",
        "evidence": "score",
        "categories": {
            "general": {},
            "ranged": {"mandatory_review": [{"from": 0.92, "to": 0.95}]},
            "pricing": {"mandatory_review": True},
        },
    }
    policy = model.Policy.model_validate({"version": 1, "models": {"lead": entry}})
    return dataclasses.replace(compile_policy(policy)["lead"], chain=CHAIN)


def test_every_cell_of_a_chain_is_there_and_none_breaks_a_promise(chained: ModelTable) -> None:
    cells = list(proofs.chain_cells(chained))
    # Five edges and 1 where nothing else cuts, seven states, two actions of rules and the secondary.
    plain = [cell for cell in cells if cell.category == "general"]
    assert len(plain) == 5 * 7 * 3 * 5
    assert {cell.rule for cell in cells} == {"a", "c", ""}
    assert any(cell.decided and cell.may_act for cell in plain)
    assert any(cell.decided and cell.action is Action.REJECT for cell in plain)
    assert not any(cell.decided for cell in cells if cell.category in ("pricing", "legal_language"))
    assert any(cell.mandatory for cell in cells if cell.category == "ranged")
    assert proofs.chain_violations(chained) == []


def test_without_a_chain_there_is_nothing_to_prove(chained: ModelTable) -> None:
    assert list(proofs.chain_cells(dataclasses.replace(chained, chain=()))) == []


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ("barred", "without a person in a mandatory cell"),
        ("barred", "without a calibrated confidence of the primary"),
        ("barred", "for a category that the policy does not list"),
        ("judge", "in a band that does not act"),
        ("judge", "against the floor mandatory_range:ranged"),
    ],
)
def test_a_promise_that_a_chain_breaks_is_named_with_its_cell(
    chained: ModelTable, monkeypatch: pytest.MonkeyPatch, broken: str, complaint: str
) -> None:
    if broken == "barred":
        monkeypatch.setattr(conclusion, "barred", lambda *_: "")
        monkeypatch.setattr(conclusion, "judge", lambda *_: Judgement(Action.AUTO_ROUTE))
    else:
        monkeypatch.setattr(conclusion, "judge", lambda *_: Judgement(Action.AUTO_ROUTE))
    found = proofs.chain_violations(chained)
    assert [sentence for sentence in found if complaint in sentence]
    assert all(sentence.startswith("lead, category ") for sentence in found)


def test_states_are_those_of_the_primary(chained: ModelTable) -> None:
    states = {cell.state for cell in proofs.chain_cells(chained)}
    assert "in force" in states
    assert Reason.CALIBRATOR_STALE.value in states
