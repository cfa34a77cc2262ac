"""Recent decisions routed again: what is counted, and when a person must approve."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import calibrators
from sidecar.decision.records import Decision
from sidecar.decision.suspensions import Scope, Suspension
from sidecar.ledger import intake
from sidecar.ledger.store import Ledger
from sidecar.policy import model as policy_model
from sidecar.policy import tables
from sidecar.policy.actions import Intent
from tests import builders
from training.retraining import rerouting

START = 1_790_000_000.0
ENTRY = policy_model.Model.model_validate({"calibrator": "models:/any@champion", "evidence": "score"})
TABLE = tables.compile_policy(policy_model.Policy(version=1, models={"leads": ENTRY}))["leads"]
APPLIES = calibrators.AppliesTo(model="leads", model_versions=None, evidence="score")


def calibrator(calibrator_map: calibrators.Map, **changes: Any) -> calibrators.Calibrator:
    return calibrators.Calibrator(map=calibrator_map, applies_to=APPLIES, **changes)


RAW = calibrator(calibrators.Identity())
CAUTIOUS = calibrator(calibrators.Platt(1.0, -1.0, "logit"))


def decision(number: int, score: float, **changes: Any) -> Decision:
    fields = {"decision_id": f"d{number:06d}", "model": "leads", "model_version": "v1", "category": ""}
    return builders.decision(number, at=START + number, score=score, **fields | changes)


SCORES = (0.95, 0.92, 0.8, 0.75, 0.6, 0.2, 0.99, 0.98, 0.97, 0.96)
"""Raw: six auto, two flagged, one hold, one reject. Cautious: .875 .81 .6 .525 .356 .08 .973 .947 .922 .898."""


def test_moves_are_counted_by_action_and_by_band() -> None:
    found = rerouting.measure(
        [decision(number, score) for number, score in enumerate(SCORES)], TABLE, before=RAW, after=CAUTIOUS
    )
    assert found.shift.n == 10
    assert found.bands == {
        ("auto", "flagged"): 3,
        ("auto", "auto"): 3,
        ("flagged", "hold"): 2,
        ("hold", "reject"): 1,
        ("reject", "reject"): 1,
    }
    assert found.moved == pytest.approx(0.6)
    assert (found.shift.before, found.shift.after) == (0.8, 0.6)
    assert found.shares()["AUTO_ROUTE"] == (0.6, 0.3)
    assert found.shares()["REJECT"] == (0.1, 0.2)
    assert found.statistics()["shift_automatic_after"] == 0.6
    assert found.statistics()["shift_hold_for_review_after"] == 0.2
    document = found.as_document()
    assert document["automatic"] == {"before": 0.8, "after": 0.6}
    assert {"from": "flagged", "to": "hold", "decisions": 2} in document["bands"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("limit", "codes"),
    [
        (0.1, ["ROUTING_SHIFT", "SHIFT_NEEDS_APPROVAL"]),
        (0.2, ["ROUTING_SHIFT"]),
        (None, ["ROUTING_SHIFT"]),
    ],
)
def test_a_shift_beyond_the_limit_needs_a_person(limit: float | None, codes: list[str]) -> None:
    decisions = [decision(number, score) for number, score in enumerate(SCORES)]
    for before, after in ((RAW, CAUTIOUS), (CAUTIOUS, RAW)):
        found = rerouting.measure(decisions, TABLE, before=before, after=after).reasons(limit)
        assert [reason.code for reason in found] == codes
        assert [reason.blocking for reason in found] == [False, True][: len(codes)]


def test_without_a_champion_everything_held_before() -> None:
    found = rerouting.measure([decision(1, 0.95)], TABLE, before=None, after=RAW)
    assert found.bands == {("none", "auto"): 1}
    assert (found.shift.before, found.shift.after) == (0.0, 1.0)
    assert [reason.blocking for reason in found.reasons(None)] == [False]


def test_nothing_to_route_again_is_said() -> None:
    found = rerouting.measure([], TABLE, before=RAW, after=CAUTIOUS)
    assert [(reason.code, reason.blocking) for reason in found.reasons(0.0)] == [("ROUTING_SHIFT", False)]
    assert "no recent decision" in found.reasons(0.0)[0].text
    assert found.statistics()["shift_decisions"] == 0.0


def test_a_suspended_band_holds_under_both() -> None:
    brake = Suspension(
        suspension_id="x",
        scope=Scope(band="auto"),
        explanation="",
        suspended_by="ada",
        suspended_at=START,
        sidecar_id="s",
    )
    decisions = [decision(1, 0.95), decision(2, 0.75)]
    found = rerouting.measure(decisions, TABLE, before=RAW, after=RAW, suspended=[brake])
    assert found.shift.before == found.shift.after == 0.5


@pytest.fixture
def filled(tmp_path: Path) -> Callable[[list[Decision]], Ledger]:
    def fill(decisions: list[Decision]) -> Ledger:
        ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
        ledger.migrate()
        ledger.write(intake.take_in, decisions)
        return ledger

    return fill


def test_recent_decisions_are_live_of_the_version_and_the_newest_first(
    filled: Callable[[list[Decision]], Ledger],
) -> None:
    made = [decision(number, 0.5) for number in range(1, 2500)]
    made[10] = decision(11, 0.5, intent=Intent.SHADOW)
    made[20] = decision(21, 0.5, model_version="v2")
    made[30] = decision(31, 0.5, model="another")
    with filled(made) as ledger:
        every = rerouting.recent(ledger, "leads")
        assert len(every) == 2499 - 2
        assert every[0].decision_id == "d002499"
        assert [each.decided_at for each in every] == sorted(
            (each.decided_at for each in every), reverse=True
        )
        assert len(rerouting.recent(ledger, "leads", versions=("v1",))) == 2499 - 3
        (only,) = rerouting.recent(ledger, "leads", versions=("v2",))
        assert only.decision_id == "d000021"
        assert len(rerouting.recent(ledger, "leads", count=1500)) == 1500
        assert rerouting.recent(ledger, "unheard of") == []
