"""A secondary model that does whatever a test tells it to, and the values that a chain is asked about."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import pydantic
import pytest
from open_inference import model_infer_pb2 as pb
from open_inference import model_infer_pb2_grpc

from calibrators import AppliesTo, Calibrator
from calibrators.calibrator import Map
from calibrators.evidence import Evidence
from sidecar.decision.decide import Assessment, settle
from sidecar.decision.steps import CalibratorReference
from sidecar.decision.verdict import Verdict
from sidecar.policy import fallback, model
from sidecar.policy.actions import Intent
from sidecar.policy.tables import ModelTable, compile_policy
from sidecar.service.fallback.chain import Chain
from sidecar.service.fallback.connections import Connections
from sidecar.service.fallback.steps import Question
from sidecar.service.registry.slots import CalibratorInForce

NOW = 1_700_000_000.0
CLASSES = ("interested", "not_now", "unsubscribe")
POLICY = {
    "version": 1,
    "models": {
        "lead": {
            "calibrator": "file:primary.json",
            "evidence": "score",
            "classes": list(CLASSES),
            "bands": [
                {"name": "auto", "from": 0.9, "action": "AUTO_ROUTE", "audit_rate": 0.05},
                {"name": "flagged", "from": 0.7, "action": "AUTO_ROUTE_FLAGGED", "review": "next_day"},
                {"name": "hold", "from": 0.5, "action": "HOLD_FOR_REVIEW"},
                {"name": "reject", "from": 0.0, "action": "REJECT", "audit_rate": 0.02},
            ],
            "categories": {
                "general": {},
                "refunds": {"mandatory_review": [{"from": 0.92, "to": 0.96}]},
                "legal_language": {"mandatory_review": True},
            },
        }
    },
}

Behaviour = Callable[[pb.ModelInferRequest, grpc.ServicerContext], pb.ModelInferResponse]


def probabilities(*values: float, name: str = "probabilities") -> pb.ModelInferResponse:
    response = pb.ModelInferResponse(model_name="backup", model_version="3")
    response.outputs.add(
        name=name,
        datatype="FP64",
        shape=[1, len(values)],
        contents=pb.InferTensorContents(fp64_contents=values),
    )
    return response


class LyingServer(model_infer_pb2_grpc.GRPCInferenceServiceServicer):
    """A real gRPC server on loopback whose one model answers as `behaviour` says, and counts its calls."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = lambda *_: probabilities(0.05, 0.9, 0.05)
        self.requests: list[pb.ModelInferRequest] = []
        self.remaining: list[float] = []
        self.released = threading.Event()
        self._pool = futures.ThreadPoolExecutor(4)
        self._server = grpc.server(self._pool)
        model_infer_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def ModelInfer(  # noqa: N802 (the protocol's name)
        self, request: pb.ModelInferRequest, context: grpc.ServicerContext
    ) -> pb.ModelInferResponse:
        self.requests.append(request)
        self.remaining.append(context.time_remaining() or 0.0)
        return self.behaviour(request, context)

    def hang(self, *_: object) -> pb.ModelInferResponse:
        """Answers too late for anybody."""
        self.released.wait(60)
        return probabilities(0.05, 0.9, 0.05)

    def stop(self) -> None:
        self.released.set()
        self._server.stop(0).wait()
        self._pool.shutdown()


@pytest.fixture
def lying_server() -> Iterator[LyingServer]:
    server = LyingServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def answer() -> Callable[..., pb.ModelInferResponse]:
    """A well-formed answer: `answer(0.1, 0.9)`."""
    return probabilities


@pytest.fixture(scope="session")
def table() -> ModelTable:
    return compile_policy(model.Policy.model_validate(POLICY))["lead"]


@pytest.fixture(scope="session")
def verdict_of(table: ModelTable) -> Callable[..., Verdict]:
    """The verdict on a calibrated confidence: `verdict_of(0.6, "general")`."""

    def decided(
        confidence: float | None, category: str = "general", *, intent: Intent = Intent.LIVE, **problem: Any
    ) -> Verdict:
        return settle(Assessment(confidence, confidence, **problem), category, intent, table)

    return decided


@pytest.fixture(scope="session")
def in_force() -> Callable[..., CalibratorInForce]:
    """A calibrator of a source in force: `in_force(Constant(0.95), "rules", evidence="score")`."""

    def made(
        mapping: Map,
        source: str,
        *,
        evidence: str = "score",
        model: str = "lead",
        versions: tuple[str, ...] | None = None,
        criterion: str = "correct",
        confirmed_at: float = NOW,
    ) -> CalibratorInForce:
        applies_to = AppliesTo(
            model=model,
            model_versions=versions,
            source=source,  # type: ignore[arg-type]  # the class checks it
            evidence=evidence,  # type: ignore[arg-type]
            criterion=criterion,
        )
        calibrator = Calibrator(mapping, applies_to=applies_to)
        return CalibratorInForce(
            calibrator=calibrator,
            reference=CalibratorReference(
                name=f"{source}-calibrator", version="4", kind=calibrator.kind, digest=calibrator.digest
            ),
            uri=f"models:/{source}-calibrator@champion",
            in_force_since=confirmed_at,
            confirmed_at=confirmed_at,
            from_cache=False,
        )

    return made


@pytest.fixture(scope="session")
def question() -> Callable[..., Question]:
    """A question about a held answer; keyword arguments change it."""

    def asked(**changed: Any) -> Question:
        given = {
            "category": "general",
            "predicted_class": "interested",
            "raw_confidence": 0.8,
            "calibrated_confidence": 0.6,
            "attributes": {"keyword": "stop", "amount": 50.0},
            "context": {"text": "please stop"},
            "calibrators": {},
            "now": NOW,
        }
        return Question(**{**given, **changed})

    return asked


@dataclass
class FakeClock:
    """Seconds that go forward when told to."""

    now: float = 1000.0
    ticks: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def fake_clock() -> FakeClock:
    return FakeClock()


@dataclass(frozen=True)
class Entry:
    """A model's section of the policy, as far as a chain reads it."""

    fallback: tuple[fallback.Step, ...]
    classes: tuple[str, ...] = CLASSES
    criterion: str = "correct"
    stale: model.Stale = field(default_factory=model.Stale)


CHAIN: pydantic.TypeAdapter[tuple[fallback.Step, ...]] = pydantic.TypeAdapter(fallback.Chain)


@pytest.fixture(scope="session")
def entry() -> Callable[..., Entry]:
    """A model with a chain: `entry({"step": "rules", ...})`."""
    return lambda *steps, **changed: Entry(CHAIN.validate_python(list(steps)), **changed)


@pytest.fixture(scope="session")
def secondary() -> Callable[..., dict[str, Any]]:
    """A step `secondary` as in a policy: `secondary(address, timeout="1s")`."""

    def described(address: str, **changed: Any) -> dict[str, Any]:
        return {
            "step": "secondary",
            "address": address,
            "model": "backup",
            "inputs": [{"name": "text", "datatype": "BYTES", "from": "context.text"}],
            "output": {"name": "probabilities", "meaning": "probabilities"},
            "timeout": "5s",
            **changed,
        }

    return described


@pytest.fixture
def connect(entry: Callable[..., Entry], fake_clock: FakeClock) -> Iterator[Callable[..., Chain]]:
    """The chain of a model with these steps, connected; closed at the end."""
    opened: list[Connections] = []

    def connected(*steps: dict[str, Any], **changed: Any) -> Chain:
        connections = Connections(clock=fake_clock)
        opened.append(connections)
        connections.put_in_force(connections.prepare({"lead": entry(*steps, **changed)}))
        return connections.chains()["lead"]

    yield connected
    for connections in opened:
        connections.close()


@pytest.fixture(scope="session")
def score() -> Callable[[float], Evidence]:
    return lambda value: Evidence("score", (value,))
