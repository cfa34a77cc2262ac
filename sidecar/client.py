"""A channel to a running sidecar, for the command lines; its failures as errors of ours."""

import contextlib
from collections.abc import Iterator
from typing import ClassVar

import grpc

from calibrators.errors import TruebandError

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEADLINE_SECONDS = 10.0


class CallFailed(TruebandError):
    """The sidecar did not answer, or refused."""

    code: ClassVar[str] = "CALL_FAILED"


@contextlib.contextmanager
def connect(address: str) -> Iterator[grpc.Channel]:
    """A channel to `HOST:PORT` or `unix:PATH`.

    Raises:
        CallFailed: a call inside the block failed; the message is the server's, or says how to reach one.
    """
    with grpc.insecure_channel(address) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            status = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
            details = (error.details() if isinstance(error, grpc.Call) else None) or str(error)
            if status is grpc.StatusCode.UNAVAILABLE and "connect" in details.lower():
                details = f"nothing answers at {address}; start one with `python -m sidecar serve`, or set --address"
            raise CallFailed(f"{status.name}: {details}") from error
