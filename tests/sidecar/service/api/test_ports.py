"""What the ports promise to every client, whatever it calls."""

import socket
from concurrent.futures import ThreadPoolExecutor

import grpc

from sidecar.service.api import ports

INTERVAL = "grpc.http2.min_ping_interval_without_data_ms"
PING, GOAWAY = 6, 7


def test_a_client_that_calls_nothing_may_ping_every_ten_seconds():
    """Shown with pings as fast as they are answered, and the least interval at nothing: the option is heeded."""
    assert dict(ports.OPTIONS)[INTERVAL] < 10_000
    options = [(name, 0 if name == INTERVAL else value) for name, value in ports.OPTIONS]
    server = grpc.server(ThreadPoolExecutor(1), options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    kinds = []
    with socket.create_connection(("127.0.0.1", port)) as raw, raw.makefile("rb") as reader:
        raw.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, b""))
        for number in range(8):
            raw.sendall(frame(PING, number.to_bytes(8, "big")))
            kinds.append(answer(reader))
    server.stop(None).wait()
    assert kinds == [PING] * 8


def frame(kind, payload):
    return len(payload).to_bytes(3, "big") + bytes((kind, 0, 0, 0, 0, 0)) + payload


def answer(reader):
    """The kind of the next frame that is an answer to a ping, or the end."""
    while True:
        head = reader.read(9)
        if not head:
            return GOAWAY
        reader.read(int.from_bytes(head[:3], "big"))
        if head[3] == GOAWAY or (head[3] == PING and head[4] == 1):
            return head[3]
