"""Real sidecar processes, each over a folder of its own: started, asked, stopped or killed, started again."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from trueband.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    decision_pb2_grpc,
    evidence_pb2,
    label_pb2_grpc,
    review_pb2_grpc,
    routing_pb2,
    routing_pb2_grpc,
)

import calibrators
from calibrators import AppliesTo, Calibrator, Identity, Map
from sidecar.ledger.snapshot import open_snapshot
from sidecar.ledger.store import Ledger

PATIENCE_SECONDS = 150.0
"""For what must come true; below the limit of a test, so that the message says what was missing."""

DEADLINE_SECONDS = 120.0
POLICY = """
version: 1
models:
  leads:
    calibrator: file:{home}/leads.json
    evidence: score
    categories:
      general: {{}}
      refunds: {{audit_rate: 1.0}}
      pricing: {{mandatory_review: true}}
"""
NEVER = (
    *("unhandled_exception", "mandatory_guard", "refresh_failed", "policy_watch_failed"),
    *("calibrator_refresh_failed", "journal_records_missing", "record_refused", "journal_sync_failed"),
)
"""Events that no test here may cause."""

IMPATIENT = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.max_send_message_length", -1),
)


class Sidecar:
    """A sidecar in a folder. `start` may be called again after `stop`, `kill` or `wait`."""

    def __init__(self, home: Path, policy: str, settings: dict[str, str]) -> None:
        self.home = home
        self.policy = home / "policy.yaml"
        self.data_dir = home / "data"
        self.address = f"unix:{home}/api"
        self.log = home / "server.log"
        self._settings = {"TRUEBAND_POLL_INTERVAL": "0.1", "TRUEBAND_POLICY_POLL_INTERVAL": "0.1"} | settings
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: grpc.Channel | None = None
        self.write_policy(policy)

    def write_policy(self, text: str) -> None:
        draft = self.policy.with_suffix(".draft")
        draft.write_text(text.format(home=self.home))
        draft.replace(self.policy)

    def write_calibrator(
        self, mapping: Map | None = None, *, model: str = "leads", name: str = "", **applies_to: Any
    ) -> Calibrator:
        """Puts a calibrator's document where the policy's `file:` looks for it."""
        fields = {"model": model, "model_versions": None, "evidence": "score"} | applies_to
        made = Calibrator(mapping or Identity(), applies_to=AppliesTo(**fields))
        path = self.home / f"{name or model}.json"
        draft = path.with_suffix(".draft")
        draft.write_text(calibrators.dumps(made))
        draft.replace(path)
        return made

    def start(self, *flags: str, serving: bool = True, **settings: str) -> None:
        """Starts it; returns once it is SERVING, or at once."""
        assert self._process is None, "it runs already"
        own = {
            key: value for key, value in os.environ.items() if not key.startswith(("TRUEBAND_", "MLFLOW_"))
        }
        command = [sys.executable, "-m", "sidecar", "serve", "--policy", str(self.policy)]
        command += ["--data-dir", str(self.data_dir), "--listen", self.address, *flags]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.home,
                env=own | self._settings | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if serving:
            self.until(lambda: self.health() == "SERVING", "SERVING")

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self) -> int:
        """The exit code, once it has ended by itself."""
        assert self._process is not None
        code = self._process.wait()
        self._process = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        return code

    def stop(self) -> int:
        """Asks it to end; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """kill -9: no chance to tidy up."""
        self.signal(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def refusal(self, *flags: str, **settings: str) -> str:
        """What it says when it will not start; it must end with exit code 2 and without a traceback."""
        before = self.log.stat().st_size if self.log.exists() else 0
        self.start(*flags, serving=False, **settings)
        code = self.wait()
        said = self.log.read_bytes()[before:].decode()
        assert code == 2, said
        assert "Traceback" not in said
        return said

    @property
    def channel(self) -> grpc.Channel:
        if self._channel is None:
            self._channel = grpc.insecure_channel(self.address, options=IMPATIENT)
        return self._channel

    @property
    def routing(self) -> Any:
        return routing_pb2_grpc.RoutingServiceStub(self.channel)

    @property
    def labels(self) -> Any:
        return label_pb2_grpc.LabelServiceStub(self.channel)

    @property
    def reviews(self) -> Any:
        return review_pb2_grpc.ReviewServiceStub(self.channel)

    @property
    def decisions(self) -> Any:
        return decision_pb2_grpc.DecisionServiceStub(self.channel)

    @property
    def admin(self) -> Any:
        return admin_pb2_grpc.AdminServiceStub(self.channel)

    def health(self, name: str = "", *, channel: grpc.Channel | None = None) -> str:
        """What health answers, or the status code where it does not answer."""
        stub = health_pb2_grpc.HealthStub(channel or self.channel)
        request = health_pb2.HealthCheckRequest(service=name)
        try:
            status = stub.Check(request, timeout=DEADLINE_SECONDS).status
        except grpc.RpcError as error:
            return error.code().name  # type: ignore[attr-defined, no-any-return]
        return health_pb2.HealthCheckResponse.ServingStatus.Name(status)

    def status(self) -> admin_pb2.GetStatusResponse:
        return self.admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=DEADLINE_SECONDS)

    def ask(self, score: float = 0.95, **changes: Any) -> routing_pb2.RouteResponse:
        """Routes one answer of model `leads` in category `general`; keywords change the request."""
        fields = {
            "model": "leads",
            "category": "general",
            "predicted_class": "interested",
            "evidence": evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=score)),
        }
        return self.routing.Route(routing_pb2.RouteRequest(**fields | changes), timeout=DEADLINE_SECONDS)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Returns once the condition is true, which it must become while the process lives."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.running(), f"it ended before {what}:\n{self.log.read_text()[-4000:]}"
            assert time.monotonic() < deadline, f"never came true: {what}\n{self.log.read_text()[-4000:]}"
            time.sleep(0.02)

    def caught_up(self) -> None:
        """Returns once the ledger has everything."""
        self.until(lambda: self.status().journal.backlog_records == 0, "the ledger has everything")

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger]:
        with open_snapshot(f"sqlite:///{self.data_dir / 'ledger.db'}") as snapshot:
            yield snapshot

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's entries of that event, over all lives."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry["event"] == name]

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self.wait()
        found = [event for name in NEVER for event in self.events(name)]
        assert not found, found


class MakeSidecar(Protocol):
    """Makes a sidecar in a fresh folder, not yet started; settings are environment variables."""

    def __call__(self, policy: str = POLICY, **settings: str) -> Sidecar: ...


@contextlib.contextmanager
def _made(factory: pytest.TempPathFactory) -> Iterator[MakeSidecar]:
    made: list[Sidecar] = []

    def make(policy: str = POLICY, **settings: str) -> Sidecar:
        # A short name: the path of a Unix socket has little more than a hundred bytes.
        made.append(Sidecar(factory.mktemp("s"), policy, settings))
        return made[-1]

    with contextlib.ExitStack() as stack:
        yield make
        for each in made:
            stack.callback(each.end)


@pytest.fixture
def make_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSidecar]:
    """Makes sidecars that end with the test."""
    with _made(tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="module")
def make_shared_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSidecar]:
    """Makes sidecars that end with the module's last test."""
    with _made(tmp_path_factory) as make:
        yield make


class HangingRegistry:
    """Accepts connections and does not say a word, until it is released: then it hangs up at once."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._held: list[socket.socket] = []

    def wait_for_caller(self) -> None:
        """Returns once somebody has called, and waits for an answer."""
        self._listener.settimeout(PATIENCE_SECONDS)
        self._held.append(self._listener.accept()[0])

    def release(self) -> None:
        self._listener.close()
        for connection in self._held:
            connection.close()
        self._held.clear()


@pytest.fixture
def hanging_registry() -> Iterator[HangingRegistry]:
    registry = HangingRegistry()
    yield registry
    registry.release()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port that nobody listens on at the moment."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find
