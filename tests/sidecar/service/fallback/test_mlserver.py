"""The secondary step against a real server of the protocol: MLServer, in an environment of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from open_inference import model_infer_pb2 as pb
from open_inference import model_infer_pb2_grpc

from calibrators import Identity
from calibrators.maps import VectorTemperature
from sidecar.decision import conclusion
from sidecar.decision.verdict import Verdict
from sidecar.policy.actions import Action, AnswerSource
from sidecar.policy.tables import ModelTable
from sidecar.service.fallback import chain
from sidecar.service.fallback.chain import Chain
from sidecar.service.fallback.steps import Attempt, Question
from sidecar.service.registry.slots import CalibratorInForce

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[4]
START_SECONDS = 120.0

# What a user would write: a custom runtime, here with answers in each form that MLServer's own ones use.
RUNTIME = """
import asyncio
import json

import numpy
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceResponse, Parameters, ResponseOutput

CLASSES = ["interested", "not_now", "unsubscribe"]


class Words(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        wanted = self.settings.parameters.extra["form"]
        if wanted == "slow":
            await asyncio.sleep(30)
        if wanted == "broken":
            raise RuntimeError("a secret of the runtime")
        if wanted == "table":
            row = NumpyCodec.decode_input(payload.inputs[0])
            logits = numpy.array([[row[0][0] / 10.0, 0.0, float(row[0][1])]], dtype=numpy.float32)
            return self.answer(NumpyCodec.encode_output("logits", logits))
        text = StringCodec.decode_input(payload.inputs[0])[0]
        probabilities = numpy.array([[0.02, 0.03, 0.95] if "stop" in text else [0.5, 0.3, 0.2]])
        if wanted == "not finite":
            probabilities[0][0] = numpy.nan
        best = int(probabilities[0].argmax())
        if wanted == "doubled":
            probabilities *= 2
        if wanted == "label":
            return self.answer(
                StringCodec.encode_output("label", [CLASSES[best]]),
                NumpyCodec.encode_output("score", probabilities.max(axis=1)),
            )
        if wanted == "json":
            item = {"label": CLASSES[best], "score": float(probabilities[0][best])}
            data = json.dumps(item).encode()
            # As mlserver-huggingface does it: the length of the text for a shape.
            return self.answer(
                ResponseOutput(
                    name="output",
                    datatype="BYTES",
                    shape=[len(data), 1],
                    data=[data],
                    parameters=Parameters(content_type="hg_json"),
                )
            )
        return self.answer(NumpyCodec.encode_output("probabilities", probabilities))

    def answer(self, *outputs):
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=list(outputs))
"""
FORMS = ("probabilities", "table", "label", "json", "slow", "broken", "doubled", "not finite")


@dataclass(frozen=True)
class MlServer:
    """A running server."""

    address: str
    version: str


def environment() -> Path:
    """The Python that has MLServer."""
    named = os.environ.get("TRUEBAND_TEST_MLSERVER")
    python = Path(named) if named else ROOT / ".venv-mlserver" / "bin" / "python"
    if not python.exists():
        pytest.skip(
            "MLServer is not there: it needs an environment of its own "
            "(python -m venv .venv-mlserver; .venv-mlserver/bin/pip install mlserver), whose python "
            "TRUEBAND_TEST_MLSERVER may name"
        )
    return python


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlServer]:
    python = environment()
    home = tmp_path_factory.mktemp("mlserver")
    (home / "words.py").write_text(RUNTIME)
    http, rpc, metrics = free_ports(3)
    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": rpc,
        "metrics_port": metrics,
        "metrics_endpoint": None,
        "parallel_workers": 0,
    }
    (home / "settings.json").write_text(json.dumps(settings))
    for form in FORMS:
        folder = home / form.replace(" ", "_")
        folder.mkdir()
        described = {
            "name": folder.name,
            "implementation": "words.Words",
            "parameters": {"version": "v7", "extra": {"form": form}},
        }
        (folder / "model-settings.json").write_text(json.dumps(described))
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(python, "-c", "from mlserver.cli import main; main()"),
                *("start", str(home)),
            ],
            cwd=home,
            env={**os.environ, "PYTHONPATH": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await_ready(f"127.0.0.1:{rpc}", process, home / "server.log")
        yield MlServer(f"127.0.0.1:{rpc}", "v7")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def await_ready(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Waits until the last of the models answers, with whatever status."""
    request = pb.ModelInferRequest(model_name="not_finite")
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with grpc.insecure_channel(address) as channel:
            call = model_infer_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(
                request, timeout=1.0
            )
            code = call.code()  # waits
        if code not in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.NOT_FOUND,
        ):
            return
        time.sleep(0.2)
    raise RuntimeError(f"MLServer did not start: {log.read_text(errors='replace')[-3000:]}")


@pytest.fixture
def attempt(
    mlserver: MlServer,
    connect: Callable[..., Chain],
    secondary: Callable[..., dict[str, Any]],
    question: Callable[..., Question],
) -> Callable[..., Attempt]:
    def tried(model: str, *, budget: float = 10.0, asked: Question | None = None, **changed: Any) -> Attempt:
        steps = connect(secondary(mlserver.address, model=model, timeout="20s", **changed)).steps
        assert steps is not None
        return steps["secondary"].attempt(asked or question(), budget)

    return tried


TEXT = [{"name": "text", "datatype": "BYTES", "from": "context.text", "content_type": "str"}]


def test_probabilities(attempt: Callable[..., Attempt]) -> None:
    given = attempt("probabilities", inputs=TEXT)
    assert (given.outcome, given.answer_class, given.code) == ("ANSWERED", "unsubscribe", "NO_CALIBRATOR")
    assert given.raw_confidence == 0.95


def test_logits_from_a_row_of_a_table(attempt: Callable[..., Attempt]) -> None:
    row = {"name": "row", "datatype": "FP64", "from": ["attributes.amount", "raw_confidence"]}
    given = attempt("table", inputs=[row], output={"meaning": "logits", "name": "logits"})
    assert (given.outcome, given.answer_class) == ("ANSWERED", "interested")
    assert given.raw_confidence == pytest.approx(0.9789, abs=1e-3)  # softmax of 5, 0 and 0.8


def test_a_label_and_a_score(attempt: Callable[..., Attempt]) -> None:
    output = {"meaning": "label_and_score", "label": "label", "score": "score"}
    given = attempt("label", inputs=TEXT, output=output)
    assert (given.outcome, given.answer_class, given.raw_confidence) == ("ANSWERED", "unsubscribe", 0.95)


def test_json_as_of_the_hugging_face_runtime(attempt: Callable[..., Attempt]) -> None:
    given = attempt("json", inputs=TEXT, output={"meaning": "json_label_and_score", "name": "output"})
    assert (given.outcome, given.answer_class, given.raw_confidence) == ("ANSWERED", "unsubscribe", 0.95)


@pytest.mark.parametrize(
    ("model", "changed", "code"),
    [
        ("nobody", {}, "NOT_FOUND"),
        ("probabilities", {"version": "v8"}, "NOT_FOUND"),
        ("broken", {}, "INTERNAL"),
        ("doubled", {}, "OUT_OF_RANGE"),
        ("not_finite", {}, "INTERNAL"),  # MLServer cannot put a NaN into a typed tensor
        ("probabilities", {"classes": ["interested", "not_now"]}, "WRONG_SHAPE"),
        ("probabilities", {"output": {"meaning": "logits", "name": "logits"}}, "MALFORMED_OUTPUT"),
    ],
)
def test_what_goes_wrong(
    attempt: Callable[..., Attempt], model: str, changed: dict[str, Any], code: str
) -> None:
    assert attempt(model, inputs=TEXT, **changed) == Attempt(outcome="FAILED", code=code)


def test_slow(attempt: Callable[..., Attempt]) -> None:
    assert attempt("slow", budget=0.3, inputs=TEXT) == Attempt(outcome="FAILED", code="DEADLINE_EXCEEDED")


def test_the_version_is_the_servers(
    attempt: Callable[..., Attempt],
    question: Callable[..., Question],
    in_force: Callable[..., CalibratorInForce],
    mlserver: MlServer,
) -> None:
    for versions, code in (((mlserver.version,), ""), (("v6",), "MODEL_VERSION_UNCALIBRATED")):
        calibrator = in_force(Identity(), "secondary", evidence="probabilities", versions=versions)
        asked = question(calibrators={"secondary": calibrator})
        assert attempt("probabilities", inputs=TEXT, asked=asked).code == code


def test_a_held_answer_is_cleared_by_a_real_secondary(
    mlserver: MlServer,
    connect: Callable[..., Chain],
    secondary: Callable[..., dict[str, Any]],
    question: Callable[..., Question],
    verdict_of: Callable[..., Verdict],
    in_force: Callable[..., CalibratorInForce],
    table: ModelTable,
) -> None:
    subject = connect(secondary(mlserver.address, model="probabilities", inputs=TEXT, timeout="20s"))
    calibrator = in_force(VectorTemperature(1.5), "secondary", evidence="probabilities")
    category = table.category("general")
    for text, action in (("please stop", Action.AUTO_ROUTE_FLAGGED), ("hm", Action.HOLD_FOR_REVIEW)):
        verdict = verdict_of(0.6)
        steps = chain.run(
            verdict,
            question(context={"text": text}, calibrators={"secondary": calibrator}),
            subject,
            category,
            remaining_seconds=40.0,
            clock=time.monotonic,
        )
        given = conclusion.conclude(verdict, steps, category=category, chain=subject.tables)
        assert given.action is action
        cleared = action is Action.AUTO_ROUTE_FLAGGED
        assert given.source is (AnswerSource.SECONDARY if cleared else AnswerSource.PRIMARY)
        assert steps[0].code == ("" if cleared else "BAND_NOT_AUTOMATIC")
