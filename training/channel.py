"""A channel to a running sidecar, of which training is a client like any other."""

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import grpc

from calibrators.errors import TruebandError

DEFAULT_ADDRESS = "127.0.0.1:50051"


class CallFailed(TruebandError):
    """The sidecar did not answer, or refused."""

    code: ClassVar[str] = "CALL_FAILED"


def add_arguments(parser: argparse.ArgumentParser, *, address: str | None = None) -> None:
    """Adds `--address` and `--token-file`.

    Args:
        parser: of the command.
        address: the default where TRUEBAND_LISTEN says none.
    """
    parser.add_argument(
        "--address",
        default=os.environ.get("TRUEBAND_LISTEN") or address,
        metavar="HOST:PORT",
        help=f"of the sidecar, or unix:PATH (default: TRUEBAND_LISTEN{f', or {address}' if address else ''})",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the token that says who calls (default: the variable TRUEBAND_TOKEN)",
    )


def token_of(token_file: Path | None) -> str:
    """The token in a file, or else in the environment variable TRUEBAND_TOKEN; empty where there is none.

    Raises:
        CallFailed: the file cannot be read, or is empty.
    """
    if token_file is None:
        return os.environ.get("TRUEBAND_TOKEN", "").strip()
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CallFailed(f"--token-file {token_file}: cannot be read: {error}") from error
    if not token:
        raise CallFailed(f"--token-file {token_file}: is empty")
    return token


class _Bearer(grpc.UnaryUnaryClientInterceptor):
    """Sends a token with each call; gRPC's own call credentials would want TLS, which a socket does without."""

    def __init__(self, token: str) -> None:
        self._header = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        details = client_call_details
        return continuation(details._replace(metadata=[*(details.metadata or ()), self._header]), request)


@contextlib.contextmanager
def connect(address: str, *, token: str = "") -> Iterator[grpc.Channel]:
    """A channel to `HOST:PORT` or `unix:PATH`, that says who calls where there is a token.

    Raises:
        CallFailed: a call inside the block failed; the message is the server's, or says how to reach one.
    """
    with grpc.insecure_channel(address) as channel:
        try:
            yield grpc.intercept_channel(channel, _Bearer(token)) if token else channel
        except grpc.RpcError as error:
            status = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
            details = (error.details() if isinstance(error, grpc.Call) else None) or str(error)
            if status is grpc.StatusCode.UNAVAILABLE and "connect" in details.lower():
                details = f"nothing answers at {address}; start a sidecar there, or set --address"
            raise CallFailed(f"{status.name}: {details}") from error
