"""Reflection: what the port offers, for tools. Versions v1 and v1alpha have the same messages."""

from collections.abc import Iterable

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

ALPHA = reflection.SERVICE_NAME
STABLE = "grpc.reflection.v1.ServerReflection"


def add_reflection(services: Iterable[str], server: grpc.Server) -> None:
    """Lets tools ask for the descriptors of these services, by either version of the protocol."""
    servicer = reflection.ReflectionServicer((*services, ALPHA))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in (ALPHA, STABLE):
        generic = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
        server.add_generic_rpc_handlers((generic,))
