"""Fixtures that several packages' tests share."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest

from calibrators import Calibrator, mlflow_flavor

hypothesis.settings.register_profile("quick", max_examples=20)  # of `make quick`

SERVER_START_SECONDS = 120.0
STARTED_BY = frozenset({"mlflow_server", "postgresql", "make_sidecar", "make_shared_sidecar", "local"})
"""Fixtures that start processes, or are there for tests that do."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what `make quick` leaves out, as far as it follows from the fixtures."""
    for item in items:
        asked = {*getattr(item, "fixturenames", ())}
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            asked.add(item.callspec.params.get("database_url"))
        if asked & STARTED_BY:
            item.add_marker("process")


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server on loopback, with a store of its own; one for the whole session."""
    home = tmp_path_factory.mktemp("mlflow-server")
    with (home / "server.log").open("wb") as log:
        address, process = _started(home, log.fileno())
    try:
        yield address
    finally:
        _stop(process)


@pytest.fixture
def mlflow_registry(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """That server as what MLflow's own client in this process talks to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns about its own type hints while it is imported
        import mlflow.pyfunc

    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    # The sidecar's time-outs are for a sidecar; a test that shares two cores may wait.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    # set_tracking_uri writes the variable too: setting it first makes pytest put the old one back.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    mlflow.set_tracking_uri(mlflow_server)
    yield mlflow_server
    mlflow.set_tracking_uri(None)


class Register(Protocol):
    """Registers a version of a calibrator in the real server, quickly; the version's number."""

    def __call__(
        self,
        name: str,
        calibrator: Calibrator,
        *,
        alias: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str: ...


@pytest.fixture(scope="session")
def logged_models() -> dict[str, str]:
    """The address of each calibrator that this session logged, by digest: logging one takes a second."""
    return {}


@pytest.fixture
def register_version(mlflow_registry: str, logged_models: dict[str, str]) -> Register:
    """Registers versions with the digest tag that the sidecar asks for, unless `tags` says otherwise."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=mlflow_registry, registry_uri=mlflow_registry)

    def register(
        name: str,
        calibrator: Calibrator,
        *,
        alias: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        if calibrator.digest not in logged_models:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Operation with range is deprecated")
                warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated")
                run = client.create_run("0").info.run_id
                logged_models[calibrator.digest] = mlflow_flavor.log_model(calibrator, run_id=run).model_uri
        with contextlib.suppress(MlflowException):
            client.create_registered_model(name)
        version = str(
            client.create_model_version(
                name,
                source=logged_models[calibrator.digest],
                model_id=logged_models[calibrator.digest].removeprefix("models:/"),
                tags={"trueband.sha256": calibrator.digest} if tags is None else dict(tags),
                await_creation_for=0,
            ).version
        )
        if alias is not None:
            client.set_registered_model_alias(name, alias, version)
        return version

    return register


def _started(home: Path, log: int) -> tuple[str, "subprocess.Popen[bytes]"]:
    problem = ""
    for _ in range(3):  # another process can take a free port before the server does
        port = _free_port()
        process = _server(home, port, log)
        try:
            _await_answer(f"http://127.0.0.1:{port}", process)
        except RuntimeError as error:
            problem = f"{error}\n{(home / 'server.log').read_text(errors='replace')[-2000:]}"
            _stop(process)
        except BaseException:
            _stop(process)
            raise
        else:
            return f"http://127.0.0.1:{port}", process
    raise RuntimeError(f"the MLflow server did not start: {problem}")


def _server(home: Path, port: int, log: int) -> "subprocess.Popen[bytes]":
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server"),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{home / 'store.db'}"),
            *("--artifacts-destination", str(home / "artifacts")),
        ],
        cwd=home,
        env={
            **inherited,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # so that its workers can be stopped with it
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_answer(address: str, process: "subprocess.Popen[bytes]") -> None:
    """Waits for an answer of the registry itself: /health says OK before and beside it."""
    deadline = time.monotonic() + SERVER_START_SECONDS
    request = f"{address}/api/2.0/mlflow/registered-models/search?max_results=1"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with code {process.returncode}")
        with (
            contextlib.suppress(OSError, ValueError),
            urllib.request.urlopen(request, timeout=5) as response,
        ):
            json.load(response)
            return
        time.sleep(0.1)
    raise RuntimeError(f"it did not answer within {SERVER_START_SECONDS:g} s")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
