"""The pure decision: what the evidence is worth, what stands in its way, and what follows."""

import msgspec
import pytest

import calibrators
from calibrators import Evidence
from calibrators.errors import EvidenceUnusable
from sidecar.decision.decide import decide, version_permitted
from sidecar.policy import loading
from sidecar.policy.actions import Action, Intent, Reason, TaskKind
from sidecar.policy.tables import compile_policy
from tests import builders

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/c@champion
    evidence: EVIDENCE
"""
SCORE = Evidence("score", (0.95,))


def table(rest="", evidence="score"):
    text = POLICY.replace("EVIDENCE", evidence) + rest
    return compile_policy(loading.parse(text).policy)["lead-classifier"]


def case(**changes):
    """A question, and for how long its calibrator has not been confirmed."""
    stale_seconds = changes.pop("stale_seconds", 0.0)
    return builders.query(**({"predicted_class": "", "evidence": SCORE} | changes)), stale_seconds


def decided(case, table, calibrator):
    query, stale_seconds = case
    return decide(query, table, calibrator, stale_seconds=stale_seconds)


@pytest.fixture(scope="module")
def identity():
    return builders.calibrator_in_force().calibrator


def test_a_fresh_match_in_the_top_band_acts(identity):
    verdict = decided(case(), table(), identity)
    assert verdict.action is Action.AUTO_ROUTE
    assert verdict.may_act
    assert verdict.reasons == (Reason.BAND,)
    assert (verdict.band, verdict.audit_rate, verdict.tasks) == ("auto", 0.05, ())


STALE_AFTER = "    stale: {after: 1h, action: ESCALATE}\n"
BLOCKED = [
    ("no calibrator", {}, "", "none", Reason.NO_CALIBRATOR, Action.HOLD_FOR_REVIEW),
    ("never confirmed", {"stale_seconds": None}, "", {}, Reason.CALIBRATOR_STALE, Action.HOLD_FOR_REVIEW),
    ("stale", {"stale_seconds": 3600.001}, STALE_AFTER, {}, Reason.CALIBRATOR_STALE, Action.ESCALATE),
    (
        "fitted for another version",
        {"model_version": "v9"},
        "",
        {"versions": ("v7", "v8")},
        Reason.MODEL_VERSION_UNCALIBRATED,
        Action.HOLD_FOR_REVIEW,
    ),
    (
        "no version told, and the calibrator names some",
        {},
        "",
        {"versions": ("v7",)},
        Reason.MODEL_VERSION_UNCALIBRATED,
        Action.HOLD_FOR_REVIEW,
    ),
    (
        "a version is required",
        {},
        "    model_version: required\n",
        {},
        Reason.MODEL_VERSION_UNCALIBRATED,
        Action.HOLD_FOR_REVIEW,
    ),
    (
        "another version than the fixed one",
        {"model_version": "v8"},
        "    model_version: v7\n",
        {},
        Reason.MODEL_VERSION_UNCALIBRATED,
        Action.HOLD_FOR_REVIEW,
    ),
    ("another model's", {}, "", {"model": "x"}, Reason.EVIDENCE_MISMATCH, Action.HOLD_FOR_REVIEW),
    ("another criterion's", {}, "", {"criterion": "kept"}, Reason.EVIDENCE_MISMATCH, Action.HOLD_FOR_REVIEW),
    ("a secondary's", {}, "", {"source": "secondary"}, Reason.EVIDENCE_MISMATCH, Action.HOLD_FOR_REVIEW),
    (
        "other evidence than the policy's",
        {"evidence": Evidence("token_logprobs", (-0.01,))},
        "",
        {},
        Reason.EVIDENCE_MISMATCH,
        Action.HOLD_FOR_REVIEW,
    ),
    (
        "other evidence than the calibrator's",
        {},
        "",
        {"evidence": "positive_probability"},
        Reason.EVIDENCE_MISMATCH,
        Action.HOLD_FOR_REVIEW,
    ),
]


@pytest.mark.parametrize(
    ("changes", "rest", "fitted", "reason", "action"),
    [row[1:] for row in BLOCKED],
    ids=[row[0] for row in BLOCKED],
)
def test_what_stands_in_the_way_holds(changes, rest, fitted, reason, action):
    calibrator = None if fitted == "none" else builders.calibrator_in_force(**fitted).calibrator
    verdict = decided(case(**changes), table(rest), calibrator)
    assert verdict.reasons[0] is reason
    assert verdict.action is action
    assert not verdict.may_act
    assert verdict.audit_rate == 0.0
    assert verdict.tasks == (TaskKind.HOLD if action is Action.HOLD_FOR_REVIEW else TaskKind.ESCALATION,)


def test_the_staleness_budget_includes_its_last_moment(identity):
    assert decided(case(stale_seconds=3600.0), table(STALE_AFTER), identity).may_act
    assert not decided(case(stale_seconds=3600.0000001), table(STALE_AFTER), identity).may_act


def test_a_truncated_generation_holds_whatever_its_confidence():
    calibrator = builders.calibrator_in_force(evidence="token_logprobs", aggregation="mean").calibrator
    for truncated, action in ((False, Action.AUTO_ROUTE), (True, Action.HOLD_FOR_REVIEW)):
        given = Evidence("token_logprobs", (-0.001, -0.002), truncated=truncated)
        verdict = decided(case(evidence=given), table(evidence="token_logprobs"), calibrator)
        assert verdict.action is action
    assert verdict.reasons == (Reason.TRUNCATED_GENERATION,)
    assert verdict.raw_confidence == pytest.approx(0.9985, abs=1e-4)


def test_a_calibrator_of_another_aggregation_does_not_serve():
    calibrator = builders.calibrator_in_force(evidence="token_logprobs", aggregation="min").calibrator
    verdict = decided(
        case(evidence=Evidence("token_logprobs", (-0.001,))), table(evidence="token_logprobs"), calibrator
    )
    assert verdict.reasons == (Reason.EVIDENCE_MISMATCH,)


@pytest.mark.parametrize(
    ("answer", "index", "reason"),
    [
        ("argmax", 0, Reason.BAND),
        ("argmax", 1, Reason.ANSWER_UNCALIBRATED),
        ("given", 0, Reason.BAND),
        ("given", 1, Reason.BAND),
    ],
)
def test_a_calibrator_fitted_on_the_most_likely_answers_serves_no_other(answer, index, reason):
    calibrator = builders.calibrator_in_force(
        calibrators.VectorTemperature(1.0), evidence="probabilities", answer=answer
    ).calibrator
    given = Evidence("probabilities", (0.96, 0.04), answer_index=index)
    verdict = decided(
        case(evidence=given), table("    classes: [a, b]\n", evidence="probabilities"), calibrator
    )
    assert verdict.reasons == (reason,)
    assert verdict.may_act == (reason is Reason.BAND and index == 0)
    assert verdict.raw_confidence == given.values[index]


def test_a_calibrator_that_cannot_take_the_evidence_holds(identity):
    """The documents that are admitted always can; an error in there must still hold, and not end the call."""

    class Failing:
        applies_to = identity.applies_to

        def confidence(self, given, _):
            raise EvidenceUnusable(f"not with a {given.kind}")

    verdict = decided(case(), table(), Failing())
    assert verdict.action is Action.HOLD_FOR_REVIEW
    assert verdict.reasons == (Reason.EVIDENCE_MISMATCH,)
    assert verdict.calibrated_confidence is None


@pytest.mark.parametrize(
    ("mode", "intent", "reasons"),
    [
        ("observe", Intent.LIVE, (Reason.BAND, Reason.OBSERVE_MODE)),
        ("enforce", Intent.SHADOW, (Reason.BAND, Reason.SHADOW)),
        ("observe", Intent.SHADOW, (Reason.BAND, Reason.OBSERVE_MODE, Reason.SHADOW)),
    ],
)
def test_observing_and_shadow_decide_alike_and_never_act(mode, intent, reasons, identity):
    for score, action in ((0.95, Action.AUTO_ROUTE), (0.6, Action.HOLD_FOR_REVIEW), (0.1, Action.REJECT)):
        verdict = decided(
            case(evidence=Evidence("score", (score,)), intent=intent), table(f"    mode: {mode}\n"), identity
        )
        assert verdict.action is action
        assert not verdict.may_act
        assert verdict.enforced == (mode == "enforce")
        assert verdict.reasons == reasons
        assert verdict.tasks == ()
        # A hold reaches nobody here: it is drawn like the rest, or there would be no truth about it.
        assert verdict.audit_rate == 0.05


def test_a_flagged_answer_acts_and_opens_a_batch_task(identity):
    verdict = decided(case(evidence=Evidence("score", (0.8,))), table(), identity)
    assert verdict.action is Action.AUTO_ROUTE_FLAGGED
    assert verdict.may_act
    assert verdict.tasks == (TaskKind.BATCH,)
    assert verdict.audit_rate == 0.05


def test_a_mandatory_category_is_held_at_the_top_and_escalated_at_the_bottom(identity):
    for score, action in ((0.99, Action.HOLD_FOR_REVIEW), (0.01, Action.ESCALATE)):
        verdict = decided(case(category="pricing", evidence=Evidence("score", (score,))), table(), identity)
        assert verdict.action is action
        assert verdict.mandatory
        assert verdict.reasons == (Reason.BAND, Reason.MANDATORY_REVIEW)
        assert [hit.floor for hit in verdict.floors] == ["mandatory_category:pricing"]


def test_every_mandatory_range_binds_where_the_confidence_is_not_known():
    ranged = table("    categories:\n      refunds: {mandatory_review: [{from: 0.2, to: 0.3}]}\n")
    verdict = decided(case(category="refunds"), ranged, None)
    assert verdict.mandatory
    assert verdict.reasons == (Reason.NO_CALIBRATOR, Reason.MANDATORY_REVIEW)


@pytest.mark.parametrize(
    ("version", "rule", "permitted"),
    [
        ("", "any", True),
        ("v7", "any", True),
        ("", "required", False),
        ("v7", "required", True),
        ("v7", "v7", True),
        ("v8", "v7", False),
        ("", "v7", False),
    ],
)
def test_which_versions_the_policy_lets_in(version, rule, permitted):
    assert version_permitted(version, rule) is permitted


def test_a_verdict_cannot_be_changed(identity):
    verdict = decided(case(category="pricing"), table(), identity)
    with pytest.raises(AttributeError):
        verdict.may_act = True
    assert not msgspec.structs.asdict(verdict)["may_act"]
