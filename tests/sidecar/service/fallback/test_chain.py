"""The failure table of the chain: each way in which a step can fail, and what the decision then is."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import msgspec
import pytest
from open_inference import model_infer_pb2 as pb

from calibrators import Constant, Identity
from sidecar.decision import conclusion
from sidecar.decision.steps import FallbackStep
from sidecar.decision.verdict import Verdict
from sidecar.policy.actions import Action, AnswerSource, Intent, Reason, TaskKind
from sidecar.policy.floors import FloorHit
from sidecar.policy.tables import ModelTable
from sidecar.service.fallback import chain
from sidecar.service.fallback.chain import Chain
from sidecar.service.fallback.steps import Attempt, Question
from sidecar.service.registry.slots import CalibratorInForce
from tests.sidecar.services import Concluded

Connect = Callable[..., Chain]
Ask = Callable[..., Question]
Describe = Callable[..., dict[str, Any]]
InForce = Callable[..., CalibratorInForce]
Decide = Callable[..., Verdict]
Server = Any

STOP = {"name": "stop", "when": 'attributes.keyword == "stop"', "answer": "unsubscribe"}
RAISING = {"name": "raising", "when": "attributes.missing > 1", "answer": "unsubscribe"}
NEVER = {"name": "never", "when": "false", "answer": "unsubscribe"}


@dataclass(frozen=True)
class Bench:
    """A request's way through the chain, as the router takes it."""

    table: ModelTable
    ask: Ask
    decide: Decide
    calibrators: dict[str, CalibratorInForce]

    def run(
        self,
        given: Chain,
        *,
        confidence: float | None = 0.6,
        category: str = "general",
        remaining_seconds: float | None = 10.0,
        intent: Intent = Intent.LIVE,
        floors: conclusion.FloorsBySource = conclusion.NO_FLOORS,
        clock: Callable[[], float] = time.monotonic,
        problem: Reason | None = None,
        **changed: Any,
    ) -> Concluded:
        verdict = self.decide(confidence, category, intent=intent, problem=problem)
        question = self.ask(category=category, **{"calibrators": self.calibrators, **changed})
        steps = chain.run(
            verdict,
            question,
            given,
            self.table.category(category),
            remaining_seconds=remaining_seconds,
            clock=clock,
            floors=floors,
        )
        concluded = conclusion.conclude(
            verdict,
            steps,
            category=self.table.category(category),
            chain=given.tables,
            floors=floors,
        )
        return Concluded(concluded, steps)


@pytest.fixture
def bench(table: ModelTable, question: Ask, verdict_of: Decide, in_force: InForce) -> Bench:
    return Bench(
        table,
        question,
        verdict_of,
        {
            "rules/stop": in_force(Constant(0.95), "rules"),
            "secondary": in_force(Identity(), "secondary", evidence="probabilities"),
        },
    )


def outcomes(given: Concluded) -> list[tuple[str, str, str]]:
    return [(step.step, step.outcome, step.code) for step in given.steps]


def rules(*entries: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {"step": "rules", "rules": list(entries), **changed}


def assert_held(given: Concluded) -> None:
    """What stands when no step cleared: the hold that the chain was started with, untouched."""
    assert given.verdict.action is Action.HOLD_FOR_REVIEW
    assert given.verdict.may_act is False
    assert given.verdict.tasks == (TaskKind.HOLD,)
    assert given.verdict.audit_rate == 0.0
    assert given.verdict.band == "hold"
    assert (given.source, given.final_class) == (AnswerSource.PRIMARY, "interested")


# --- When it works ---


def test_a_rule_clears(bench: Bench, connect: Connect, lying_server: Server, secondary: Describe) -> None:
    given = bench.run(connect(rules(STOP), secondary(lying_server.address)))
    assert outcomes(given) == [("rules", "CLEARED", "")]
    (step,) = given.steps
    assert (step.rule, step.answer_class, step.calibrated_confidence) == ("stop", "unsubscribe", 0.95)
    assert step.calibrator == bench.calibrators["rules/stop"].reference
    assert step.raw_confidence is None
    verdict = given.verdict
    assert (verdict.action, verdict.may_act, verdict.band) == (Action.AUTO_ROUTE, True, "auto")
    assert verdict.reasons == (Reason.BAND, Reason.RULE)
    assert (verdict.tasks, verdict.audit_rate) == ((), 0.05)
    assert (verdict.raw_confidence, verdict.calibrated_confidence) == (0.6, 0.6), (
        "the primary's, of its evidence"
    )
    assert (given.source, given.final_class) == (AnswerSource.RULES, "unsubscribe")
    assert not lying_server.requests, "the first step that clears ends the chain"


def test_the_secondary_clears(
    bench: Bench, connect: Connect, lying_server: Server, secondary: Describe
) -> None:
    given = bench.run(connect(rules(NEVER), secondary(lying_server.address)))
    assert outcomes(given) == [("rules", "NO_ANSWER", ""), ("secondary", "CLEARED", "")]
    assert given.verdict.may_act is True
    assert given.verdict.reasons == (Reason.BAND, Reason.SECONDARY)
    assert (given.source, given.final_class) == (AnswerSource.SECONDARY, "not_now")
    step = given.steps[1]
    assert (step.raw_confidence, step.calibrated_confidence) == (0.9, pytest.approx(0.9))
    assert 0.0 < step.duration_seconds < 10.0


def test_an_answer_that_acts_starts_no_chain(
    bench: Bench, connect: Connect, lying_server: Server, secondary: Describe
) -> None:
    for confidence in (0.95, 0.8):
        given = bench.run(connect(rules(STOP), secondary(lying_server.address)), confidence=confidence)
        assert given.steps == ()
        assert given.source is AnswerSource.PRIMARY
        assert given.verdict == bench.decide(confidence, "general")


def test_a_rejected_answer_can_be_cleared(bench: Bench, connect: Connect) -> None:
    given = bench.run(connect(rules(STOP)), confidence=0.2)
    assert (given.verdict.action, given.verdict.band) == (Action.AUTO_ROUTE, "auto")


@pytest.mark.parametrize(
    ("action", "confidence", "expected", "may_act", "tasks", "audit_rate"),
    [
        ("AUTO_ROUTE", 0.95, Action.AUTO_ROUTE, True, (), 0.05),
        ("AUTO_ROUTE", 0.8, Action.AUTO_ROUTE_FLAGGED, True, (TaskKind.BATCH,), 0.05),
        ("AUTO_ROUTE_FLAGGED", 0.95, Action.AUTO_ROUTE_FLAGGED, True, (TaskKind.BATCH,), 0.05),
        ("HOLD_FOR_REVIEW", 0.95, Action.HOLD_FOR_REVIEW, False, (TaskKind.HOLD,), 0.0),
        ("ESCALATE", 0.95, Action.ESCALATE, False, (TaskKind.ESCALATION,), 0.0),
        ("REJECT", 0.95, Action.REJECT, False, (), 0.05),
    ],
)
def test_the_stricter_of_the_rules_and_the_bands_action(
    bench: Bench,
    connect: Connect,
    in_force: InForce,
    action: str,
    confidence: float,
    expected: Action,
    may_act: bool,
    tasks: tuple[TaskKind, ...],
    audit_rate: float,
) -> None:
    calibrators = {"rules/stop": in_force(Constant(confidence), "rules")}
    given = bench.run(connect(rules({**STOP, "action": action})), calibrators=calibrators)
    assert outcomes(given) == [("rules", "CLEARED", "")]
    verdict = given.verdict
    assert (verdict.action, verdict.may_act, verdict.tasks) == (expected, may_act, tasks)
    assert verdict.audit_rate == audit_rate


def test_steps_run_in_the_bands_that_the_policy_names(bench: Bench, connect: Connect) -> None:
    subject = connect(rules(STOP, bands=["reject"]))
    held = bench.run(subject, confidence=0.6)
    assert held.steps == ()
    assert_held(held)
    assert bench.run(subject, confidence=0.2).verdict.action is Action.AUTO_ROUTE


def test_a_shadow_decision_runs_the_chain_and_never_acts(bench: Bench, connect: Connect) -> None:
    given = bench.run(connect(rules(STOP)), intent=Intent.SHADOW)
    assert outcomes(given) == [("rules", "CLEARED", "")]
    assert (given.verdict.action, given.verdict.may_act) == (Action.AUTO_ROUTE, False)
    assert given.verdict.tasks == ()


# --- When it does not: the failure table ---

Break = Callable[[Server], str]


def refuse(code: grpc.StatusCode) -> Break:
    def broken(server: Server) -> str:
        def behaviour(_: object, context: grpc.ServicerContext) -> pb.ModelInferResponse:
            context.abort(code, "as told")
            raise AssertionError

        server.behaviour = behaviour
        return str(server.address)

    return broken


def lie(*values: float, name: str = "probabilities") -> Break:
    def broken(server: Server) -> str:
        def behaviour(*_: object) -> pb.ModelInferResponse:
            response = pb.ModelInferResponse(model_name="backup", model_version="3")
            contents = pb.InferTensorContents(fp64_contents=values)
            response.outputs.add(name=name, datatype="FP64", shape=[1, len(values)], contents=contents)
            return response

        server.behaviour = behaviour
        return str(server.address)

    return broken


def hang(server: Server) -> str:
    server.behaviour = server.hang
    return str(server.address)


def down(server: Server) -> str:
    server.stop()
    return str(server.address)


def never_there(_: Server) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


FAULTS = [
    pytest.param(down, "UNAVAILABLE", id="down"),
    pytest.param(never_there, "UNAVAILABLE", id="never there"),
    pytest.param(hang, "DEADLINE_EXCEEDED", id="slow"),
    pytest.param(refuse(grpc.StatusCode.UNAVAILABLE), "UNAVAILABLE", id="not ready, KServe"),
    pytest.param(refuse(grpc.StatusCode.INVALID_ARGUMENT), "INVALID_ARGUMENT", id="not ready, MLServer"),
    pytest.param(refuse(grpc.StatusCode.NOT_FOUND), "NOT_FOUND", id="no such model"),
    pytest.param(refuse(grpc.StatusCode.INTERNAL), "INTERNAL", id="broken inside"),
    pytest.param(refuse(grpc.StatusCode.RESOURCE_EXHAUSTED), "RESOURCE_EXHAUSTED", id="overloaded"),
    pytest.param(refuse(grpc.StatusCode.UNIMPLEMENTED), "UNIMPLEMENTED", id="another service"),
    pytest.param(lie(float("nan"), 0.5, 0.5), "NOT_FINITE", id="lying, NaN"),
    pytest.param(lie(0.1, 0.9), "WRONG_SHAPE", id="lying, wrong shape"),
    pytest.param(lie(2.0, -0.5, -0.5), "OUT_OF_RANGE", id="lying, confidence 2.0"),
    pytest.param(lie(0.9, 0.9, 0.9), "NOT_NORMALISED", id="lying, sums to 2.7"),
    pytest.param(lie(0.1, 0.8, 0.1, name="other"), "MALFORMED_OUTPUT", id="lying, no such output"),
]


@pytest.mark.parametrize(("broken", "code"), FAULTS)
def test_a_secondary_that_fails_leaves_the_hold(
    bench: Bench, connect: Connect, lying_server: Server, secondary: Describe, broken: Break, code: str
) -> None:
    given = bench.run(connect(rules(NEVER), secondary(broken(lying_server), timeout="300ms")))
    assert outcomes(given) == [("rules", "NO_ANSWER", ""), ("secondary", "FAILED", code)]
    assert_held(given)
    assert given.verdict.reasons == (Reason.BAND,)


@pytest.mark.parametrize(("broken", "code"), FAULTS)
def test_a_mandatory_category_with_every_one_of_these(
    bench: Bench, connect: Connect, lying_server: Server, secondary: Describe, broken: Break, code: str
) -> None:
    address = broken(lying_server)
    subject = connect(rules(STOP), secondary(address, timeout="300ms"))
    for confidence in (0.99, 0.6, 0.1):
        given = bench.run(subject, confidence=confidence, category="legal_language", remaining_seconds=0.01)
        assert outcomes(given) == [
            ("rules", "SKIPPED", "MANDATORY_REVIEW"),
            ("secondary", "SKIPPED", "MANDATORY_REVIEW"),
        ]
        assert given.verdict.mandatory
        assert given.verdict.may_act is False
        assert given.verdict.action in (Action.HOLD_FOR_REVIEW, Action.ESCALATE)
        assert given.source is AnswerSource.PRIMARY
    assert not lying_server.requests


def test_rules_that_raise_leave_it_to_the_next_step(
    bench: Bench, connect: Connect, lying_server: Server, secondary: Describe
) -> None:
    given = bench.run(connect(rules(RAISING, STOP), secondary(lying_server.address)))
    assert outcomes(given) == [("rules", "FAILED", "VALUE_MISSING"), ("secondary", "CLEARED", "")]
    assert given.steps[0].rule == "raising"
    assert given.source is AnswerSource.SECONDARY


def test_rules_that_raise_and_nothing_else_leave_the_hold(bench: Bench, connect: Connect) -> None:
    given = bench.run(connect(rules(RAISING, STOP)))
    assert outcomes(given) == [("rules", "FAILED", "VALUE_MISSING")]
    assert_held(given)


def test_an_open_breaker_leaves_the_hold(
    bench: Bench, connect: Connect, lying_server: Server, secondary: Describe
) -> None:
    subject = connect(secondary(lying_server.address, breaker={"failures": 1, "open_for": "1m"}))
    refuse(grpc.StatusCode.INTERNAL)(lying_server)
    assert outcomes(bench.run(subject)) == [("secondary", "FAILED", "INTERNAL")]
    given = bench.run(subject)
    assert outcomes(given) == [("secondary", "SKIPPED", "BREAKER_OPEN")]
    assert_held(given)
    assert len(lying_server.requests) == 1


@pytest.mark.parametrize("remaining_seconds", [0.004, 0.0, -5.0])
def test_a_deadline_that_is_spent(
    bench: Bench, connect: Connect, lying_server: Server, secondary: Describe, remaining_seconds: float
) -> None:
    subject = connect(rules(STOP), secondary(lying_server.address))
    given = bench.run(subject, remaining_seconds=remaining_seconds)
    assert outcomes(given) == [("rules", "SKIPPED", "DEADLINE"), ("secondary", "SKIPPED", "DEADLINE")]
    assert_held(given)
    assert given.verdict.reasons == (Reason.BAND, Reason.DEADLINE)
    assert not lying_server.requests


def test_ten_milliseconds_are_enough_for_rules_and_too_little_for_a_secondary(
    bench: Bench, connect: Connect, lying_server: Server, secondary: Describe
) -> None:
    now = 1000.0
    cleared = bench.run(connect(rules(STOP)), remaining_seconds=0.01, clock=lambda: now)
    assert outcomes(cleared) == [("rules", "CLEARED", "")]
    given = bench.run(
        connect(rules(NEVER), secondary(lying_server.address)), remaining_seconds=0.01, clock=lambda: now
    )
    assert outcomes(given) == [("rules", "NO_ANSWER", ""), ("secondary", "SKIPPED", "DEADLINE")]
    assert_held(given)
    assert given.verdict.reasons == (Reason.BAND, Reason.DEADLINE)
    assert not lying_server.requests


def test_the_chain_is_back_before_the_callers_deadline(
    bench: Bench, connect: Connect, lying_server: Server, secondary: Describe
) -> None:
    hang(lying_server)
    subject = connect(rules(NEVER), secondary(lying_server.address, timeout="30s", deadline_share=0.5))
    began = time.monotonic()
    given = bench.run(subject, remaining_seconds=2.0)
    assert time.monotonic() - began < 2.0
    assert outcomes(given) == [("rules", "NO_ANSWER", ""), ("secondary", "FAILED", "DEADLINE_EXCEEDED")]
    assert_held(given)
    (told,) = lying_server.remaining
    assert told <= 1.0


def test_an_answer_after_the_deadline_clears_nothing(bench: Bench, connect: Connect, fake_clock: Any) -> None:
    class Late:
        def budget(self, remaining_seconds: float | None) -> float | None:
            return remaining_seconds

        def attempt(self, question: Question, budget_seconds: float) -> Attempt:  # noqa: ARG002
            fake_clock.advance(budget_seconds)
            return Attempt(
                outcome="ANSWERED", answer_class="not_now", raw_confidence=0.99, calibrated_confidence=0.99
            )

    subject = Chain(connect(rules(STOP)).tables, {"rules": Late()})
    given = bench.run(subject, remaining_seconds=1.0, clock=fake_clock)
    assert outcomes(given) == [("rules", "FAILED", "DEADLINE_EXCEEDED")]
    assert_held(given)


def test_a_step_that_raises_is_a_failed_step(
    bench: Bench, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def budget(self, remaining_seconds: float | None) -> float | None:
            return remaining_seconds

        def attempt(self, question: Question, budget_seconds: float) -> Attempt:  # noqa: ARG002
            raise RuntimeError("a bug of ours")

    given = bench.run(Chain(connect(rules(STOP)).tables, {"rules": Broken()}))
    assert outcomes(given) == [("rules", "FAILED", "INTERNAL_ERROR")]
    assert_held(given)
    assert [record.getMessage() for record in caplog.records] == ["fallback_step_failed"]


def test_a_step_that_nothing_stands_behind(bench: Bench, connect: Connect) -> None:
    given = bench.run(Chain(connect(rules(STOP)).tables))
    assert outcomes(given) == [("rules", "FAILED", "NOT_CONNECTED")]
    assert_held(given)


def test_a_confidence_that_nobody_measured_clears_nothing(
    bench: Bench, connect: Connect, lying_server: Server, secondary: Describe
) -> None:
    given = bench.run(connect(rules(STOP), secondary(lying_server.address)), calibrators={})
    assert outcomes(given) == [
        ("rules", "NOT_CLEARED", "NO_CALIBRATOR"),
        ("secondary", "NOT_CLEARED", "NO_CALIBRATOR"),
    ]
    assert [step.answer_class for step in given.steps] == ["unsubscribe", "not_now"]
    assert_held(given)


@pytest.mark.parametrize("confidence", [0.69, 0.5, 0.2])
def test_a_confidence_in_a_band_that_does_not_act_clears_nothing(
    bench: Bench, connect: Connect, in_force: InForce, confidence: float
) -> None:
    calibrators = {"rules/stop": in_force(Constant(confidence), "rules")}
    given = bench.run(connect(rules(STOP)), calibrators=calibrators)
    assert outcomes(given) == [("rules", "NOT_CLEARED", "BAND_NOT_AUTOMATIC")]
    assert_held(given)


# --- Floors ---


def test_a_confidence_in_a_mandatory_range_clears_nothing(
    bench: Bench, connect: Connect, in_force: InForce
) -> None:
    subject = connect(rules(STOP))
    inside = {"rules/stop": in_force(Constant(0.94), "rules")}
    given = bench.run(subject, category="refunds", calibrators=inside)
    assert outcomes(given) == [("rules", "NOT_CLEARED", "MANDATORY_REVIEW")]
    assert_held(given)
    outside = {"rules/stop": in_force(Constant(0.97), "rules")}
    assert bench.run(subject, category="refunds", calibrators=outside).verdict.may_act is True


def test_a_primary_answer_in_a_mandatory_range_skips_every_step(bench: Bench, connect: Connect) -> None:
    given = bench.run(connect(rules(STOP)), confidence=0.94, category="refunds")
    assert outcomes(given) == [("rules", "SKIPPED", "MANDATORY_REVIEW")]
    assert (given.verdict.action, given.verdict.may_act) == (Action.HOLD_FOR_REVIEW, False)


def test_a_category_that_is_not_listed_skips_every_step(bench: Bench, connect: Connect) -> None:
    given = bench.run(connect(rules(STOP)), category="whatever")
    assert outcomes(given) == [("rules", "SKIPPED", "UNKNOWN_CATEGORY")]
    assert_held(given)


@pytest.mark.parametrize(
    ("confidence", "problem"),
    [
        (None, Reason.NO_CALIBRATOR),
        (None, Reason.TRUNCATED_GENERATION),
        (None, Reason.EVIDENCE_MISMATCH),
        (0.6, Reason.CALIBRATOR_STALE),
    ],
)
def test_an_answer_that_nothing_is_known_about_skips_every_step(
    bench: Bench, connect: Connect, confidence: float | None, problem: Reason
) -> None:
    given = bench.run(connect(rules(STOP)), confidence=confidence, problem=problem)
    assert outcomes(given) == [("rules", "SKIPPED", problem.value)]
    assert (given.verdict.action, given.verdict.may_act) == (Action.HOLD_FOR_REVIEW, False)


SUSPENDED = FloorHit(
    floor="suspension:7",
    reason=Reason.SUSPENDED,
    permitted=(Action.HOLD_FOR_REVIEW, Action.ESCALATE, Action.UNCERTAIN),
)
NO_AUTO_ROUTE = FloorHit(
    floor="suspension:8",
    reason=Reason.SUSPENDED,
    permitted=tuple(action for action in Action if action is not Action.AUTO_ROUTE),
)


def test_a_suspended_source_is_skipped_and_the_next_one_is_not(
    bench: Bench, connect: Connect, lying_server: Server, secondary: Describe
) -> None:
    given = bench.run(
        connect(rules(STOP), secondary(lying_server.address)), floors={AnswerSource.RULES: (SUSPENDED,)}
    )
    assert outcomes(given) == [("rules", "SKIPPED", "SUSPENDED"), ("secondary", "CLEARED", "")]
    assert given.verdict.floors == ()


def test_a_floor_that_forbids_the_action_leaves_the_hold_and_names_itself(
    bench: Bench, connect: Connect
) -> None:
    floors = {AnswerSource.RULES: (NO_AUTO_ROUTE,)}
    given = bench.run(connect(rules(STOP)), floors=floors)
    assert outcomes(given) == [("rules", "NOT_CLEARED", "SUSPENDED")]
    assert_held(given)
    milder = bench.run(connect(rules({**STOP, "action": "AUTO_ROUTE_FLAGGED"})), floors=floors)
    assert milder.verdict.action is Action.AUTO_ROUTE_FLAGGED
    assert milder.verdict.floors == (NO_AUTO_ROUTE,)


def test_steps_are_records_that_read_back(bench: Bench, connect: Connect) -> None:
    given = bench.run(connect(rules(STOP)))
    data = msgspec.json.encode(given.steps)
    assert msgspec.json.decode(data, type=tuple[FallbackStep, ...]) == given.steps
