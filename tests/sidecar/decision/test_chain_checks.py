import pytest

from sidecar.decision import chain_checks, conclusion
from sidecar.decision.conclusion import Judgement
from sidecar.policy import model
from sidecar.policy.actions import Action, Reason
from sidecar.policy.fallback import StepTable
from sidecar.policy.tables import ModelTable, compile_policy

CHAIN = (
    StepTable("rules", None, {"a": Action.AUTO_ROUTE, "b": Action.AUTO_ROUTE, "c": Action.REJECT}),
    StepTable("secondary", frozenset({"hold"}), {}),
)


@pytest.fixture(scope="module")
def table() -> ModelTable:
    entry = {
        "calibrator": "file:primary.json",
        "evidence": "score",
        "categories": {
            "general": {},
            "ranged": {"mandatory_review": [{"from": 0.92, "to": 0.95}]},
            "pricing": {"mandatory_review": True},
        },
    }
    return compile_policy(model.Policy.model_validate({"version": 1, "models": {"lead": entry}}))["lead"]


def test_every_cell_is_there_and_none_breaks_a_promise(table: ModelTable) -> None:
    cells = list(chain_checks.enumerate_cells(table, CHAIN))
    # Five edges and 1 where nothing else cuts, seven states, two actions of rules and the secondary.
    plain = [cell for cell in cells if cell.category == "general"]
    assert len(plain) == 5 * 7 * 3 * 5
    assert {cell.rule for cell in cells} == {"a", "c", ""}
    assert any(cell.decided and cell.may_act for cell in plain)
    assert any(cell.decided and cell.action is Action.REJECT for cell in plain)
    assert not any(cell.decided for cell in cells if cell.category in ("pricing", "legal_language"))
    assert any(cell.mandatory for cell in cells if cell.category == "ranged")
    assert chain_checks.violations(table, CHAIN) == []


def test_without_a_chain_there_is_nothing_to_prove(table: ModelTable) -> None:
    assert list(chain_checks.enumerate_cells(table, ())) == []


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
def test_a_broken_promise_is_named_with_its_cell(
    table: ModelTable, monkeypatch: pytest.MonkeyPatch, broken: str, complaint: str
) -> None:
    if broken == "barred":
        monkeypatch.setattr(conclusion, "barred", lambda *_: "")
        monkeypatch.setattr(conclusion, "judge", lambda *_: Judgement(Action.AUTO_ROUTE))
    else:
        monkeypatch.setattr(conclusion, "judge", lambda *_: Judgement(Action.AUTO_ROUTE))
    found = chain_checks.violations(table, CHAIN)
    assert [sentence for sentence in found if complaint in sentence]
    assert all(sentence.startswith("lead, category ") for sentence in found)


def test_states_are_those_of_the_primary(table: ModelTable) -> None:
    states = {cell.state for cell in chain_checks.enumerate_cells(table, CHAIN)}
    assert "in force" in states
    assert Reason.CALIBRATOR_STALE.value in states
