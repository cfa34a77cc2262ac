"""The sidecar against a no-op server: both on one pinned core, the load on another, within one run."""

import contextlib
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc
from trueband.v1 import evidence_pb2, routing_pb2, routing_pb2_grpc

import calibrators

METHOD = "/trueband.v1.RoutingService/Route"
REQUESTS = 10_000
HOLDS = 2_000
BATCH_ITEMS = 2_000
ROUNDS = 3
POLICY = """
version: 1
models:
  bench:
    calibrator: file:{calibrator}
    evidence: score
    categories: {{general: {{}}, pricing: {{mandatory_review: true}}}}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What a load came to: requests a second, and times in milliseconds."""

    per_second: float
    median: float
    p99: float

    def __str__(self) -> str:
        return f"{self.per_second:8,.0f}/s   median {self.median:.2f} ms   p99 {self.p99:.2f} ms"


def run() -> Iterator[tuple[str, str]]:
    """The rows of the report, as they come."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policy = _prepare(folder)
        yield (
            "load generator",
            "h2load" if shutil.which("h2load") else "a Python client (h2load is not installed)",
        )
        with _noop() as noop, _sidecar(policy, folder / "data") as (sidecar, process, started):
            yield "process start to SERVING, first start (file source)", f"{started:.2f} s"
            for in_flight in (1, 16):
                loads: dict[str, list[Load]] = {"no-op": [], "automatic": [], "hold": []}
                for _ in range(ROUNDS):
                    # In turn, so that a slow spell of the machine meets all of them.
                    loads["no-op"].append(_measure(noop, _body(0.97, "general"), REQUESTS, in_flight, folder))
                    loads["automatic"].append(
                        _measure(sidecar, _body(0.97, "general"), REQUESTS, in_flight, folder)
                    )
                    loads["hold"].append(_measure(sidecar, _body(0.97, "pricing"), HOLDS, in_flight, folder))
                best = {kind: max(found, key=lambda load: load.per_second) for kind, found in loads.items()}
                ratio = statistics.median(
                    ours.per_second / theirs.per_second
                    for ours, theirs in zip(loads["automatic"], loads["no-op"], strict=True)
                )
                yield f"{in_flight} in flight: no-op unary server", str(best["no-op"])
                yield (
                    f"{in_flight} in flight: Route, automatic, journaled",
                    f"{best['automatic']}   {ratio:.0%} of the no-op",
                )
                yield f"{in_flight} in flight: Route, held, fsynced", str(best["hold"])
            yield from _batches(sidecar)
            yield "resident memory after the load", f"{process.memory_info().rss / 2**20:.0f} MiB"
        with _sidecar(policy, folder / "data") as (_, process, started):
            yield "process start to SERVING, from the cached calibrator", f"{started:.2f} s"
            time.sleep(3)
            yield "resident memory, idle, 3 s after the start", f"{process.memory_info().rss / 2**20:.0f} MiB"


def _prepare(folder: Path) -> Path:
    knots = tuple(index / 64 for index in range(65))
    calibrator = calibrators.Calibrator(
        map=calibrators.Isotonic(knots, tuple(0.02 + 0.96 * knot for knot in knots)),
        applies_to=calibrators.AppliesTo(model="bench", model_versions=None, evidence="score"),
    )
    (folder / "calibrator.json").write_text(calibrators.dumps(calibrator), encoding="utf-8")
    policy = folder / "policy.yaml"
    policy.write_text(POLICY.format(calibrator=folder / "calibrator.json"), encoding="utf-8")
    return policy


def _body(score: float, category: str) -> bytes:
    return routing_pb2.RouteRequest(
        model="bench",
        predicted_class="interested",
        category=category,
        subject_ref="order-4711",
        evidence=evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=score)),
    ).SerializeToString()


@contextlib.contextmanager
def _noop() -> Iterator[str]:
    address = f"127.0.0.1:{_free_port()}"
    process = _pinned([sys.executable, "-m", "tests.benchmarks.noop", address])
    try:
        grpc.channel_ready_future(grpc.insecure_channel(address)).result(timeout=30)
        yield address
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _sidecar(policy: Path, data: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    address = f"127.0.0.1:{_free_port()}"
    command = [sys.executable, "-m", "sidecar", "serve", "--policy", str(policy), "--listen", address]
    begun = time.perf_counter()
    process = _pinned([*command, "--data-dir", str(data), "--log-level", "error"])
    try:
        with grpc.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while True:
                with contextlib.suppress(grpc.RpcError):
                    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        break
                if process.poll() is not None:
                    raise RuntimeError("the sidecar ended")
                time.sleep(0.01)
        yield address, psutil.Process(process.pid), time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()


def _pinned(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {0}))


def _measure(address: str, body: bytes, count: int, in_flight: int, folder: Path) -> Load:
    if shutil.which("h2load"):
        return _h2load(address, body, count, in_flight, folder)
    return _python_client(address, body, count, in_flight)


def _h2load(address: str, body: bytes, count: int, in_flight: int, folder: Path) -> Load:
    data, log = folder / "body", folder / "log"
    data.write_bytes(b"\0" + struct.pack(">I", len(body)) + body)
    log.unlink(missing_ok=True)
    command = [
        "h2load",
        "-n",
        str(count),
        "-c",
        "1",
        "-m",
        str(in_flight),
        "-d",
        str(data),
        f"--log-file={log}",
    ]
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, *headers, f"http://{address}{METHOD}"],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {1 % (os.cpu_count() or 1)}),
    )
    seconds = time.perf_counter() - begun
    if f"{count} succeeded" not in done.stdout:
        raise RuntimeError(done.stdout)
    times = [int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines()]
    return _load(times, seconds)


def _python_client(address: str, body: bytes, count: int, in_flight: int) -> Load:
    from concurrent.futures import ThreadPoolExecutor

    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(METHOD)

        def one(_: int) -> float:
            begun = time.perf_counter()
            call(body)
            return 1000 * (time.perf_counter() - begun)

        begun = time.perf_counter()
        with ThreadPoolExecutor(in_flight) as pool:
            times = list(pool.map(one, range(count)))
        return _load(times, time.perf_counter() - begun)


def _load(times: list[float], seconds: float) -> Load:
    ordered = sorted(times)
    return Load(len(times) / seconds, statistics.median(ordered), ordered[int(0.99 * len(ordered))])


def _batches(address: str) -> Iterator[tuple[str, str]]:
    template = routing_pb2.RouteRequest.FromString(_body(0.97, "general"))
    request = routing_pb2.RouteBatchRequest(items=[template] * BATCH_ITEMS)
    options = (("grpc.max_receive_message_length", 1 << 26),)
    with grpc.insecure_channel(address, options=options) as channel:
        stub = routing_pb2_grpc.RoutingServiceStub(channel)
        stub.RouteBatch(request)
        rates = []
        for _ in range(10):
            begun = time.perf_counter()
            stub.RouteBatch(request)
            rates.append(BATCH_ITEMS / (time.perf_counter() - begun))
    yield (
        f"RouteBatch of {BATCH_ITEMS:,} items, as a Python client sees it",
        f"{statistics.median(rates):8,.0f} items/s",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
