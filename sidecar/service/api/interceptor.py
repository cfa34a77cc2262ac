"""Around every call: who calls, the timer, bytes to message, and error to status.

Nothing else turns an exception into a status.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from calibrators.errors import TruebandError
from sidecar import errors
from sidecar.service.api import permissions, security, statuses
from sidecar.service.api.lanes import Lane, Lanes, note_arrival
from sidecar.service.api.security import KnownPrincipals
from sidecar.service.telemetry import Metrics

logger = logging.getLogger(__name__)
# A string: grpc's classes are generic for the type checker only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Parse: TypeAlias = Callable[[bytes], Any]
OWN_METHODS = "/trueband."
HEALTH_METHODS = "/grpc.health."


class CallInterceptor(grpc.ServerInterceptor):
    """Wraps the methods of the contract, and gives each call of a known service its lane.

    To gRPC every wrapped method is one that takes a stream of messages: so the handler is entered before the body
    has come, and can bound the wait for it.
    """

    def __init__(self, metrics: Metrics, lanes: Lanes, *, principals: KnownPrincipals | None = None) -> None:
        """Takes what it needs.

        Args:
            metrics: gets the time of each call of the contract.
            lanes: the threads of each method.
            principals: tells callers apart; None: everybody is anonymous.
        """
        self._metrics = metrics
        self._lanes = lanes
        self._principals = principals
        self._wrapped: dict[str, Handler] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], "Handler | None"],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The wrapped handler of a method, made once."""
        note_arrival()
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(self, method: str, handler: Handler) -> Handler:
        lane = self._lanes.of(method)
        wrapped: Handler
        if handler.unary_unary is not None:
            call = self._unary(method, lane, handler.request_deserializer, handler.unary_unary)
            wrapped = grpc.stream_unary_rpc_method_handler(call, None, handler.response_serializer)
        elif handler.unary_stream is not None:
            call = self._stream(method, lane, handler.request_deserializer, handler.unary_stream)
            wrapped = grpc.stream_stream_rpc_method_handler(call, None, handler.response_serializer)
        elif handler.stream_stream is not None:
            call = self._conversation(method, lane, handler.stream_stream)
            wrapped = grpc.stream_stream_rpc_method_handler(
                call, handler.request_deserializer, handler.response_serializer
            )
        else:
            raise errors.NotSupported
        # Which threads run a handler is an attribute that grpc looks for, as its health service sets it.
        call.experimental_thread_pool = lane.pool  # type: ignore[attr-defined]
        return wrapped

    def _unary(
        self, method: str, lane: Lane, parse: "Parse | None", behavior: Callable[..., Any]
    ) -> Callable[..., Any]:
        # grpc answers INTERNAL when its own deserializer fails, so the bytes are parsed in here, where bad
        # ones are the caller's mistake.
        observe, admit = self._timer(method), self._admission(method)
        undelivered = self._metrics.undelivered.labels(method.rpartition("/")[2])

        def call(requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            try:
                admit(context)
                body = lane.body(requests, context)
                with lane.turn(context):
                    response = behavior(_parsed(parse, body), context)
            except Exception as error:
                self._abort(method, error, context, started)
            if not context.is_active():
                undelivered.inc()
            observe(started)
            return response

        return call

    def _stream(
        self, method: str, lane: Lane, parse: "Parse | None", behavior: Callable[..., Iterator[Any]]
    ) -> Callable[..., Iterator[Any]]:
        observe, admit = self._timer(method), self._admission(method)

        def call(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            started = time.perf_counter()
            try:
                admit(context)
                body = lane.body(requests, context)
                with lane.turn(context):
                    for response in behavior(_parsed(parse, body), context):
                        # A token may have been revoked since the stream began.
                        admit(context)
                        yield response
            except Exception as error:
                self._abort(method, error, context, started)
            observe(started)

        return call

    def _conversation(
        self, method: str, lane: Lane, behavior: Callable[..., Iterator[Any]]
    ) -> Callable[..., Iterator[Any]]:
        admit = self._admission(method)

        def call(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            started = time.perf_counter()
            try:
                admit(context)
                with lane.turn(context):
                    yield from behavior(requests, context)
            except Exception as error:
                self._abort(method, error, context, started)

        return call

    def _timer(self, method: str) -> Callable[[float], None]:
        """What notes the time of a call that went well, from when it started."""
        if not method.startswith(OWN_METHODS):
            return lambda _: None
        name = method.rpartition("/")[2]
        ok = self._metrics.request_seconds.labels(name, grpc.StatusCode.OK.name)
        return lambda started: ok.observe(time.perf_counter() - started)

    def _admission(self, method: str) -> Callable[[grpc.ServicerContext], None]:
        """What finds out who calls, and whether it may; anybody may ask for health."""
        known, roles = self._principals, permissions.roles_for(method)
        if known is None or method.startswith(HEALTH_METHODS):
            return _admit_anybody

        def admit(context: grpc.ServicerContext) -> None:
            principal = security.authenticate(context.invocation_metadata(), known)
            if method.startswith(OWN_METHODS):
                permissions.check(principal, method, roles)
            permissions.enter(principal, lambda: admit(context))

        return admit

    def _abort(
        self, method: str, error: Exception, context: grpc.ServicerContext, started: float
    ) -> NoReturn:
        if type(error) is grpc.RpcError:  # what a client gets from somebody else is of a narrower type
            raise error  # the caller left, or was made to: nobody is there to be told
        name = method.rpartition("/")[2]
        if not isinstance(error, TruebandError | NotImplementedError):
            logger.error("unhandled_exception", extra={"fields": {"method": name}}, exc_info=error)
        converted = rpc_status.to_status(statuses.status_of(error))
        seconds = time.perf_counter() - started
        if method.startswith(OWN_METHODS):
            self._metrics.request_seconds.labels(name, converted.code.name).observe(seconds)
        context.abort_with_status(converted)


def _admit_anybody(_: grpc.ServicerContext) -> None:
    """Without principals everybody is anonymous, which is what a context starts with."""


def _parsed(parse: Callable[[bytes], Any] | None, body: bytes) -> Any:
    try:
        return body if parse is None else parse(body)
    except DecodeError as error:
        violation = errors.Violation(
            "(the whole message)", "does not parse: wrong message type, or text that is not UTF-8"
        )
        raise errors.InvalidRequest((violation,)) from error
