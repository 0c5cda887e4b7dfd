"""A light client: raw sockets, one request in flight on each, bytes that were signed before.

A program of its own, so that what it costs is seen apart. It prints `measuring` when its warm-up is
over, `measured` when the time is, and one JSON object once every answer has come.

    python -m benchmarks.load_client HOST PORT CONNECTIONS SECONDS CORPUS FIRST
"""

from __future__ import annotations

import json
import mmap
import re
import select
import socket
import struct
import sys
import time
from pathlib import Path

WARM_UP_SECONDS = 1.0
ANSWER_TIMEOUT_SECONDS = 30.0
OK = b"HTTP/1.1 200"

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_SIZE = struct.Struct(">I")


def write_corpus(path: Path, requests: list[bytes]) -> None:
    """Store whole HTTP requests, each after its length."""
    with path.open("wb") as file:
        for request in requests:
            file.write(_SIZE.pack(len(request)) + request)


class Corpus:
    """The requests of a file, given out one by one."""

    def __init__(self, path: Path, first: int) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 0
        self.given = 0
        for _ in range(first):
            self._at += 4 + _SIZE.unpack_from(self._data, self._at)[0]

    def next(self) -> bytes:
        """The next request; empty when all were given out."""
        if self._at >= len(self._data):
            return b""
        start = self._at + 4
        self._at = start + _SIZE.unpack_from(self._data, self._at)[0]
        self.given += 1
        return self._data[start : self._at]


class Connection:
    """A socket with at most one request in flight."""

    __slots__ = ("expected", "received", "sent_at", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=ANSWER_TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.expected = 0
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        """Put a request in flight."""
        self.received = b""
        self.expected = 0
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take what has come; True when the answer is whole."""
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("the relayer closed the connection")
        self.received += data
        if not self.expected:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return False
            length = _LENGTH.search(self.received, 0, end)
            self.expected = end + 4 + (int(length[1]) if length else 0)
        return len(self.received) >= self.expected


class Load:
    """The run: warm-up, measured time, what came of it."""

    def __init__(self, address: tuple[str, int], connections: int, corpus: Corpus) -> None:
        self._corpus = corpus
        self._poll = select.epoll()
        self._clients: dict[int, Connection] = {}
        for _ in range(connections):
            client = Connection(address)
            self._clients[client.socket.fileno()] = client
            self._poll.register(client.socket, select.EPOLLIN)
        self.latencies: list[float] = []
        self.answered = 0
        self.refused = 0
        self.first_refusal = ""

    def run(self, seconds: float) -> float:
        """Send for `seconds` after the warm-up; returns the seconds actually measured."""
        begin = time.perf_counter() + WARM_UP_SECONDS
        end = begin + seconds
        measuring = False
        for client in self._clients.values():
            client.send(self._corpus.next())
        while True:
            now = time.perf_counter()
            if not measuring and now >= begin:
                measuring = True
                begin = now
                self.latencies.clear()
                print("measuring", flush=True)
            if now >= end or not self._turn():
                break
        measured_seconds = time.perf_counter() - begin
        print("measured", flush=True)
        return measured_seconds

    def finish(self) -> None:
        """Take the answers that are under way."""
        while self.answered < self._corpus.given:
            for client in self._ready():
                if client.receive():
                    self._count(client)

    def _turn(self) -> bool:
        """Serve what is ready; False when there is nothing left to send."""
        for client in self._ready():
            if not client.receive():
                continue
            self.latencies.append(time.perf_counter() - client.sent_at)
            self._count(client)
            request = self._corpus.next()
            if not request:
                return False
            client.send(request)
        return True

    def _ready(self) -> list[Connection]:
        ready = self._poll.poll(ANSWER_TIMEOUT_SECONDS)
        if not ready:
            raise TimeoutError(f"no answer within {ANSWER_TIMEOUT_SECONDS} s")
        return [self._clients[number] for number, _ in ready]

    def _count(self, client: Connection) -> None:
        self.answered += 1
        if not client.received.startswith(OK):
            self.refused += 1
            self.first_refusal = self.first_refusal or client.received[:400].decode("latin-1")


def main() -> None:
    """Run one load level as the command line says."""
    host, port, connections, seconds, path, first = sys.argv[1:]
    corpus = Corpus(Path(path), int(first))
    load = Load((host, int(port)), int(connections), corpus)
    measured_seconds = load.run(float(seconds))
    latencies = list(load.latencies)
    cpu_seconds = time.process_time()
    sent = corpus.given
    load.finish()
    print(
        json.dumps(
            {
                "seconds": measured_seconds,
                "latencies_ms": [round(latency * 1000, 3) for latency in latencies],
                "refused": load.refused,
                "first_refusal": load.first_refusal,
                "sent": sent,
                "cpu_seconds": cpu_seconds,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
