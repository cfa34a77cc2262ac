"""`band_on: lower_bound`: bands are cut on what the confidence is at least, and nothing else gets wider by it."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import calibrators
from calibrators import LowerCurve
from sidecar.decision import conclusion, proofs, specification
from sidecar.decision.decide import Assessment, band_of, decide, settle
from sidecar.decision.steps import FallbackStep
from sidecar.decision.verdict import Verdict
from sidecar.policy import loading
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, Action, AnswerSource, Intent, Reason
from sidecar.policy.fallback import StepTable
from sidecar.policy.tables import ModelTable, compile_policy
from tests import builders
from tests.sidecar import services

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/c@champion
    evidence: score
    band_on: BAND_ON
    stale: {after: 1h, action: ESCALATE}
    categories:
      general: {}
      ranged: {mandatory_review: [{from: 0.92, to: 0.96}]}
"""
YOUNG = LowerCurve(level=0.95, method="by_hand", confidences=(0.5, 0.9, 1.0), bounds=(0.3, 0.75, 0.91))
RULES = StepTable("rules", None, {"stop": Action.AUTO_ROUTE})


def table(band_on: str = "lower_bound") -> ModelTable:
    return compile_policy(loading.parse(POLICY.replace("BAND_ON", band_on)).policy)["lead-classifier"]


def decided(
    score: float,
    table: ModelTable,
    calibrator: calibrators.Calibrator,
    *,
    stale_seconds: float | None = 0.0,
    **changed: Any,
) -> Verdict:
    return decide(builders.query(score, **changed), table, calibrator, stale_seconds=stale_seconds)


@pytest.fixture(scope="module")
def young() -> calibrators.Calibrator:
    found: calibrators.Calibrator = builders.calibrator_in_force(lower=YOUNG).calibrator
    return found


@pytest.fixture(scope="module")
def bare() -> calibrators.Calibrator:
    found: calibrators.Calibrator = builders.calibrator_in_force().calibrator
    return found


@pytest.mark.parametrize(
    ("score", "bound", "band", "action"),
    [
        (0.95, 0.83, "flagged", Action.AUTO_ROUTE_FLAGGED),
        (0.9, 0.75, "flagged", Action.AUTO_ROUTE_FLAGGED),
        (0.8, 0.6375, "hold", Action.HOLD_FOR_REVIEW),
        (0.9999, 0.90984, "auto", Action.AUTO_ROUTE),
    ],
)
def test_bands_are_cut_on_the_lower_bound(
    young: calibrators.Calibrator, score: float, bound: float, band: str, action: Action
) -> None:
    verdict = decided(score, table(), young)
    assert verdict.calibrated_confidence == score
    assert verdict.lower_bound == pytest.approx(bound)
    assert (verdict.band, verdict.action, verdict.reasons) == (band, action, (Reason.BAND,))


def test_few_labels_reject_nothing_that_the_confidence_does_not(young: calibrators.Calibrator) -> None:
    verdict = decided(0.6, table(), young)
    assert (verdict.band, verdict.action) == ("reject", Action.HOLD_FOR_REVIEW)
    assert verdict.reasons == (Reason.BAND, Reason.REJECT_UNPROVEN)
    assert conclusion.barred(verdict) == ""
    low = decided(0.45, table(), young)
    assert (low.band, low.action, low.reasons) == ("reject", Action.REJECT, (Reason.BAND,))
    assert decided(0.45, table("calibrated"), young).action is Action.REJECT


def test_without_the_key_the_bound_is_recorded_and_decides_nothing(young: calibrators.Calibrator) -> None:
    verdict = decided(0.95, table("calibrated"), young)
    assert (verdict.band, verdict.action) == ("auto", Action.AUTO_ROUTE)
    assert verdict.lower_bound == pytest.approx(0.83)


def test_a_calibrator_without_a_curve_holds(bare: calibrators.Calibrator) -> None:
    for stale in (0.0, 1e9, None):
        verdict = decided(0.999, table(), bare, stale_seconds=stale)
        assert verdict.action is Action.HOLD_FOR_REVIEW
        assert verdict.reasons == (Reason.NO_LOWER_BOUND,)
        assert (verdict.band, verdict.calibrated_confidence, verdict.lower_bound) == ("", 0.999, None)
    assert decided(0.999, table("calibrated"), bare).may_act


def test_a_stale_calibrator_with_a_curve_is_stale_and_keeps_its_band(young: calibrators.Calibrator) -> None:
    verdict = decided(0.95, table(), young, stale_seconds=3601.0)
    assert (verdict.action, verdict.reasons) == (Action.ESCALATE, (Reason.CALIBRATOR_STALE,))
    assert verdict.band == "flagged"


def test_the_category_shifts_the_confidence_and_so_its_bound() -> None:
    shifted = builders.calibrator_in_force(lower=YOUNG, category_offsets={"general": -2.0}).calibrator
    verdict = decided(0.95, table(), shifted)
    elsewhere = decided(0.95, table(), shifted, category="ranged")
    assert verdict.calibrated_confidence == shifted.apply_one(0.95, "general") < 0.95
    assert verdict.lower_bound == shifted.bound_of(verdict.calibrated_confidence)
    assert elsewhere.calibrated_confidence == 0.95


@pytest.mark.parametrize(
    ("calibrated", "lower_bound", "mandatory"),
    [(0.94, 0.8, True), (0.97, 0.93, True), (0.97, 0.91, False), (0.9, 0.8, False), (0.94, 0.94, True)],
)
def test_a_mandatory_range_binds_where_either_number_lies_in_it(
    calibrated: float, lower_bound: float, mandatory: bool
) -> None:
    verdict = settle(Assessment(calibrated, calibrated, None, lower_bound), "ranged", Intent.LIVE, table())
    assert verdict.mandatory is mandatory
    assert (verdict.action in PERSON_ACTIONS) or not mandatory


def test_no_bound_means_that_every_range_binds() -> None:
    verdict = settle(Assessment(0.5, 0.5, Reason.NO_LOWER_BOUND), "ranged", Intent.LIVE, table())
    assert verdict.mandatory


@given(
    calibrated=st.floats(0.0, 1.0),
    share=st.floats(0.0, 1.0),
    category=st.sampled_from(["general", "ranged", "pricing", "other", ""]),
)
def test_cutting_on_the_bound_never_leaves_a_mandatory_cell(
    calibrated: float, share: float, category: str
) -> None:
    assessment = Assessment(calibrated, calibrated, None, share * calibrated)
    plain = settle(assessment, category, Intent.LIVE, table("calibrated"))
    lower = settle(assessment, category, Intent.LIVE, table())
    assert not plain.mandatory or lower.mandatory
    assert band_of(assessment, category, table()) == lower.band


def test_a_change_back_is_told_where_ranges_lose_what_they_bind() -> None:
    lower, plain = {"lead-classifier": table()}, {"lead-classifier": table("calibrated")}
    assert proofs.widened(plain, lower) == []
    (told,) = proofs.widened(lower, plain)
    assert "category ranged" in told
    assert "whose lower bound lies in them" in told


def step(**changed: Any) -> FallbackStep:
    given_step = {"step": "rules", "outcome": "CLEARED", "rule": "stop", "answer_class": "x"}
    return FallbackStep(**{**given_step, **changed})


@pytest.mark.parametrize(
    ("bound", "code", "decided"),
    [(0.93, "", True), (0.6, "BAND_NOT_AUTOMATIC", False), (None, "NO_LOWER_BOUND", False)],
)
def test_the_answer_of_a_step_clears_by_its_own_bound(bound: float | None, code: str, decided: bool) -> None:
    category = table().category("general")
    assert conclusion.judge(RULES, "stop", 0.97, bound, category, ()).code == code
    held = settle(Assessment(0.6, 0.6, None, 0.55), "general", Intent.LIVE, table())
    assert held.action not in AUTOMATIC_ACTIONS
    concluded = conclusion.conclude(
        held,
        (step(calibrated_confidence=0.97, lower_bound=bound),),
        category=category,
        chain=(RULES,),
    )
    assert (concluded.source is AnswerSource.RULES) is decided
    assert concluded.may_act is decided


def test_no_step_decides_where_the_primary_has_no_bound() -> None:
    held = settle(Assessment(0.99, 0.99, Reason.NO_LOWER_BOUND), "general", Intent.LIVE, table())
    assert conclusion.barred(held) == "NO_LOWER_BOUND"


def test_the_proofs_hold_and_see_the_new_state() -> None:
    assert proofs.violations([dataclasses.replace(table(), chain=(RULES,))]) == []
    states = {cell.state for cell in proofs.cells(table())}
    assert "NO_LOWER_BOUND" in states
    assert "NO_LOWER_BOUND" not in {cell.state for cell in proofs.cells(table("calibrated"))}
    acting = [
        cell for cell in proofs.chain_cells(dataclasses.replace(table(), chain=(RULES,))) if cell.decided
    ]
    assert acting
    assert all(cell.state == "in force" for cell in acting)


def test_the_document_says_which_number_bands_are_cut_on() -> None:
    lower, plain = (
        specification.render(loading.parse(POLICY.replace("BAND_ON", each)))
        for each in ("lower_bound", "calibrated")
    )
    assert "**Cut on the lower bound.**" in lower
    assert "NO_LOWER_BOUND" in lower
    assert "Cut on the calibrated confidence." in plain
    assert "NO_LOWER_BOUND" not in plain


def test_a_verdict_carries_it_to_the_record() -> None:
    text = POLICY.replace("BAND_ON", "lower_bound")
    made = services.bare(text, {("lead-classifier", ""): builders.calibrator_in_force(lower=YOUNG)})
    decision = made.router.route(builders.query(0.95)).decision
    assert decision.verdict.lower_bound == YOUNG.one(0.95, 1e-6)
    assert decision.verdict.band == "flagged"
    assert builders.altered(decision, lower_bound=None) != decision
