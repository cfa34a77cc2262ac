from collections.abc import Callable
from typing import Any

import pytest

from calibrators import Calibrator, Constant, Identity
from sidecar.service.fallback.chain import Chain
from sidecar.service.fallback.steps import Attempt, Question
from sidecar.service.registry.slots import CalibratorInForce

InForce = Callable[..., CalibratorInForce]
Ask = Callable[..., Question]
Connect = Callable[..., Chain]

STOP = {"name": "stop", "when": 'attributes.keyword == "stop"', "answer": "unsubscribe"}
LARGE = {"name": "large", "when": "attributes.amount > 40", "answer": "interested", "action": "ESCALATE"}
BROKEN = {"name": "broken", "when": "attributes.missing > 1", "answer": "interested"}
NEVER = {"name": "never", "when": "false", "answer": "not_now"}


def attempt(connect: Connect, question: Question, *rules: dict[str, Any]) -> Attempt:
    steps = connect({"step": "rules", "rules": list(rules)}).steps
    assert steps is not None
    return steps["rules"].attempt(question, 0.0)


def test_the_first_rule_that_matches_answers(connect: Connect, question: Ask, in_force: InForce) -> None:
    calibrators = {
        "rules/stop": in_force(Constant(0.95), "rules"),
        "rules/large": in_force(Constant(0.99), "rules"),
    }
    given = question(calibrators=calibrators)
    first = attempt(connect, given, NEVER, STOP, LARGE)
    assert first == Attempt(
        outcome="ANSWERED",
        rule="stop",
        answer_class="unsubscribe",
        calibrated_confidence=0.95,
        calibrator=calibrators["rules/stop"].reference,
    )
    other_order = attempt(connect, given, NEVER, LARGE, STOP)
    assert (other_order.rule, other_order.answer_class) == ("large", "interested")


def test_no_rule_matches(connect: Connect, question: Ask) -> None:
    assert attempt(connect, question(attributes={"keyword": "go", "amount": 1.0}), STOP, LARGE) == Attempt(
        outcome="NO_ANSWER"
    )


@pytest.mark.parametrize("rules", [(BROKEN, STOP), (NEVER, BROKEN), (BROKEN, BROKEN | {"name": "twin"})])
def test_a_rule_that_raises_ends_the_step(
    connect: Connect, question: Ask, rules: tuple[dict[str, Any], ...]
) -> None:
    assert attempt(connect, question(), *rules) == Attempt(
        outcome="FAILED", code="VALUE_MISSING", rule="broken"
    )


def test_a_rule_that_would_raise_is_not_reached_behind_one_that_matches(
    connect: Connect, question: Ask
) -> None:
    assert attempt(connect, question(), STOP, BROKEN).outcome == "ANSWERED"


def test_attributes_that_are_too_large_fail_the_step(connect: Connect, question: Ask) -> None:
    given = question(attributes={f"k{number}": "v" * 16_000 for number in range(5)})
    assert attempt(connect, given, NEVER) == Attempt(outcome="FAILED", code="INPUT_TOO_LARGE")


def test_without_a_calibrator_the_confidence_is_unknown(connect: Connect, question: Ask) -> None:
    given = attempt(connect, question(), STOP)
    assert (given.outcome, given.code, given.calibrated_confidence) == ("ANSWERED", "NO_CALIBRATOR", None)
    assert given.raw_confidence is None, "a rule has no score, and none is made up"


def test_a_calibrator_of_another_rule_is_none(connect: Connect, question: Ask, in_force: InForce) -> None:
    given = question(calibrators={"rules/large": in_force(Constant(0.99), "rules")})
    assert attempt(connect, given, STOP).code == "NO_CALIBRATOR"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"mapping": Identity()}, "EVIDENCE_MISMATCH"),
        ({"source": "primary"}, "EVIDENCE_MISMATCH"),
        ({"source": "secondary"}, "EVIDENCE_MISMATCH"),
        ({"model": "other"}, "EVIDENCE_MISMATCH"),
        ({"criterion": "polite"}, "EVIDENCE_MISMATCH"),
        ({"evidence": "logits"}, "EVIDENCE_MISMATCH"),
        ({"versions": ("large",)}, "MODEL_VERSION_UNCALIBRATED"),
        ({"confirmed_at": 0.0}, "CALIBRATOR_STALE"),
    ],
)
def test_a_calibrator_that_was_not_measured_on_this_rule_gives_no_confidence(
    connect: Connect, question: Ask, in_force: InForce, changed: dict[str, Any], code: str
) -> None:
    given = {"mapping": Constant(0.99), "source": "rules", **changed}
    calibrator = in_force(given.pop("mapping"), given.pop("source"), **given)
    result = attempt(connect, question(calibrators={"rules/stop": calibrator}), STOP)
    assert (result.outcome, result.code, result.calibrated_confidence) == ("ANSWERED", code, None)


def test_a_calibrator_can_be_bound_to_its_rule_by_name(
    connect: Connect, question: Ask, in_force: InForce
) -> None:
    bound = in_force(Constant(0.95), "rules", versions=("stop",))
    assert attempt(connect, question(calibrators={"rules/stop": bound}), STOP).calibrated_confidence == 0.95


def test_a_document_without_its_certificate_gives_no_confidence(
    connect: Connect, question: Ask, in_force: InForce
) -> None:
    given = in_force(Constant(0.99), "rules")
    bare = CalibratorInForce(
        calibrator=Calibrator(Constant(0.99)),
        reference=given.reference,
        uri=given.uri,
        in_force_since=given.in_force_since,
        confirmed_at=given.confirmed_at,
        from_cache=False,
    )
    assert attempt(connect, question(calibrators={"rules/stop": bare}), STOP).code == "EVIDENCE_MISMATCH"
