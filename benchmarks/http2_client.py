"""Relays over HTTP/2 from a client that costs little: frames made before, answers hardly looked at.

    python -m benchmarks.http2_client PORT KIND CONNECTIONS STREAMS SECONDS

KIND is `grpc` or `http2`. Each connection keeps STREAMS relays in flight. Prints `measuring` when
the measured time begins, and a line of JSON at its end.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING

from hpack import Encoder

from benchmarks.processes import BenchmarkError
from relayminer.testing.small_chain import SmallChain, request_body, signed_request

if TYPE_CHECKING:
    from collections.abc import Iterator

WARM_UP_SECONDS = 1.5
EXPECTED_RELAYS_PER_SECOND = 2_600
ANSWER_SECONDS = 30.0
HOST = "127.0.0.1"
METHOD = "/pocket.service.RelayService/SendRelay"

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _GOAWAY, _WINDOW_UPDATE = 0, 1, 4, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_INITIAL_WINDOW = 4
_LARGEST_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65_535
_MAX_FRAME_BYTES = 16_384
_HEAD = 9
_PREFIX = 5
_SIGNED_BYTES = 200
"""A signed response has more, a refusal less."""


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _fields(kind: str) -> list[tuple[str, str]]:
    """What a Go client says: of gRPC, or of HTTP."""
    head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", METHOD if kind == "grpc" else "/"),
        (":authority", "relayer.example:8080"),
    ]
    if kind == "grpc":
        return [
            *head,
            ("content-type", "application/grpc"),
            ("user-agent", "grpc-go/1.72.0"),
            ("te", "trailers"),
            ("grpc-timeout", "10S"),
        ]
    return [
        *head,
        ("content-type", "application/json"),
        ("rpc-type", "3"),
        ("accept-encoding", "gzip"),
        ("user-agent", "Go-http-client/2.0"),
    ]


class _Connection:
    """One connection; every answer ends in a frame with END_STREAM."""

    def __init__(self, port: int, kind: str) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._encoder = Encoder()
        self._fields = _fields(kind)
        self._next = 1
        self._received = b""
        self._served = 0
        window = struct.pack(">HI", _INITIAL_WINDOW, _LARGEST_WINDOW)
        more = struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW)
        self.socket.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, window)
            + _frame(_WINDOW_UPDATE, 0, 0, more)
            + _frame(_SETTINGS, _ACK, 0, b"")
        )

    def send(self, body: bytes) -> None:
        """One relay, in a stream of its own."""
        stream, self._next = self._next, self._next + 2
        block = self._encoder.encode(self._fields)
        self.socket.sendall(
            _frame(_HEADERS, _END_HEADERS, stream, block) + _frame(_DATA, _END_STREAM, stream, body)
        )

    def receive(self) -> int:
        """How many answers have ended."""
        data = self.socket.recv(262_144)
        if not data:
            raise BenchmarkError("the relayer closed the connection")
        data = self._received + data
        at = ended = 0
        while len(data) >= at + _HEAD:
            size = int.from_bytes(data[at : at + 3], "big")
            if len(data) < at + _HEAD + size:
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind == _GOAWAY:
                raise BenchmarkError("the relayer said GOAWAY")
            if kind == _DATA and size > _SIGNED_BYTES:
                self._served += 1
            if kind in {_DATA, _HEADERS} and flags & _END_STREAM:
                ended += 1
                self._served -= 1
                if self._served < 0:
                    raise BenchmarkError(f"a relay was refused: {data[at : at + 500]!r}")
            at += _HEAD + size
        self._received = data[at:]
        return ended


def greeted(port: int) -> socket.socket:
    """A connection whose settings the relayer has acknowledged."""
    client = _Connection(port, "http2").socket
    data = b""
    while _frame(_SETTINGS, _ACK, 0, b"") not in data:
        more = client.recv(65_536)
        if not more:
            raise BenchmarkError("the relayer closed the connection")
        data += more
    return client


def _signed(count: int, kind: str) -> Iterator[bytes]:
    """Relays of one session, each with a fresh signature."""
    chain = SmallChain()
    for _ in range(count):
        body = request_body(signed_request(chain))
        if len(body) + _PREFIX > _MAX_FRAME_BYTES:
            raise BenchmarkError("a relay that needs more than one frame")
        yield struct.pack(">BI", 0, len(body)) + body if kind == "grpc" else body


def run(port: int, kind: str, connections: int, streams: int, seconds: float) -> None:
    """Send relays, print what came of it."""
    total = int(EXPECTED_RELAYS_PER_SECOND * (WARM_UP_SECONDS + seconds))
    bodies = iter(list(_signed(total, kind)))
    poll = select.epoll()
    clients: dict[int, _Connection] = {}
    for _ in range(connections):
        client = _Connection(port, kind)
        poll.register(client.socket, select.EPOLLIN)
        clients[client.socket.fileno()] = client
        for _ in range(streams):
            client.send(next(bodies))
    begin, relays, measuring = time.perf_counter() + WARM_UP_SECONDS, 0, False
    end = begin + seconds
    body: bytes | None = b""
    while (now := time.perf_counter()) < end and body is not None:
        if now >= begin and not measuring:
            begin, relays, measuring = now, 0, True
            print("measuring", flush=True)
        for number, _ in poll.poll(ANSWER_SECONDS):
            client = clients[number]
            for _ in range(client.receive()):
                relays += 1
                body = next(bodies, None)
                if body is not None:
                    client.send(body)
    print(json.dumps({"relays": relays, "seconds": time.perf_counter() - begin}), flush=True)


def main() -> None:
    """As the command line says."""
    port, kind, connections, streams, seconds = sys.argv[1:]
    run(int(port), kind, int(connections), int(streams), float(seconds))


if __name__ == "__main__":
    main()
