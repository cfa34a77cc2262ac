"""The demo's two servers, MLflow and the sidecar, as processes on loopback that end with it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from calibrators.errors import TruebandError

STOP_SECONDS = 15.0
POLL_SECONDS = 0.1


class ProcessFailed(TruebandError):
    """A server of the demo ended before it was ready; its log says why."""

    code: ClassVar[str] = "PROCESS_FAILED"


class Server:
    """A running server: its address, and how to ask whether it is ready."""

    def __init__(
        self,
        name: str,
        address: str,
        log: Path,
        process: "subprocess.Popen[bytes]",
        ready: Callable[[], bool],
    ) -> None:
        self.name = name
        self.address = address
        self.log = log
        self._process = process
        self._ready = ready

    def wait(self) -> None:
        """Returns once the server is ready.

        Raises:
            ProcessFailed: it ended.
        """
        while not self._ready():
            if self._process.poll() is not None:
                raise ProcessFailed(f"{self.name} ended with code {self._process.returncode}; see {self.log}")
            time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def mlflow(folder: Path) -> Iterator[Server]:
    """An MLflow server with SQLite and one worker; started, and not yet ready."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    command = [*mlflow_command(folder), "--port", str(port)]
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def ready() -> bool:
        url = f"{address}/api/2.0/mlflow/registered-models/search?max_results=1"
        try:
            with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 (our own loopback server)
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    with _running("MLflow", command, environment, folder / "server.log", address, ready) as server:
        yield server


def mlflow_command(folder: Path) -> list[str]:
    """The command that serves an MLflow store; people use it to open the page."""
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
        *("--host", "127.0.0.1", "--workers", "1"),
    ]


@contextlib.contextmanager
def sidecar(policy: Path, folder: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """A sidecar with its own data directory; started, and not yet ready.

    It is given no settings but these: whatever TRUEBAND_ variables this process has are not for a demo.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{_free_port()}"
    command = [sys.executable, "-m", "sidecar", "serve", "--policy", str(policy), "--listen", address]

    def ready() -> bool:
        with grpc.insecure_channel(address) as channel:
            try:
                request = health_pb2.HealthCheckRequest()
                answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=2)  # type: ignore[attr-defined]
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    log = folder / "server.log"
    with _running(
        "the sidecar", [*command, "--data-dir", str(folder)], settings, log, address, ready
    ) as server:
        yield server


@contextlib.contextmanager
def _running(
    name: str,
    command: list[str],
    settings: Mapping[str, str],
    log: Path,
    address: str,
    ready: Callable[[], bool],
) -> Iterator[Server]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("TRUEBAND_")}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=inherited | dict(settings),
            start_new_session=True,  # so that its workers can be ended with it, and Ctrl-C reaches us first
        )
    try:
        yield Server(name, address, log, process, ready)
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
