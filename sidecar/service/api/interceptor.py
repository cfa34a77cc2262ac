"""Around every call: who calls, the timer, bytes to message, and error to status.

Nothing else turns an exception into a status.
"""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from calibrators.errors import TruebandError
from sidecar import errors
from sidecar.service.api import permissions, security, statuses
from sidecar.service.api.security import KnownPrincipals
from sidecar.service.telemetry import Metrics

logger = logging.getLogger(__name__)
# A string: grpc's classes are generic for the type checker only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
OWN_METHODS = "/trueband."


class CallInterceptor(grpc.ServerInterceptor):
    """Wraps the methods of the contract; health and reflection pass through."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        principals: KnownPrincipals | None = None,
        stream_pool: ThreadPoolExecutor | None = None,
    ) -> None:
        """Takes what it needs.

        Args:
            metrics: gets the time of each call.
            principals: tells callers apart; None: everybody is anonymous.
            stream_pool: threads for streams, each of which has one for as long as it is open; None: those of
                the server, of which streams must not take all.
        """
        self._metrics = metrics
        self._principals = principals
        self._stream_pool = stream_pool
        self._wrapped: dict[str, Handler] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], "Handler | None"],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The wrapped handler of a method of ours, made once; any other one as it is."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler = continuation(handler_call_details)
        if handler is None or not method.startswith(OWN_METHODS):
            return handler
        if handler.unary_unary is not None:
            wrapped = self._wrap(method, handler, handler.unary_unary)
        elif handler.unary_stream is not None:
            wrapped = self._wrap_stream(method, handler, handler.unary_stream)
        else:
            raise errors.NotSupported
        self._wrapped[method] = wrapped
        return wrapped

    def _wrap(self, method: str, handler: Handler, behavior: Callable[..., Any]) -> Handler:
        # grpc answers INTERNAL when its own deserializer fails, so the bytes are parsed in here, where bad
        # ones are the caller's mistake.
        name = method.rpartition("/")[2]
        parse = handler.request_deserializer
        ok = self._metrics.request_seconds.labels(name, grpc.StatusCode.OK.name)
        admit = self._admission(method)

        def call(body: bytes, context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            try:
                admit(context)
                response = behavior(_parsed(parse, body), context)
            except Exception as error:
                self._abort(name, error, context, started)
            ok.observe(time.perf_counter() - started)
            return response

        return grpc.unary_unary_rpc_method_handler(call, None, handler.response_serializer)

    def _wrap_stream(self, method: str, handler: Handler, behavior: Callable[..., Iterator[Any]]) -> Handler:
        name = method.rpartition("/")[2]
        parse = handler.request_deserializer
        ok = self._metrics.request_seconds.labels(name, grpc.StatusCode.OK.name)
        admit = self._admission(method)

        def call(body: bytes, context: grpc.ServicerContext) -> Iterator[Any]:
            started = time.perf_counter()
            try:
                admit(context)
                yield from behavior(_parsed(parse, body), context)
            except Exception as error:
                self._abort(name, error, context, started)
            ok.observe(time.perf_counter() - started)

        if self._stream_pool is not None:
            # Which threads run a handler is an attribute that grpc looks for, as its health service sets it.
            call.experimental_thread_pool = self._stream_pool  # type: ignore[attr-defined]
        return grpc.unary_stream_rpc_method_handler(call, None, handler.response_serializer)

    def _admission(self, method: str) -> Callable[[grpc.ServicerContext], None]:
        """What finds out who calls, and whether it may."""
        known, roles = self._principals, permissions.roles_for(method)
        if known is None:
            return _admit_anybody

        def admit(context: grpc.ServicerContext) -> None:
            principal = security.authenticate(context.invocation_metadata(), known)
            permissions.check(principal, method, roles)
            permissions.enter(principal)

        return admit

    def _abort(self, name: str, error: Exception, context: grpc.ServicerContext, started: float) -> None:
        if not isinstance(error, TruebandError | NotImplementedError):
            logger.error("unhandled_exception", extra={"fields": {"method": name}}, exc_info=error)
        converted = rpc_status.to_status(statuses.status_of(error))
        seconds = time.perf_counter() - started
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
