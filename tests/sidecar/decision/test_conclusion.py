from typing import Any

import msgspec
import pytest

from sidecar.decision import conclusion
from sidecar.decision.conclusion import FloorsBySource
from sidecar.decision.decide import Assessment, settle
from sidecar.decision.steps import FallbackStep
from sidecar.decision.verdict import Verdict
from sidecar.policy import model
from sidecar.policy.actions import PERSON_ACTIONS, Action, AnswerSource, Intent, Reason, TaskKind
from sidecar.policy.fallback import StepTable
from sidecar.policy.floors import FloorHit
from sidecar.policy.tables import compile_policy

TABLE = compile_policy(
    model.Policy.model_validate(
        {
            "version": 1,
            "models": {
                "lead": {
                    "calibrator": "file:primary.json",
                    "evidence": "score",
                    "categories": {"general": {}, "ranged": {"mandatory_review": [{"from": 0.8, "to": 1.0}]}},
                }
            },
        }
    )
)["lead"]
RULES = StepTable("rules", None, {"stop": Action.AUTO_ROUTE, "spam": Action.REJECT})
SECONDARY = StepTable("secondary", frozenset({"hold"}), {})
DETECTED = FloorHit(
    floor="detector:x:pricing", reason=Reason.DETECTOR, permitted=tuple(sorted(PERSON_ACTIONS))
)


def verdict_of(confidence: float | None, category: str = "general", **changed: Any) -> Verdict:
    problem = changed.pop("problem", None)
    return settle(
        Assessment(confidence, confidence, problem), category, changed.pop("intent", Intent.LIVE), TABLE
    )


def step(**changed: Any) -> FallbackStep:
    given = {
        "step": "rules",
        "outcome": "CLEARED",
        "rule": "stop",
        "answer_class": "other",
        "calibrated_confidence": 0.95,
    }
    return FallbackStep(**{**given, **changed})


def conclude(
    verdict: Verdict,
    *steps: FallbackStep,
    category: str = "general",
    floors: FloorsBySource = conclusion.NO_FLOORS,
) -> Verdict:
    return conclusion.conclude(
        verdict,
        steps,
        category=TABLE.category(category),
        chain=(RULES, SECONDARY),
        floors=floors,
    )


def test_the_first_step_that_cleared_decides() -> None:
    given = conclude(
        verdict_of(0.6),
        step(outcome="NO_ANSWER", rule="", answer_class="", calibrated_confidence=None),
        step(step="secondary", rule="", answer_class="second", calibrated_confidence=0.75),
    )
    assert (given.source, given.final_class) == (AnswerSource.SECONDARY, "second")
    assert (given.action, given.band) == (Action.AUTO_ROUTE_FLAGGED, "flagged")
    assert given.tasks == (TaskKind.BATCH,)
    assert given.reasons == (Reason.BAND, Reason.SECONDARY)


def test_without_steps_the_verdict_stands() -> None:
    verdict = verdict_of(0.6)
    assert conclude(verdict) == verdict


@pytest.mark.parametrize(
    "doctored",
    [
        {"outcome": "NOT_CLEARED"},
        {"outcome": "FAILED"},
        {"calibrated_confidence": None},
        {"calibrated_confidence": 0.69},
        {"calibrated_confidence": float("nan")},
        {"calibrated_confidence": 1.5},
        {"calibrated_confidence": -0.1},
        {"rule": "never_heard_of"},
        {"rule": ""},
        {"step": "magic"},
        {"step": "review"},
    ],
)
def test_a_step_is_not_taken_at_its_word(doctored: dict[str, Any]) -> None:
    verdict = verdict_of(0.6)
    given = conclude(verdict, step(**doctored))
    assert given == verdict
    assert (given.source, given.final_class) == (AnswerSource.PRIMARY, "")


def test_a_step_in_a_band_that_the_policy_does_not_list_for_it_decides_nothing() -> None:
    secondary = step(step="secondary", rule="")
    assert conclude(verdict_of(0.6), secondary).source is AnswerSource.SECONDARY
    assert conclude(verdict_of(0.2), secondary).source is AnswerSource.PRIMARY


@pytest.mark.parametrize(
    ("confidence", "category", "problem"),
    [
        (0.95, "general", None),
        (0.75, "general", None),
        (0.6, "pricing", None),
        (0.85, "ranged", None),
        (0.6, "never_heard_of", None),
        (0.6, "general", Reason.CALIBRATOR_STALE),
        (None, "general", Reason.NO_CALIBRATOR),
        (None, "ranged", Reason.EVIDENCE_MISMATCH),
    ],
)
def test_where_no_machine_step_may_decide_none_does(
    confidence: float | None, category: str, problem: Reason | None
) -> None:
    verdict = verdict_of(confidence, category, problem=problem)
    given = conclude(verdict, step(), category=category)
    assert given == verdict
    assert given.source is AnswerSource.PRIMARY


def test_floors_of_a_source_bind_that_source_only() -> None:
    bound: FloorsBySource = {AnswerSource.RULES: (DETECTED,)}
    both = (step(), step(step="secondary", rule="", answer_class="second"))
    assert conclude(verdict_of(0.6), *both, floors=bound).source is AnswerSource.SECONDARY
    assert conclude(verdict_of(0.6), *both).source is AnswerSource.RULES


def test_a_confidence_of_a_step_meets_the_mandatory_range_too() -> None:
    assert conclude(verdict_of(0.6, "ranged"), step(calibrated_confidence=0.75), category="ranged").may_act
    held = conclude(verdict_of(0.6, "ranged"), step(calibrated_confidence=0.85), category="ranged")
    assert held == verdict_of(0.6, "ranged")


def test_a_rule_can_reject_where_no_person_is_needed() -> None:
    given = conclude(verdict_of(0.6), step(rule="spam"))
    assert (given.action, given.may_act, given.tasks) == (Action.REJECT, False, ())


def test_a_step_that_the_deadline_skipped_is_among_the_reasons() -> None:
    skipped = step(outcome="SKIPPED", code="DEADLINE", rule="", answer_class="", calibrated_confidence=None)
    assert conclude(verdict_of(0.6), skipped).reasons == (Reason.BAND, Reason.DEADLINE)


def test_a_shadow_decision_opens_no_task() -> None:
    flagged = step(calibrated_confidence=0.75)
    given = conclude(verdict_of(0.6, intent=Intent.SHADOW), flagged)
    assert (given.action, given.may_act, given.tasks) == (Action.AUTO_ROUTE_FLAGGED, False, ())
    assert given.audit_rate == TABLE.category("general").cell_at(0.75).audit_rate


@pytest.mark.parametrize(
    ("action", "unavailable", "expected"),
    [
        (Action.AUTO_ROUTE, False, []),
        (Action.REJECT, False, []),
        (Action.HOLD_FOR_REVIEW, False, [("review", "NO_ANSWER", "PENDING")]),
        (Action.ESCALATE, False, [("review", "NO_ANSWER", "PENDING")]),
        (
            Action.HOLD_FOR_REVIEW,
            True,
            [("review", "FAILED", "REVIEW_UNAVAILABLE"), ("uncertain", "NO_ANSWER", "")],
        ),
        (Action.UNCERTAIN, False, [("uncertain", "NO_ANSWER", "")]),
    ],
)
def test_the_steps_after_the_machines(
    action: Action, unavailable: bool, expected: list[tuple[str, str, str]]
) -> None:
    steps = conclusion.closing_steps(action, unavailable=unavailable)
    assert [(item.step, item.outcome, item.code) for item in steps] == expected


def test_a_mandatory_verdict_bars_every_step_even_without_its_floor() -> None:
    bare = msgspec.structs.replace(verdict_of(0.6), mandatory=True, floors=())
    assert conclusion.barred(bare) == "MANDATORY_REVIEW"
    assert conclusion.barred(bare, (DETECTED,)) == "MANDATORY_REVIEW"
    assert conclude(bare, step()) == bare


def test_a_floor_on_the_verdict_bars_every_step_by_its_reason() -> None:
    detected = msgspec.structs.replace(verdict_of(0.6), floors=(DETECTED,))
    assert conclusion.barred(detected) == "DETECTOR"
    assert conclude(detected, step()) == detected
