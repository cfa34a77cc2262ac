"""The port of the metrics: plain HTTP, whose callers hold a thread only for as long as they read and write."""

import contextlib
import socket
import threading
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

SILENCE_SECONDS = 5.0
"""How long a caller may say nothing, or read nothing, before it is hung up on."""

MOST_CONNECTIONS = 16


class MetricsPort:
    """Serves a registry's metrics from `start` to `stop`."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        """Binds the port.

        Raises:
            OSError: it cannot be bound.
        """
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        kind = type("_FamilyServer", (_Server,), {"address_family": family})
        self._server: _Server = kind((host, port), _Handler)
        self._server.set_app(make_wsgi_app(registry))
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Ends at once, also for callers that are still reading."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(WSGIRequestHandler):
    timeout = SILENCE_SECONDS

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # hung up on
            super().handle()

    def log_message(self, *_: Any) -> None:
        """A scrape is no event."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        # Oldest first; each operation on a dict is atomic.
        self._open: dict[Any, None] = {}
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Gives a connection a thread; where too many are open, the oldest one makes way."""
        if len(self._open) >= MOST_CONNECTIONS:
            for oldest in list(self._open)[:1]:
                self._open.pop(oldest, None)
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection that was answered, or given up."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is no event."""
