"""Frames that break the rules, clients that do not read, and nodes that will not stop."""

from __future__ import annotations

import os
import random
import socket as sockets
import struct
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.config.settings import RelayerSettings, WebSocketSettings
from tests.websocket.frames import (
    BINARY,
    CLOSE,
    ClosedError,
    FrameSocket,
    close_payload,
    frame,
)
from tests.websocket.kit import (
    Node,
    answer_of,
    ask,
    configure,
    connect,
    message,
    open_conversations,
    until,
    websocket_bench,
)

if TYPE_CHECKING:
    from relayminer.testing.relayer import Bench

HOSTILE = {
    "unmasked": (frame(BINARY, b"x", masked=False), 1002),
    "reserved bit": (frame(BINARY, b"x", masked=True, first=0xC0), 1002),
    "reserved opcode": (frame(3, b"x", masked=True), 1002),
    "reserved control": (frame(11, b"", masked=True), 1002),
    "fragmented ping": (frame(9, b"x", masked=True, first=0), 1002),
    "long ping": (b"\x89\xfe\x00\x7e" + bytes(130), 1002),
    "continuation of nothing": (frame(0, b"x", masked=True), 1002),
    "message within a message": (
        frame(BINARY, b"x", masked=True, first=0) + frame(BINARY, b"y", masked=True),
        1002,
    ),
    "length with too many bytes": (b"\x82\xfe\x00\x05" + bytes(9), 1002),
    "length beyond 63 bits": (b"\x82\xff" + b"\xff" * 8 + bytes(4), 1002),
    "one byte farewell": (frame(CLOSE, b"\x03", masked=True), 1002),
    "farewell with a reserved code": (frame(CLOSE, close_payload(1005), masked=True), 1002),
    "farewell with a low code": (frame(CLOSE, close_payload(7), masked=True), 1002),
    "farewell in no text": (frame(CLOSE, b"\x03\xe8\xff\xfe", masked=True), 1007),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_frame_that_breaks_the_rules_ends_its_conversation(
    redis_url: str, name: str
) -> None:
    """The offender is told why, the node that the peer is gone; others notice nothing."""
    node = Node()
    data, code = HOSTILE[name]
    async with websocket_bench(redis_url, node) as b:
        bystander, offender = await connect(b), await connect(b)
        await ask(b, bystander, b"a")
        await offender.stream.send_all(data + os.urandom(50_000))
        with trio.fail_after(5):
            got = await offender.receive()
            assert (got.opcode, got.code) == (CLOSE, code)
            await offender.ended()
            await node.gone.wait()
        assert node.said_goodbye == [(1001, "peer disconnected")]
        assert await ask(b, bystander, b"b") == b"re:b"
        await bystander.aclose()
        await offender.aclose()


async def test_a_node_that_breaks_the_rules_ends_its_conversation(redis_url: str) -> None:
    """The same for nodes: the client is told that the peer is gone."""

    async def talk(socket: FrameSocket) -> None:
        await socket.stream.send_all(frame(BINARY, b"x", masked=True))
        got = await socket.receive()
        assert (got.opcode, got.code) == (CLOSE, 1002)

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        got = await socket.receive()
        assert (got.opcode, got.code, got.reason) == (CLOSE, 1001, "peer disconnected")
        await socket.aclose()


async def test_mutated_frames_never_reach_the_node(redis_url: str, *, soak: bool) -> None:
    """Whatever the bytes: no crash, no hang, nothing forwarded that was not signed."""
    forwarded = []

    async def talk(socket: FrameSocket) -> None:
        while (got := await socket.receive()).opcode != CLOSE:
            forwarded.append(got.payload)

    dice = random.Random(3)  # noqa: S311 - the same mutations every time
    async with websocket_bench(redis_url, Node(talk)) as b:
        whole = frame(BINARY, message(b.chain, b"fuzz"), masked=False)
        masked = frame(BINARY, whole[4:], masked=True)
        for _ in range(2_000 if soak else 150):
            data = bytearray(masked)
            for _ in range(dice.randrange(1, 5)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            socket = await connect(b)
            with trio.fail_after(5):
                await socket.stream.send_all(bytes(data[: dice.randrange(1, len(data) + 1)]))
                await socket.stream.send_eof()
                await socket.ended()
            await socket.aclose()
        assert set(forwarded) <= {b"fuzz"}
        assert await b.logged() == []


async def test_a_flood_of_empty_fragments_costs_no_memory(redis_url: str) -> None:
    """A message that never ends is bounded by its bytes, and by the time for one message."""

    def brisk(url: str) -> RelayerSettings:
        return configure(
            url,
            websocket=WebSocketSettings(
                read_timeout_seconds=0.5, ping_interval_seconds=0.2, close_timeout_seconds=0.2
            ),
        )

    node = Node()
    async with websocket_bench(redis_url, node, configure=brisk) as b:
        socket = await connect(b)
        socket.answers_pings = False
        flood = frame(0, b"", masked=True, first=0) * 500
        await socket.send_frame(BINARY, b"", first=0)
        with trio.fail_after(10):
            try:
                while True:
                    await socket.stream.send_all(flood)
            except trio.BrokenResourceError:
                await node.gone.wait()
        assert node.said_goodbye == [(1001, "peer disconnected")]
        await socket.aclose()


async def test_a_client_that_does_not_read_holds_its_node_up(redis_url: str) -> None:
    """Backpressure: pushes wait in the node, not in our memory, and the write deadline ends it."""

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        while True:
            await socket.send(bytes(65_536))

    def brisk(url: str) -> RelayerSettings:
        return configure(
            url,
            websocket=WebSocketSettings(write_timeout_seconds=5.0, close_timeout_seconds=0.2),
        )

    def closed(b: Bench) -> float:
        name = "ha_relayer_websocket_connections_closed_total"
        # Giving up the write ends the connection, which the reader may find out first.
        return sum(b.value(name, service_id="anvil", code=code) for code in ("1011", "1001"))

    async with websocket_bench(redis_url, Node(talk), configure=brisk) as b:
        socket = await connect(b)
        await socket.send(message(b.chain, b"subscribe"))
        # Every window that the kernel opens a little lets one more write begin.
        await until(lambda: closed(b) == 1 and not open_conversations(b), seconds=60)
        # No more than a socket's buffers take was signed for a client that takes nothing.
        assert len(await b.logged()) * 65_536 < 64_000_000
        await socket.aclose()


async def test_messages_that_nobody_takes_are_bounded_over_all_conversations(
    redis_url: str,
) -> None:
    """A node whose message finds no room waits; it is answered whole once there is some."""
    large = 6_000_000

    async def talk(socket: FrameSocket) -> None:
        while (got := await socket.receive()).opcode != CLOSE:
            await socket.send(got.payload * (large // len(got.payload)))

    bound = partial(configure, max_answer_bytes_in_flight=1_000_000)
    async with websocket_bench(redis_url, Node(talk), configure=bound) as b:
        held = b.relayer.backends._held
        lazy, patient, gone = [await connect(b) for _ in range(3)]
        await lazy.send(message(b.chain, b"first"))
        await until(lambda: held.held_bytes >= large, 30)
        for number, socket in enumerate((patient, gone), 1):
            await socket.send(message(b.chain, b"later"))
            await until(lambda count=number: len(held._waiting) == count)  # type: ignore[misc]
        # Who leaves while its message waits for room leaves nothing behind.
        await gone.aclose()
        await until(lambda: len(held._waiting) == 1)
        assert held.held_bytes < 2 * large
        with trio.fail_after(30):
            for socket, payload in ((lazy, b"first"), (patient, b"later")):
                got = await socket.receive()
                answer = answer_of(b, got.payload).payload
                assert answer == payload * (large // len(payload))
        await until(lambda: not held.held_bytes)
        for socket in (lazy, patient):
            await socket.aclose()


async def test_a_node_that_does_not_read_holds_its_client_up(redis_url: str) -> None:
    """The other way round: 1011 `backend write failed`, and no charge for what did not arrive."""

    async def talk(_: FrameSocket) -> None:
        await trio.sleep_forever()

    def brisk(url: str) -> RelayerSettings:
        return configure(
            url,
            websocket=WebSocketSettings(write_timeout_seconds=0.5, close_timeout_seconds=0.2),
        )

    async with websocket_bench(redis_url, Node(talk), configure=brisk) as b:
        socket = await connect(b)
        # The writer below has the socket.
        socket.answers_close = socket.answers_pings = False
        body = message(b.chain, os.urandom(4_000_000))
        got = None

        async with trio.open_nursery() as nursery:

            async def write() -> None:
                try:
                    while True:
                        await socket.send(body)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return

            nursery.start_soon(write)
            with trio.fail_after(20):
                got = await socket.receive()
            nursery.cancel_scope.cancel()
        # Giving up the write ends the connection, which the reader may find out first.
        reasons = ((1011, "backend write failed"), (1001, "peer disconnected"))
        assert got.opcode == CLOSE
        assert (got.code, got.reason) in reasons
        await socket.aclose()


async def test_a_client_that_resets_hurts_nobody(redis_url: str) -> None:
    """RST in the middle of everything: the node is told, the next client is served."""
    node = Node()
    async with websocket_bench(redis_url, node) as b:
        for _ in range(5):
            socket = await connect(b)
            await socket.send(message(b.chain, b"x"))
            socket.stream.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
            await socket.aclose()
        with trio.fail_after(5):
            await node.gone.wait()
        other = await connect(b)
        assert await ask(b, other, b"y") == b"re:y"
        await other.aclose()


async def test_a_handshake_that_never_ends_is_given_up(redis_url: str) -> None:
    """A head is waited for as long as any HTTP head."""

    def brisk(url: str) -> RelayerSettings:
        return configure(url, header_timeout_seconds=0.3)

    async with websocket_bench(redis_url, configure=brisk) as b:
        stream = await trio.open_tcp_stream(*b.address)
        await stream.send_all(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n")
        with trio.fail_after(5):
            socket = FrameSocket(stream, masks=True)
            with pytest.raises(ClosedError):
                while True:
                    await socket._exactly(1)
        await stream.aclose()
