"""The client of the contract: where a sidecar is, who calls it, and failures as errors of ours."""

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import grpc

from calibrators.errors import TruebandError

ADDRESS_VARIABLE, LISTEN_VARIABLE, TOKEN_VARIABLE = "TRUEBAND_ADDRESS", "TRUEBAND_LISTEN", "TRUEBAND_TOKEN"
DEFAULT_ADDRESS = "127.0.0.1:50051"
DEADLINE_SECONDS = 10.0


class CallFailed(TruebandError):
    """The sidecar did not answer, or refused."""

    code: ClassVar[str] = "CALL_FAILED"


def add_arguments(parser: argparse.ArgumentParser, *, address: str = DEFAULT_ADDRESS) -> None:
    """Adds `--address` and `--token-file`.

    Args:
        parser: of the command.
        address: where the environment names none; empty: then there is none.
    """
    otherwise = f", or {address}" if address else ""
    parser.add_argument(
        "--address",
        default=address_in(os.environ) or address,
        metavar="HOST:PORT",
        help=f"of the sidecar, or unix:PATH (default: {ADDRESS_VARIABLE}, or {LISTEN_VARIABLE}{otherwise})",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"says who calls, where the sidecar has a principals file (default: {TOKEN_VARIABLE})",
    )


def address_in(environment: Mapping[str, str]) -> str:
    """Where the sidecar is: what clients are told, or else what the sidecar itself is told to listen on; or empty."""
    return environment.get(ADDRESS_VARIABLE) or environment.get(LISTEN_VARIABLE) or ""


def token_of(token_file: Path | None) -> str:
    """The token in a file, or else in the environment variable TRUEBAND_TOKEN; empty where there is none.

    Raises:
        CallFailed: the file cannot be read, or is empty.
    """
    if token_file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CallFailed(f"--token-file {token_file}: cannot be read: {error}") from error
    if not token:
        raise CallFailed(f"--token-file {token_file}: is empty")
    return token


class _Bearer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Sends a token with each call; gRPC's own call credentials would want TLS, which a socket does without."""

    def __init__(self, token: str) -> None:
        self._header = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        return continuation(self._with_token(client_call_details), request)

    def intercept_unary_stream(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        return continuation(self._with_token(client_call_details), request)

    def _with_token(self, details: Any) -> Any:
        return details._replace(metadata=[*(details.metadata or ()), self._header])


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
                details = (
                    f"nothing answers at {address}; start one with `trueband-sidecar serve`, or set --address"
                )
            raise CallFailed(f"{status.name}: {details}") from error


def connection(arguments: argparse.Namespace) -> contextlib.AbstractContextManager[grpc.Channel]:
    """A channel as the flags of `add_arguments` say; see `connect`."""
    return connect(arguments.address, token=token_of(arguments.token_file))
