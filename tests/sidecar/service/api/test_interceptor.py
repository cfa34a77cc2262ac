"""A real server around the router: what callers get for good calls, bad ones, and bugs."""

import logging
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from trueband.v1 import evidence_pb2, routing_pb2, routing_pb2_grpc

from sidecar.service.api.interceptor import CallInterceptor
from sidecar.service.api.lanes import Lanes
from sidecar.service.api.routing import RoutingServicer
from tests.sidecar import services

ROUTE = "/trueband.v1.RoutingService/Route"


class Trapdoor(RoutingServicer):
    """Routes, but for requests that name a bug."""

    def Route(self, request, context):  # noqa: N802 (the contract's name)
        if request.tenant == "bug":
            raise ValueError("the password is hunter2")
        return super().Route(request, context)


class Plain(grpc.GenericRpcHandler):
    """A service that is not of the contract, as health and reflection are."""

    def service(self, details):
        if details.method != "/other.Service/Echo":
            return None
        return grpc.unary_unary_rpc_method_handler(lambda body, _: body)


@pytest.fixture(scope="module")
def made():
    return services.bare()


@pytest.fixture(scope="module")
def channel(made):
    server = grpc.server(
        ThreadPoolExecutor(2),
        interceptors=(CallInterceptor(made.metrics, Lanes(calls=2, ledger=1, watches=1)),),
        options=(("grpc.max_receive_message_length", 16 << 20), ("grpc.max_send_message_length", 16 << 20)),
    )
    routing_pb2_grpc.add_RoutingServiceServicer_to_server(Trapdoor(made.router), server)
    server.add_generic_rpc_handlers((Plain(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    server.stop(None).wait()


@pytest.fixture
def stub(channel, made):
    yield routing_pb2_grpc.RoutingServiceStub(channel)
    made.journal.failure = None


def request(score=0.95, **changes):
    fields = {"model": "lead-classifier", "category": "general", "predicted_class": "interested"}
    evidence = evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=score))
    return routing_pb2.RouteRequest(**({"evidence": evidence} | fields | changes))


def failure(call, *arguments):
    """The status of a call that must fail: its code, its message, and its details by kind."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, timeout=10)
    status = rpc_status.from_call(caught.value)
    found = {}
    for packed in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            message = kind()
            if packed.Unpack(message):
                found[kind.__name__] = message
    assert len(found) == len(status.details)
    return caught.value.code(), status.message, found


def test_a_good_call_is_answered(stub):
    response = stub.Route(request(), timeout=10)
    assert response.may_act
    assert response.decision.may_act
    assert response.decision.band == "auto"


def test_a_bad_field_is_named_in_the_details(stub):
    code, message, details = failure(stub.Route, request(score=float("nan"), model=""))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    fields = [violation.field for violation in details["BadRequest"].field_violations]
    assert fields == ["evidence.score.confidence", "model"]
    assert details["ErrorInfo"].reason == "INVALID_REQUEST"
    assert "evidence.score.confidence" in message


def test_an_unknown_model_is_not_found(stub):
    code, message, details = failure(stub.Route, request(model="leads"))
    assert code is grpc.StatusCode.NOT_FOUND
    assert details["ErrorInfo"].reason == "MODEL_UNKNOWN"
    assert "lead-classifier" not in message, "what other models there are is nobody's business"


def test_a_reused_request_id_is_said(stub):
    stub.Route(request(request_id="reused"), timeout=10)
    assert stub.Route(request(request_id="reused"), timeout=10).decision.replayed
    code, _, details = failure(stub.Route, request(0.5, request_id="reused"))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert details["ErrorInfo"].reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    "body",
    [
        b"\x12\x02\xff\xfe",  # field `model`: two bytes that are not UTF-8
        b"\x12\x05abc",  # cut off
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",  # no tag
        b"\x62\x03\x0a\x01\x09",  # evidence.score, cut off
    ],
)
def test_bytes_that_do_not_parse_are_the_callers_mistake(body, channel):
    call = channel.unary_unary(ROUTE)
    code, _, details = failure(call, body)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details["BadRequest"].field_violations[0].field == "(the whole message)"


def test_bytes_of_a_newer_client_are_read_past(channel):
    """Unknown fields are not an error: field 99, and a varint."""
    call = channel.unary_unary(ROUTE, response_deserializer=routing_pb2.RouteResponse.FromString)
    assert call(request().SerializeToString() + b"\x98\x06\x01", timeout=10).may_act


def test_a_bug_is_internal_and_keeps_its_text(stub, caplog):
    with caplog.at_level(logging.ERROR):
        code, message, details = failure(stub.Route, request(tenant="bug"))
    assert code is grpc.StatusCode.INTERNAL
    assert "hunter2" not in message
    assert details["ErrorInfo"].reason == "INTERNAL"
    assert any("unhandled_exception" in record.message and record.exc_info for record in caplog.records)


def test_the_service_lives_on_after_a_bug(stub):
    failure(stub.Route, request(tenant="bug"))
    assert stub.Route(request(), timeout=10).may_act


def test_a_full_journal_is_an_answer_not_an_error(stub, made):
    made.journal.break_down()
    response = stub.Route(request(), timeout=10)
    assert not response.may_act
    assert response.decision.retry_after.seconds == 5


def test_ten_megabytes_of_text_are_named_and_not_echoed(stub):
    code, message, details = failure(stub.Route, request(category="x" * (10 << 20)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = details["BadRequest"].field_violations
    assert violation.field == "category"
    assert "10,485,760 bytes" in violation.description
    assert len(message) < 200


def test_sixty_four_bad_fields_still_reach_the_caller(stub):
    attributes = {"价" * 60 + str(n): routing_pb2.Attribute(number=float("inf")) for n in range(64)}
    code, _, details = failure(
        stub.Route, request(attributes=attributes, tenant="x" * 300, category="y" * 300)
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(details["BadRequest"].field_violations) == 10


def test_a_batch_gives_each_item_its_own_outcome(stub):
    batch = routing_pb2.RouteBatchRequest(
        items=[request(), request(score=2.0), request(model="leads"), request(0.99, category="pricing")]
    )
    items = stub.RouteBatch(batch, timeout=10).items
    assert [item.WhichOneof("outcome") for item in items] == ["decision", "error", "error", "decision"]
    assert [item.error.code for item in items] == [0, 3, 5, 0]
    assert items[1].error.reason == "INVALID_REQUEST"
    assert items[1].error.field_violations[0].field == "evidence.score.confidence"
    assert (items[0].decision.may_act, items[3].decision.may_act) == (True, False)


@pytest.mark.parametrize("count", [0, 10_001])
def test_a_batch_has_between_one_and_ten_thousand_items(count, stub):
    batch = routing_pb2.RouteBatchRequest(items=[routing_pb2.RouteRequest()] * count)
    code, _, details = failure(stub.RouteBatch, batch)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details["BadRequest"].field_violations[0].field == "items"


def test_a_method_that_does_not_exist_is_unimplemented(channel):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/trueband.v1.RoutingService/Teleport")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_other_services_pass_through(channel, made):
    assert channel.unary_unary("/other.Service/Echo")(b"hello", timeout=10) == b"hello"
    assert made.count("trueband_request_seconds_count", method="Echo", status="OK") == 0


def test_calls_are_timed_by_method_and_status(stub, made):
    def counted(status):
        return made.count("trueband_request_seconds_count", method="Route", status=status)

    before = [counted(status) for status in ("OK", "NOT_FOUND", "INTERNAL")]
    stub.Route(request(), timeout=10)
    failure(stub.Route, request(model="leads"))
    failure(stub.Route, request(tenant="bug"))
    after = [counted(status) for status in ("OK", "NOT_FOUND", "INTERNAL")]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]
