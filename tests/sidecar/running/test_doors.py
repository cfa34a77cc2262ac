"""What outsiders hold open at the doors, while calls go on; and SIGTERM still ends the process."""

import contextlib
import signal
import socket
import stat
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from trueband.v1 import admin_pb2

V1 = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
ALPHA = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ROUTE = "/trueband.v1.RoutingService/Route"
WATCH = "/trueband.v1.ReviewService/WatchDecision"
CHECK = "/grpc.health.v1.Health/Check"
LIST = "/trueband.v1.ReviewService/ListTasks"
STATUS = "/trueband.v1.AdminService/GetStatus"
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
NEVER_READS = (*OWN_CONNECTION, ("grpc.http2.lookahead_bytes", 0), ("grpc.http2.bdp_probe", 0))
CALL_SECONDS = 20
"""Far longer than any call takes here; what is held up for good does not end within it."""


@pytest.fixture
def probe(free_port) -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def sidecar(make_sidecar, probe) -> Any:
    made = make_sidecar()
    made.write_calibrator()
    made.start("--health-listen", probe)
    return made


def ask(sidecar: Any, probe: str) -> None:
    """Everything that must go on, whatever is held open."""
    assert sidecar.ask(0.95).may_act
    assert sidecar.admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=CALL_SECONDS).serving
    for address in (sidecar.address, probe):
        with grpc.insecure_channel(address, options=OWN_CONNECTION) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS
            )
            assert check.status == health_pb2.HealthCheckResponse.SERVING


@contextlib.contextmanager
def holding(address: str, method: str, count: int) -> Iterator[None]:
    """Holds so many calls of a method open that have sent their headers only."""
    with contextlib.ExitStack() as stack:
        release = threading.Event()
        stack.callback(release.set)

        def nothing() -> Iterator[bytes]:
            release.wait()
            yield from ()

        for _ in range(count):
            channel = stack.enter_context(grpc.insecure_channel(address, options=OWN_CONNECTION))
            grpc.channel_ready_future(channel).result(CALL_SECONDS)
            stack.callback(channel.stream_stream(method)(nothing()).cancel)
        yield


@pytest.mark.parametrize("method", [ROUTE, WATCH, CHECK, LIST, STATUS, V1, ALPHA])
def test_headers_without_a_body_are_in_nobodys_way(method, sidecar, probe) -> None:
    with holding(sidecar.address, method, 12):
        ask(sidecar, probe)
        sidecar.signal(signal.SIGTERM)
        assert sidecar.wait() == 0
    assert not sidecar.events("stopped_in_haste")


def test_more_headers_without_a_body_than_there_are_threads_make_way(sidecar, probe) -> None:
    with holding(sidecar.address, ROUTE, 50):
        for _ in range(5):
            ask(sidecar, probe)


def test_headers_without_a_body_on_the_port_of_the_kubelet(sidecar, probe) -> None:
    with holding(probe, CHECK, 12):
        ask(sidecar, probe)
        assert sidecar.stop() == 0


@pytest.mark.parametrize("kubelets", [True, False])
def test_watches_of_health_that_come_and_go_again_and_again(kubelets, sidecar, probe) -> None:
    for _ in range(8):
        with grpc.insecure_channel(probe if kubelets else sidecar.address, options=OWN_CONNECTION) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(80)]
            for watch in watches:
                with contextlib.suppress(grpc.RpcError):  # more than are kept are refused
                    next(watch)
            ask(sidecar, probe)
            for watch in watches:
                watch.cancel()
    ask(sidecar, probe)
    assert sidecar.stop() == 0


def test_a_watch_of_health_hears_changes_alone_and_its_end(sidecar) -> None:
    stub = health_pb2_grpc.HealthStub(sidecar.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    heard = [next(watch).status]
    sidecar.until(lambda: sidecar.ask().may_act, "it refreshed its health meanwhile")
    sidecar.signal(signal.SIGTERM)
    with contextlib.suppress(grpc.RpcError):
        heard += [each.status for each in watch]
    assert sidecar.wait() == 0
    serving, not_serving = (
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    )
    assert heard == [serving, not_serving]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def literal(name: str, value: str) -> bytes:
    """A header field of HPACK, neither indexed nor compressed."""
    return b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()


def connect_without_reading(address: str, method: str, body: bytes, count: int) -> socket.socket:
    """A client in whose window nothing fits: every message to it waits for ever."""
    host, _, port = address.rpartition(":")
    raw = socket.create_connection((host, int(port)))
    raw.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x00"))
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "sidecar",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    headers = b"".join(literal(name, value) for name, value in fields.items())
    message = b"\x00" + len(body).to_bytes(4, "big") + body
    for number in range(count):
        stream = 2 * number + 1
        raw.sendall(frame(1, 4, stream, headers) + frame(0, 1, stream, message))
    return raw


@pytest.mark.parametrize("kubelets", [True, False])
def test_a_reader_that_never_reads_is_in_nobodys_way(kubelets, make_sidecar, free_port, probe) -> None:
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    address = f"127.0.0.1:{free_port()}"
    sidecar.address = address
    sidecar.start("--health-listen", probe)
    watched = probe if kubelets else address
    listing = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    with contextlib.ExitStack() as stack:
        stack.enter_context(connect_without_reading(watched, "/grpc.health.v1.Health/Watch", b"", 40))
        if not kubelets:
            stack.enter_context(connect_without_reading(address, V1, listing, 8))
            stack.enter_context(connect_without_reading(address, CHECK, b"", 12))
        for _ in range(3):
            ask(sidecar, probe)
        assert sidecar.stop() == 0
    assert not sidecar.events("stopped_in_haste")


@contextlib.contextmanager
def conversing(channel: grpc.Channel, method: str) -> Iterator[Callable[[], Any]]:
    """An open stream of reflection; calling it asks for the services."""
    ended = threading.Event()

    def questions() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        ended.wait()

    call = channel.stream_stream(
        method,
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )(questions())
    try:
        yield lambda: next(call)
    finally:
        call.cancel()
        ended.set()


@pytest.mark.parametrize("method", [V1, ALPHA])
def test_streams_of_reflection_never_take_all_places(method, sidecar, probe) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            said = stack.enter_context(conversing(sidecar.channel, method))()
            names = {each.name for each in said.list_services_response.service}
            assert "trueband.v1.RoutingService" in names
        ask(sidecar, probe)
        assert sidecar.stop() == 0


def test_reflection_can_be_switched_off(make_sidecar) -> None:
    sidecar = make_sidecar()
    sidecar.start(TRUEBAND_REFLECTION="false")
    for method in (V1, ALPHA):
        with conversing(sidecar.channel, method) as said, pytest.raises(grpc.RpcError) as caught:
            said()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_reflection_asks_for_a_token_where_there_are_principals(make_sidecar) -> None:
    sidecar = make_sidecar()
    known = sidecar.home / "principals.yaml"
    known.write_text(
        f"principals: [{{name: crm, kind: service, roles: [caller], token_sha256: {'ab' * 32}}}]\n"
    )
    sidecar.start("--principals", str(known))
    with conversing(sidecar.channel, V1) as said, pytest.raises(grpc.RpcError) as caught:
        said()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_half_sent_requests_do_not_keep_the_metrics_from_others(make_sidecar, free_port) -> None:
    sidecar = make_sidecar()
    port = free_port()
    sidecar.start("--metrics-listen", f"127.0.0.1:{port}")
    sidecar.until(lambda: accepts(port), "the metrics are served, which comes after the calls")
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=CALL_SECONDS) as response:
            assert b"trueband_suspensions" in response.read()
        threads = Path(f"/proc/{sidecar._process.pid}/task")
        if threads.is_dir():
            assert len(list(threads.iterdir())) < 60
        assert sidecar.stop() == 0


def test_a_folder_that_all_may_write_to_is_said(make_sidecar) -> None:
    sidecar = make_sidecar()
    sidecar.data_dir.mkdir()
    sidecar.data_dir.chmod(0o777)
    sidecar.start()
    (said,) = sidecar.events("data_directory_open_to_others")
    assert said["mode"] == "0777"
    assert stat.S_IMODE(sidecar.data_dir.stat().st_mode) == 0o777, "it may be somebody else's"
