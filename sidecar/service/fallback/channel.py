"""The connection to a secondary model: one channel for all calls, made anew when its TLS files change."""

import threading
from pathlib import Path

import grpc
from open_inference import model_infer_pb2, model_infer_pb2_grpc

from sidecar import errors
from sidecar.policy.secondary import Tls
from sidecar.service.fallback.steps import StepFailed

MAX_RESPONSE_BYTES = 1 << 20
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.keepalive_time_ms", 30_000),
)


class _Line:
    """A gRPC channel that closes when the last call on it is through.

    A stub that is made, or called, on a channel that another thread has closed ends the process with a
    segmentation fault (seen with grpcio 1.85), so the stub is made once and calls are counted.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._stub = model_infer_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._lock = threading.Lock()
        self._calls = 0
        self._closing = False

    def infer(
        self, request: model_infer_pb2.ModelInferRequest, timeout_seconds: float
    ) -> model_infer_pb2.ModelInferResponse | None:
        """The response, or None where the line is closed."""
        with self._lock:
            if self._closing:
                return None
            self._calls += 1
        try:
            return self._stub.ModelInfer(request, timeout=timeout_seconds, wait_for_ready=False)
        finally:
            with self._lock:
                self._calls -= 1
                last = self._closing and self._calls == 0
            if last:
                self._channel.close()

    def close(self) -> None:
        """Takes no more calls, and closes the channel once the open ones are through."""
        with self._lock:
            idle = not self._closing and self._calls == 0
            self._closing = True
        if idle:
            self._channel.close()


class Channel:
    """The way to one address, for all threads."""

    def __init__(self, address: str, tls: Tls | None) -> None:
        """Connects on the first call.

        Args:
            address: HOST:PORT or unix:PATH.
            tls: PEM files; None talks in clear.

        Raises:
            errors.PolicyRefused: a TLS file cannot be read.
        """
        self._address = address
        self._tls = tls
        self._lock = threading.Lock()
        self._files = _read(tls)
        self._line = self._connected(self._files)
        self._closed = False

    def infer(
        self, request: model_infer_pb2.ModelInferRequest, timeout_seconds: float
    ) -> model_infer_pb2.ModelInferResponse:
        """The response.

        Raises:
            grpc.RpcError: any status but OK.
            StepFailed: CANCELLED, where the connection was closed: another policy is in force.
        """
        response = self._line.infer(request, timeout_seconds)
        if response is None:
            # A refresh may have replaced the line between the two steps above; a second one has not.
            response = self._line.infer(request, timeout_seconds)
        if response is None:
            raise StepFailed("the connection is closed", code="CANCELLED")
        return response

    def refresh(self) -> bool:
        """Whether the TLS files changed, so that the next call goes over a new channel.

        gRPC's clients in Python read their files once, and certificates are short-lived. Files that cannot be
        read, as while they are being replaced, leave the channel as it is.
        """
        if self._tls is None:
            return False
        with self._lock:
            try:
                files = _read(self._tls)
            except errors.PolicyRefused:
                return False
            if self._closed or files == self._files:
                return False
            old, self._line, self._files = self._line, self._connected(files), files
        old.close()
        return True

    def close(self) -> None:
        """Takes no more calls, and closes once the open ones are through."""
        with self._lock:
            self._closed = True
            self._line.close()

    def _connected(self, files: tuple[bytes, ...]) -> _Line:
        if self._tls is None:
            return _Line(grpc.insecure_channel(self._address, options=OPTIONS))
        ca, certificate, key = files
        credentials = grpc.ssl_channel_credentials(ca or None, key or None, certificate or None)
        return _Line(grpc.secure_channel(self._address, credentials, options=OPTIONS))


def _read(tls: Tls | None) -> tuple[bytes, ...]:
    if tls is None:
        return ()
    contents = []
    for path in (tls.ca, tls.certificate, tls.key):
        try:
            contents.append(Path(path).read_bytes() if path else b"")
        except OSError as error:
            raise errors.PolicyRefused(f"fallback: tls: {path}: cannot be read: {error.strerror}") from error
    return tuple(contents)
