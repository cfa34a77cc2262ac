"""Around every call: the timer, bytes to message, and error to status. Nothing else turns an exception into one."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from calibrators.errors import TruebandError
from sidecar import errors, statuses
from sidecar.telemetry import Metrics

logger = logging.getLogger(__name__)
# A string: grpc's classes are generic for the type checker only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
OWN_METHODS = "/trueband."


class CallInterceptor(grpc.ServerInterceptor):
    """Wraps the unary methods of the contract; health and reflection pass through."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
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
        if handler is None or not method.startswith(OWN_METHODS) or handler.unary_unary is None:
            return handler
        wrapped = self._wrap(method.rpartition("/")[2], handler)
        self._wrapped[method] = wrapped
        return wrapped

    def _wrap(self, name: str, handler: Handler) -> Handler:
        # grpc answers INTERNAL when its own deserializer fails, so the bytes are parsed in here, where bad
        # ones are the caller's mistake.
        parse = handler.request_deserializer
        behavior: Callable[[Any, grpc.ServicerContext], Any] = handler.unary_unary  # type: ignore[assignment]
        ok = self._metrics.request_seconds.labels(name, grpc.StatusCode.OK.name)

        def call(body: bytes, context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            try:
                response = behavior(_parsed(parse, body), context)
            except Exception as error:
                status = statuses.status_of(error)
                if not isinstance(error, TruebandError):
                    logger.exception("unhandled_exception", extra={"fields": {"method": name}})
                converted = rpc_status.to_status(status)
                self._metrics.request_seconds.labels(name, converted.code.name).observe(
                    time.perf_counter() - started
                )
                context.abort_with_status(converted)
            ok.observe(time.perf_counter() - started)
            return response

        return grpc.unary_unary_rpc_method_handler(call, None, handler.response_serializer)


def _parsed(parse: Callable[[bytes], Any] | None, body: bytes) -> Any:
    try:
        return body if parse is None else parse(body)
    except DecodeError as error:
        violation = errors.Violation(
            "(the whole message)", "does not parse: wrong message type, or text that is not UTF-8"
        )
        raise errors.InvalidRequest((violation,)) from error
