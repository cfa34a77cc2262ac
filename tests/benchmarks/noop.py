"""A unary server that does nothing: what grpc itself costs here."""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc


def _echo(request: bytes, context: grpc.ServicerContext) -> bytes:
    return request


class _Anything(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        del handler_call_details  # whatever is called
        return grpc.unary_unary_rpc_method_handler(_echo)


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(6))
    server.add_generic_rpc_handlers((_Anything(),))
    server.add_insecure_port(sys.argv[1])
    server.start()
    server.wait_for_termination()
