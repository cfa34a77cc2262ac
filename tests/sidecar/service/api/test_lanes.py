"""Who waits for whom: lanes apart, waiting bounded by time, what has expired not worked on."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from sidecar import errors
from sidecar.service.api import lanes
from sidecar.service.api.interceptor import CallInterceptor
from sidecar.service.api.lanes import Lane, Lanes
from sidecar.service.telemetry import Metrics

ROUTE = "/trueband.v1.RoutingService/Route"
LIST = "/trueband.v1.ReviewService/ListTasks"
STATUS = "/trueband.v1.AdminService/GetStatus"
LABEL = "/trueband.v1.LabelService/RecordLabel"
LABELS = "/trueband.v1.LabelService/GetLabels"
CHECK = "/grpc.health.v1.Health/Check"


class Gate(grpc.GenericRpcHandler):
    """Every method answers what it got; those whose message is `wait` wait for the gate."""

    def __init__(self):
        self.open = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.answered = []

    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, body, _):
        if body == b"wait":
            self.waiting.release()
            self.open.wait()
        self.answered.append(body)
        return body


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def channel(gate):
    opened = Lanes(calls=2, ledger=2, watches=1)
    server = grpc.server(ThreadPoolExecutor(1), interceptors=(CallInterceptor(Metrics(), opened),))
    server.add_generic_rpc_handlers((gate,))
    port = server.add_insecure_port("127.0.0.1:0")
    opened.start()
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as made:
        yield made
        gate.open.set()
    server.stop(None).wait()
    opened.close()


def occupy(channel, gate, method, turns):
    """Calls that take every turn of a lane and keep it."""
    calls = [channel.unary_unary(method).future(b"wait") for _ in range(turns)]
    for _ in calls:
        gate.waiting.acquire()
    return calls


def patiently(method, body):
    """The answer to a call that is sent again while it is refused; the test's own time limit ends a vain wait."""
    while True:
        try:
            return method(body, timeout=20)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise


def failure(call):
    with pytest.raises(grpc.RpcError) as caught:
        call.result() if hasattr(call, "result") else call()
    return caught.value


@pytest.mark.parametrize(
    ("waits", "turns", "goes_on"),
    [
        (LIST, 2, (ROUTE, LABEL, STATUS, CHECK)),
        (LABELS, 2, (ROUTE, LABEL, STATUS, CHECK)),
        (STATUS, 4, (ROUTE, LABEL, LIST, CHECK)),
        (ROUTE, 2, (LIST, STATUS, CHECK)),
    ],
)
def test_what_waits_for_a_database_holds_up_nothing_else(waits, turns, goes_on, channel, gate):
    calls = occupy(channel, gate, waits, turns)
    for method in goes_on:
        assert channel.unary_unary(method)(b"now", timeout=20) == b"now"
    gate.open.set()
    assert [call.result() for call in calls] == [b"wait"] * turns


def test_a_call_waits_for_no_longer_than_half_of_its_deadline(channel, gate):
    occupy(channel, gate, ROUTE, 2)
    error = failure(channel.unary_unary(ROUTE).future(b"late", timeout=1.0))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    details = rpc_status.from_call(error).details
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert details[0].Unpack(info)
    assert details[1].Unpack(retry)
    assert info.reason == "TOO_BUSY"
    assert retry.retry_delay.seconds >= 1
    gate.open.set()
    assert channel.unary_unary(ROUTE)(b"now", timeout=20) == b"now"
    assert b"late" not in gate.answered


def test_a_call_without_a_deadline_does_not_wait_for_ever(channel, gate):
    occupy(channel, gate, ROUTE, 2)
    assert failure(channel.unary_unary(ROUTE).future(b"late")).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    gate.open.set()


def test_bodies_that_do_not_come_make_way(channel, gate):
    release = threading.Event()

    def nothing():
        release.wait()
        yield from ()

    held = [channel.stream_unary(ROUTE).future(nothing()) for _ in range(2 * lanes.SPARE_THREADS)]
    for _ in range(3):
        assert patiently(channel.unary_unary(ROUTE), b"now") == b"now"
    assert sum(call.done() for call in held) > 0
    for call in held:
        call.cancel()
    release.set()


def test_a_call_that_ends_without_a_message_is_told(channel):
    error = failure(channel.stream_unary(ROUTE).future(iter(())))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


class Call:
    """A call as a servicer sees it, with a clock of its own."""

    def __init__(self, remaining=10.0):
        self.remaining = remaining
        self.active = True
        self.cancelled = False

    def time_remaining(self):
        return self.remaining

    def is_active(self):
        return self.active

    def cancel(self):
        self.cancelled = True


def test_what_has_expired_is_neither_read_nor_worked_on():
    lane = Lane("test", 1)
    with pytest.raises(errors.Expired):
        lane.body(iter((b"body",)), Call(remaining=0.0))
    with pytest.raises(errors.Expired), lane.turn(Call(remaining=0.0)):
        pytest.fail("worked on")
    left = Call()
    left.active = False
    with pytest.raises(errors.Expired), lane.turn(left):
        pytest.fail("worked on")
    with lane.turn(Call()):
        assert not lane.is_idle()
    assert lane.is_idle()


def test_the_oldest_makes_way_where_a_lane_is_for_short_streams():
    lane = Lane("test", 2, oldest_makes_way=True, longest_wait_seconds=0.01)
    first, second = Call(), Call()
    with contextlib.ExitStack() as stack:
        stack.enter_context(lane.turn(first))
        stack.enter_context(lane.turn(second))
        with pytest.raises(errors.TooBusy), lane.turn(Call()):
            pytest.fail("there was no turn")
        assert (first.cancelled, second.cancelled) == (True, False)
