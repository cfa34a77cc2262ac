"""Calibrators, slots and a registry that lies on request."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import calibrators
from calibrators import AppliesTo, Calibrator, Platt
from sidecar.service import registry
from sidecar.service.registry import CalibratorSlot, Expectation, Resolved

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass
class Version:
    """What the lying registry has under one version number."""

    body: bytes
    tags: dict[str, str]


@dataclass
class LyingRegistry:
    """An HTTP server that speaks as much of MLflow's protocol as a sidecar uses, and goes wrong on request.

    `faults` are called for the first path that contains their key, instead of the honest answer; one that
    returns False lets the honest answer follow.
    """

    address: str = ""
    name: str = "cal"
    aliases: dict[str, str] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    faults: dict[str, Callable[["Handler"], object]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    location: str = "mlflow-artifacts:/{version}"

    def add(
        self, version: str, calibrator: Calibrator, *, body: bytes | None = None, **tags: str
    ) -> "LyingRegistry":
        own = {"trueband.sha256": calibrator.digest} if "untagged" not in tags else {}
        own |= {f"trueband.{key}": value for key, value in tags.items() if key != "untagged"}
        self.versions[version] = Version(
            calibrators.dumps(calibrator).encode() if body is None else body, own
        )
        return self

    def count(self, part: str) -> int:
        return sum(part in request for request in self.requests)


class Handler(BaseHTTPRequestHandler):
    """One request to the lying registry."""

    protocol_version = "HTTP/1.1"
    lying: LyingRegistry

    def do_GET(self) -> None:
        lying = self.lying
        lying.requests.append(self.path)
        lying.headers.append(dict(self.headers))
        for part, fault in lying.faults.items():
            if part in self.path and fault(self) is not False:
                return
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == f"{API}/registered-models/alias":
            number = lying.aliases.get(query["alias"])
            if number is None:
                self.error(400, "INVALID_PARAMETER_VALUE", "Registered model alias not found.")
            else:
                self.version(number)
        elif url.path == f"{API}/model-versions/get":
            self.version(query["version"])
        elif url.path == f"{API}/registered-models/get":
            self.json({"registered_model": {"name": lying.name}})
        elif url.path == f"{API}/model-versions/get-download-uri":
            self.json({"artifact_uri": lying.location.format(version=query["version"])})
        elif url.path.startswith(ARTIFACTS) and url.path.endswith("/calibrator.json"):
            self.answer(200, lying.versions[url.path.split("/")[-2]].body, "application/json")
        else:
            self.error(404, "ENDPOINT_NOT_FOUND", self.path)

    def version(self, number: str) -> None:
        version = self.lying.versions.get(number)
        if version is None:
            self.error(404, "RESOURCE_DOES_NOT_EXIST", f"Model Version (version={number}) not found")
            return
        tags = [{"key": key, "value": value} for key, value in version.tags.items()]
        self.json({"model_version": {"name": self.lying.name, "version": number, "tags": tags}})

    def error(self, status: int, code: str, message: str) -> None:
        self.answer(status, json.dumps({"error_code": code, "message": message}).encode(), "application/json")

    def json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), "application/json")

    def answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of the game."""


@pytest.fixture
def lying_registry() -> Iterator[LyingRegistry]:
    """A registry on loopback that is honest until told otherwise, and empty."""
    lying = LyingRegistry()
    server = _Server(("127.0.0.1", 0), type("LyingHandler", (Handler,), {"lying": lying}))
    lying.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield lying
    server.shutdown()
    server.server_close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client as the sidecar sets it, whatever the environment of the tests says."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


@pytest.fixture
def make_calibrator() -> Callable[..., Calibrator]:
    """Calibrators that differ by slope, for model `m` unless told otherwise."""

    def make(slope: float = 1.5, **applies_to: object) -> Calibrator:
        fitted_for = {"model": "m", "model_versions": None, "evidence": "score", **applies_to}
        return Calibrator(
            map=Platt(slope=slope, intercept=-0.125, on="logit"),
            applies_to=AppliesTo(**fitted_for),  # type: ignore[arg-type]
        )

    return make


@dataclass
class Changes:
    """What the watcher said to `on_change`, and what was visible then."""

    seen: list[tuple[CalibratorSlot, str | None]] = field(default_factory=list)
    visible: list[str | None] = field(default_factory=list)
    watcher: registry.RegistryWatcher | None = None
    error: BaseException | None = None

    def __call__(self, slot: CalibratorSlot, in_force: registry.CalibratorInForce | None) -> None:
        if self.error is not None:
            raise self.error
        self.seen.append((slot, None if in_force is None else in_force.reference.digest))
        if self.watcher is not None:
            held = self.watcher.current().get(slot)
            self.visible.append(None if held is None else held.reference.digest)


class MakeWatcher:
    """Makes watchers that are stopped when the test ends."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: list[registry.RegistryWatcher] = []

    def __call__(
        self,
        slots: dict[CalibratorSlot, Expectation] | str,
        *,
        changes: Changes | None = None,
        **options: object,
    ) -> registry.RegistryWatcher:
        if isinstance(slots, str):
            slots = {CalibratorSlot("m"): Expectation(uri=slots, evidence="score")}
        changes = changes or Changes()
        settings: dict[str, object] = {"directory": self.directory, "poll_seconds": 60.0, **options}
        watcher = registry.RegistryWatcher(slots, on_change=changes, **settings)  # type: ignore[arg-type]
        changes.watcher = watcher
        self.made.append(watcher)
        return watcher


@pytest.fixture
def make_watcher(tmp_path: Path) -> Iterator[MakeWatcher]:
    """Watchers over `tmp_path / "calibrators"`."""
    make = MakeWatcher(tmp_path / "calibrators")
    yield make
    ended = [watcher.stop(15.0) for watcher in make.made]  # every one, whatever the first says
    assert all(ended), "a refresh thread did not end"


@pytest.fixture
def changes() -> Changes:
    """A recorder of changes."""
    return Changes()


class Shelf:
    """A source whose answers a test sets."""

    def __init__(self, calibrator: Calibrator | None = None, version: str = "1") -> None:
        self.error: BaseException | None = None
        self.hold: threading.Event | None = None
        self.asked = 0
        self.fetched: list[str] = []
        self.revoked_versions: set[str] = set()
        self.approved_versions: set[str] = set()
        self.tags_of: dict[str, dict[str, str]] = {}
        self.moves: list[Callable[[], None]] = []
        self.body: bytes | None = None
        if calibrator is not None:
            self.set(calibrator, version)

    def set(self, calibrator: Calibrator, version: str, *, body: bytes | None = None) -> None:
        self.calibrator = calibrator
        self.version = version
        self.body = body
        self.error = None

    def current(self) -> Resolved:
        self.asked += 1
        if self.hold is not None:
            assert self.hold.wait(30.0)
        if self.error is not None:
            raise self.error
        return Resolved(
            name="cal",
            version=self.version,
            digest=self.calibrator.digest,
            revoked=self.version in self.revoked_versions,
            approved=self.version in self.approved_versions,
            tags=self.tags(self.version),
        )

    def fetch(self, resolved: Resolved) -> bytes:
        self.fetched.append(resolved.version)
        body = calibrators.dumps(self.calibrator).encode() if self.body is None else self.body
        if self.moves:
            self.moves.pop(0)()
        return body

    def revoked(self, version: str) -> bool:
        return version in self.revoked_versions

    def tags(self, version: str) -> dict[str, str]:
        return self.tags_of.get(version, {})


@pytest.fixture
def make_shelf() -> type[Shelf]:
    """Makes shelves."""
    return Shelf


@pytest.fixture
def shelf(make_calibrator: Callable[..., Calibrator]) -> Shelf:
    """A shelf with version 1."""
    return Shelf(make_calibrator())


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits for what another thread does."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60.0
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.005)

    return wait
