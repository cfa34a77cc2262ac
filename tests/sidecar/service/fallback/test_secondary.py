"""The secondary model's client against a real gRPC server that is down, slow, or lies."""

import socket
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from open_inference import model_infer_pb2 as pb

from calibrators import Identity, Temperature
from calibrators.maps import VectorTemperature
from sidecar.service.fallback.chain import Chain
from sidecar.service.fallback.secondary import SecondaryModel
from sidecar.service.fallback.steps import Attempt, Question
from sidecar.service.registry.slots import CalibratorInForce

Connect = Callable[..., Chain]
Ask = Callable[..., Question]
Describe = Callable[..., dict[str, Any]]
InForce = Callable[..., CalibratorInForce]
Server = Any


def step_of(chain: Chain) -> SecondaryModel:
    assert chain.steps is not None
    step = chain.steps["secondary"]
    assert isinstance(step, SecondaryModel)
    return step


def aborting(code: grpc.StatusCode) -> Callable[[object, grpc.ServicerContext], pb.ModelInferResponse]:
    def behaviour(_: object, context: grpc.ServicerContext) -> pb.ModelInferResponse:
        context.abort(code, "as told")
        raise AssertionError

    return behaviour


def test_an_answer_with_its_calibrator(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask, in_force: InForce
) -> None:
    calibrator = in_force(VectorTemperature(1.0), "secondary", evidence="probabilities", versions=("3",))
    step = step_of(connect(secondary(lying_server.address, version="3")))
    attempt = step.attempt(question(calibrators={"secondary": calibrator}), 5.0)
    assert attempt == Attempt(
        outcome="ANSWERED",
        answer_class="not_now",
        raw_confidence=0.9,
        calibrated_confidence=pytest.approx(0.9),
        calibrator=calibrator.reference,
    )
    (request,) = lying_server.requests
    assert (request.model_name, request.model_version) == ("backup", "3")
    assert request.inputs[0].contents.bytes_contents[0] == b"please stop"


def test_without_a_calibrator_it_answers_and_nothing_is_known_of_it(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask
) -> None:
    attempt = step_of(connect(secondary(lying_server.address))).attempt(question(), 5.0)
    assert (attempt.outcome, attempt.code) == ("ANSWERED", "NO_CALIBRATOR")
    assert (attempt.raw_confidence, attempt.calibrated_confidence) == (0.9, None)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"evidence": "logits"}, "EVIDENCE_MISMATCH"),
        ({"source": "primary"}, "EVIDENCE_MISMATCH"),
        ({"versions": ("2",)}, "MODEL_VERSION_UNCALIBRATED"),
        ({"confirmed_at": 0.0}, "CALIBRATOR_STALE"),
    ],
)
def test_a_calibrator_of_something_else_gives_no_confidence(
    connect: Connect,
    lying_server: Server,
    secondary: Describe,
    question: Ask,
    in_force: InForce,
    changed: dict[str, Any],
    code: str,
) -> None:
    given = {"source": "secondary", "evidence": "probabilities", **changed}
    calibrator = in_force(Temperature(1.0), given.pop("source"), **given)
    attempt = step_of(connect(secondary(lying_server.address))).attempt(
        question(calibrators={"secondary": calibrator}), 5.0
    )
    assert (attempt.outcome, attempt.code, attempt.calibrated_confidence) == ("ANSWERED", code, None)


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK], ids=lambda code: code.name
)
def test_every_status_fails_with_its_name(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask, code: grpc.StatusCode
) -> None:
    lying_server.behaviour = aborting(code)
    attempt = step_of(connect(secondary(lying_server.address))).attempt(question(), 5.0)
    assert attempt == Attempt(outcome="FAILED", code=code.name)


def test_a_server_that_raises(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask
) -> None:
    def raising(*_: object) -> pb.ModelInferResponse:
        raise RuntimeError("a secret of the server")

    lying_server.behaviour = raising
    attempt = step_of(connect(secondary(lying_server.address))).attempt(question(), 5.0)
    assert attempt == Attempt(outcome="FAILED", code="UNKNOWN")


def test_nobody_listens(connect: Connect, secondary: Describe, question: Ask) -> None:
    with socket.socket() as taken:  # bound, and so nobody else's, but never listening
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        attempt = step_of(connect(secondary(address))).attempt(question(), 5.0)
    assert attempt == Attempt(outcome="FAILED", code="UNAVAILABLE")


def test_something_that_is_no_grpc_server(connect: Connect, secondary: Describe, question: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        attempt = step_of(connect(secondary(f"127.0.0.1:{listener.getsockname()[1]}"))).attempt(
            question(), 5.0
        )
        thread.join()
    assert (attempt.outcome, attempt.code) == ("FAILED", "UNAVAILABLE")


def test_a_server_that_hangs_costs_no_more_than_its_budget(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask
) -> None:
    lying_server.behaviour = lying_server.hang
    attempt = step_of(connect(secondary(lying_server.address))).attempt(question(), 0.3)
    # It is still hanging: had the client waited for it, this line would not have been reached.
    assert not lying_server.released.is_set()
    assert attempt == Attempt(outcome="FAILED", code="DEADLINE_EXCEEDED")
    (told,) = lying_server.remaining
    assert told <= 0.301, "gRPC tells a deadline in whole milliseconds, rounded up"


def test_an_answer_without_end(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask, answer: Any
) -> None:
    lying_server.behaviour = lambda *_: answer(*[1e-6] * 200_000)
    attempt = step_of(connect(secondary(lying_server.address))).attempt(question(), 5.0)
    assert attempt == Attempt(outcome="FAILED", code="RESOURCE_EXHAUSTED")


def test_another_version_than_the_one_that_was_asked_for(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask
) -> None:
    attempt = step_of(connect(secondary(lying_server.address, version="2"))).attempt(question(), 5.0)
    assert attempt == Attempt(outcome="FAILED", code="WRONG_VERSION")


def test_the_version_that_answered_is_the_one_that_is_calibrated(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask, in_force: InForce, answer: Any
) -> None:
    calibrator = in_force(Identity(), "secondary", evidence="probabilities", versions=("3",))
    step = step_of(connect(secondary(lying_server.address)))
    asked = question(calibrators={"secondary": calibrator})
    assert step.attempt(asked, 5.0).code == ""

    def upgraded(*_: object) -> pb.ModelInferResponse:
        given: pb.ModelInferResponse = answer(0.05, 0.9, 0.05)
        given.model_version = "4"
        return given

    lying_server.behaviour = upgraded
    assert step.attempt(asked, 5.0).code == "MODEL_VERSION_UNCALIBRATED"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ((float("nan"), 0.5, 0.5), "NOT_FINITE"),
        ((0.5, 0.5), "WRONG_SHAPE"),
        ((2.0, -0.5, -0.5), "OUT_OF_RANGE"),
        ((0.3, 0.3, 0.3), "NOT_NORMALISED"),
    ],
)
def test_lies_open_the_breaker_and_the_truth_closes_it(
    connect: Connect,
    lying_server: Server,
    secondary: Describe,
    question: Ask,
    answer: Any,
    fake_clock: Any,
    values: tuple[float, ...],
    code: str,
) -> None:
    step = step_of(connect(secondary(lying_server.address, breaker={"failures": 2, "open_for": "10s"})))
    lying_server.behaviour = lambda *_: answer(*values)
    assert [step.attempt(question(), 5.0) for _ in range(2)] == [Attempt(outcome="FAILED", code=code)] * 2
    assert step.is_left_alone
    lying_server.behaviour = lambda *_: answer(0.05, 0.9, 0.05)
    assert step.attempt(question(), 5.0) == Attempt(outcome="SKIPPED", code="BREAKER_OPEN")
    assert len(lying_server.requests) == 2, "an open breaker calls nobody"
    fake_clock.advance(10.0)
    assert step.attempt(question(), 5.0).outcome == "ANSWERED"
    assert not step.is_left_alone


def test_what_one_odd_request_brings_about_leaves_the_breaker_closed(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask
) -> None:
    step = step_of(connect(secondary(lying_server.address, breaker={"failures": 1})))
    assert step.attempt(question(context={}), 5.0) == Attempt(outcome="FAILED", code="INPUT_MISSING")
    assert not lying_server.requests, "there was nothing to ask"
    lying_server.behaviour = aborting(grpc.StatusCode.INVALID_ARGUMENT)
    assert step.attempt(question(), 5.0).code == "INVALID_ARGUMENT"
    lying_server.behaviour = lying_server.hang
    assert step.attempt(question(), 0.05).code == "DEADLINE_EXCEEDED"
    assert not step.is_left_alone


def test_slow_for_most_of_the_time_out_opens_the_breaker(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask
) -> None:
    step = step_of(connect(secondary(lying_server.address, timeout="400ms", breaker={"failures": 1})))
    lying_server.behaviour = lying_server.hang
    assert step.attempt(question(), 0.2).code == "DEADLINE_EXCEEDED"
    assert step.is_left_alone


@pytest.mark.parametrize(
    ("remaining", "budget"),
    [
        (None, 0.2),
        (10.0, 0.2),
        (0.11, 0.05),
        (0.03, 0.01),
        (0.02, 0.005),
        (0.019, None),
        (0.01, None),
        (0.0, None),
        (-1.0, None),
    ],
)
def test_the_slice_of_the_callers_time(
    connect: Connect, secondary: Describe, remaining: float | None, budget: float | None
) -> None:
    step = step_of(connect(secondary("127.0.0.1:1", timeout="200ms", deadline_share=0.5)))
    given = step.budget(remaining)
    assert given == (None if budget is None else pytest.approx(budget))


def test_one_channel_serves_many_threads(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask
) -> None:
    step = step_of(connect(secondary(lying_server.address, timeout="30s")))
    attempts: list[Attempt] = []
    threads = [
        threading.Thread(target=lambda: attempts.extend(step.attempt(question(), 30.0) for _ in range(10)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [attempt.outcome for attempt in attempts] == ["ANSWERED"] * 80


def test_a_closed_connection_fails_as_cancelled(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask
) -> None:
    step = step_of(connect(secondary(lying_server.address)))
    step.close()
    assert step.attempt(question(), 5.0) == Attempt(outcome="FAILED", code="CANCELLED")


def test_closing_lets_open_calls_end_and_takes_no_more(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask
) -> None:
    step = step_of(connect(secondary(lying_server.address, timeout="30s")))
    arrived = threading.Event()

    def hang(*arguments: object) -> pb.ModelInferResponse:
        arrived.set()
        response: pb.ModelInferResponse = lying_server.hang(*arguments)
        return response

    lying_server.behaviour = hang
    attempts: list[Attempt] = []
    thread = threading.Thread(target=lambda: attempts.append(step.attempt(question(), 30.0)))
    thread.start()
    assert arrived.wait(30)
    step.close()
    assert step.attempt(question(), 30.0) == Attempt(outcome="FAILED", code="CANCELLED")
    lying_server.released.set()
    thread.join()
    assert [attempt.outcome for attempt in attempts] == ["ANSWERED"]


def test_closing_under_the_calls_of_many_threads(
    connect: Connect, lying_server: Server, secondary: Describe, question: Ask
) -> None:
    for _ in range(10):
        step = step_of(connect(secondary(lying_server.address, timeout="30s", breaker={"failures": 1000})))
        begun = threading.Barrier(5)
        outcomes: list[str] = []

        def ask(
            step: SecondaryModel = step,
            begun: threading.Barrier = begun,
            outcomes: list[str] = outcomes,
        ) -> None:
            begun.wait()
            for _ in range(50):
                attempt = step.attempt(question(), 30.0)
                outcomes.append(attempt.code if attempt.outcome == "FAILED" else attempt.outcome)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        begun.wait()
        while not outcomes:
            pass
        step.close()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 200
        assert set(outcomes) == {"ANSWERED", "CANCELLED"}
