"""WebSocket relays through one relayer process, checked and logged: how many, at what cost.

The relayer is that of `relayminer.testing`: a real store, real sockets, real signatures, a chain in
memory. Node and client are processes of their own, one relay in flight on each connection.

    python -m benchmarks.websocket node | relayer NODE_PORT | client PORT CONNECTIONS SECONDS
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from wsproto.utilities import generate_accept_token

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.processes import (
    BenchmarkError,
    Child,
    idle_connection_bytes,
    measured,
    printed_port,
    until_told,
)
from relayminer.config.settings import RedisSettings
from relayminer.protocol.codec import encode
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.relay import request_hash
from relayminer.protocol.ring import sign_ring
from relayminer.state.embedded import open_store
from relayminer.testing.backend import Backend
from relayminer.testing.relayer import bench, settings
from relayminer.testing.small_chain import SERVICE, SmallChain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from relayminer.config.settings import RelayerSettings

CONNECTIONS = 50
WARM_UP_SECONDS = 1.5
EXPECTED_RELAYS_PER_SECOND = 2_500
ANSWER_SECONDS = 30.0
MAX_CPU_US = 550
MIN_RELAYS_PER_SECOND = 1_000
HOST = "127.0.0.1"
BODY = b'{"jsonrpc":"2.0","id":1,"result":"0x' + b"0" * 64 + b'"}'

_HEAD = (
    b"GET / HTTP/1.1\r\nHost: relayer\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Target-Service-Id: %b\r\n\r\n" % SERVICE.encode()
)
_KEY = re.compile(rb"sec-websocket-key: *([^\r]+)", re.IGNORECASE)


def websocket_figures(*, seconds: float, console: Console) -> list[Figure]:
    """`ws_relays_per_s`, `ws_relay_cpu_us`, `ws_idle_connection_bytes`."""
    with tempfile.TemporaryDirectory(prefix="relayminer-bench-") as name:
        directory = Path(name)
        module = ["-m", "benchmarks.websocket"]
        console.print("starting a WebSocket node and a relayer ...")
        with Child("node", [*module, "node"], directory) as node:
            port = printed_port(node)
            with Child("relayer", [*module, "relayer", port, name], directory) as relayer:
                port = printed_port(relayer)
                figures = _load(relayer, port, seconds, console)
                each = idle_connection_bytes(relayer, lambda: _connect(int(port)))
                return [*figures, Figure("ws_idle_connection_bytes", each, "B")]


def _load(relayer: Child, port: str, seconds: float, console: Console) -> list[Figure]:
    console.print(f"WebSocket, {CONNECTIONS} connections: signing and sending relays ...")
    arguments = ["client", port, str(CONNECTIONS), str(seconds)]
    pace = measured(relayer, ["-m", "benchmarks.websocket", *arguments])
    return [
        at_least("ws_relays_per_s", pace.per_second, "1/s", MIN_RELAYS_PER_SECOND),
        at_most("ws_relay_cpu_us", pace.cpu_us, "us", MAX_CPU_US),
    ]


def _connect(port: int) -> socket.socket:
    client = socket.create_connection((HOST, port), timeout=ANSWER_SECONDS)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(_HEAD)
    if not (head := _head(client)).startswith(b"HTTP/1.1 101"):
        raise BenchmarkError(f"refused: {head!r}")
    return client


# The relayer.


async def _relayer(node_port: str, directory: str) -> None:
    def configure(_: str) -> RelayerSettings:
        return settings(f"ws://{HOST}:{node_port}", backend_type="websocket")

    home = Path(directory) / "store"
    async with (
        open_store(RedisSettings(), home) as url,
        bench(url, backend=Backend(), configure=configure) as b,
    ):
        print(b.address[1], flush=True)
        await until_told()


# The node: answers every message with the same bytes.


class _Frames:
    """Whole frames out of a stream of bytes."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = b""

    def count(self, data: bytes) -> int:
        """How many frames are complete now; they are forgotten."""
        data = self.data = self.data + data
        at = whole = 0
        while len(data) >= at + 2:
            size, head = data[at + 1] & 0x7F, 6 if data[at + 1] & 0x80 else 2
            if size == _TWO_BYTES:
                if len(data) < at + 4:
                    break
                size, head = struct.unpack_from(">H", data, at + 2)[0], head + 2
            if len(data) < at + head + size:
                break
            at += head + size
            whole += 1
        self.data = data[at:]
        return whole


_TWO_BYTES = 126


def _frame(payload: bytes, *, masked: bool) -> bytes:
    """A binary frame; the mask is all zeros, which is as good as any here."""
    bit, mask = (0x80, bytes(4)) if masked else (0, b"")
    if len(payload) < _TWO_BYTES:
        return struct.pack(">BB", 0x82, bit | len(payload)) + mask + payload
    return struct.pack(">BBH", 0x82, bit | _TWO_BYTES, len(payload)) + mask + payload


def _node() -> None:
    listener = socket.create_server((HOST, 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, tuple[socket.socket, _Frames]] = {}
    answer = _frame(BODY, masked=False)
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                key = _KEY.search(_head(client))
                client.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
                    % generate_accept_token(key[1] if key else b"")
                )
                clients[client.fileno()] = client, _Frames()
                poll.register(client, select.EPOLLIN)
                continue
            client, frames = clients[number]
            data = client.recv(65_536)
            if not data:
                poll.unregister(client)
                clients.pop(number)[0].close()
            elif whole := frames.count(data):
                client.sendall(answer * whole)


def _head(connected: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connected.recv(65_536)
        if not more:
            raise BenchmarkError("the handshake was cut off")
        data += more
    return data


# The client.


def _signed(count: int) -> Iterator[bytes]:
    chain = SmallChain()
    for number in range(count):
        call = {"id": number, "jsonrpc": "2.0", "method": "eth_getBalance", "params": ["0x"]}
        request = RelayRequest(payload=json.dumps(call).encode())
        request.meta.session_header.CopyFrom(chain.header(15))
        request.meta.supplier_operator_address = chain.supplier_keys[0].address
        request.meta.signature = sign_ring(request_hash(request), chain.ring, chain.gateway_key)
        yield _frame(encode(request), masked=True)


def _client(port: str, connections: str, seconds: str) -> None:
    loaded_seconds = WARM_UP_SECONDS + float(seconds)
    messages = iter(list(_signed(int(EXPECTED_RELAYS_PER_SECOND * loaded_seconds))))
    poll = select.epoll()
    clients: dict[int, tuple[socket.socket, _Frames]] = {}
    for _ in range(int(connections)):
        client = _connect(int(port))
        poll.register(client, select.EPOLLIN)
        clients[client.fileno()] = client, _Frames()
        client.sendall(next(messages))
    begin, relays, measuring = time.perf_counter() + WARM_UP_SECONDS, 0, False
    end = begin + float(seconds)
    message: bytes | None = b""
    while (now := time.perf_counter()) < end and message is not None:
        if now >= begin and not measuring:
            begin, relays, measuring = now, 0, True
            print("measuring", flush=True)
        for number, _ in poll.poll(ANSWER_SECONDS):
            client, frames = clients[number]
            data = client.recv(65_536)
            if not data or data[0] & 0x0F == _CLOSE:
                raise BenchmarkError(f"the relayer closed the connection: {data!r}")
            if frames.count(data):
                relays += 1
                message = next(messages, None)
                if message is not None:
                    client.sendall(message)
    print(json.dumps({"relays": relays, "seconds": time.perf_counter() - begin}), flush=True)


_CLOSE = 8


def main() -> None:
    """One of the processes."""
    role, *arguments = sys.argv[1:]
    if role == "node":
        _node()
    elif role == "relayer":
        node_port, directory = arguments
        trio.run(_relayer, node_port, directory)
    else:
        _client(*arguments)


if __name__ == "__main__":
    main()
