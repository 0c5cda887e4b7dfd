"""Many idle conversations, the end of the relayer, and TLS to the node."""

from __future__ import annotations

import gc
from pathlib import Path

import trio

from tests.websocket.frames import CLOSE, FrameSocket
from tests.websocket.kit import (
    Node,
    answer_of,
    ask,
    connect,
    message,
    refusal,
    until,
    websocket_bench,
)

MAX_BYTES_PER_CONVERSATION = 150_000


def resident_bytes() -> int:
    """Memory of this process: relayer, client and node together."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4_096


async def test_idle_conversations_are_cheap(redis_url: str, *, soak: bool) -> None:
    """1,000 of them (100 without --soak) stay open, answer, and cost little each."""
    count = 1_000 if soak else 100
    node = Node()
    async with websocket_bench(redis_url, node) as b:
        first = await connect(b)
        await ask(b, first, b"warm")
        gc.collect()
        before = resident_bytes()
        sockets = [await connect(b) for _ in range(count)]
        gc.collect()
        each = (resident_bytes() - before) / count
        assert b.value("ha_relayer_websocket_connections_active", service_id="anvil") == count + 1
        # Client and node of each live in this process too.
        assert each < MAX_BYTES_PER_CONVERSATION
        for number in range(0, count, 50):
            assert await ask(b, sockets[number], b"%d" % number) == b"re:%d" % number
        began = trio.current_time()
        b.relayer_scope.cancel()
        with trio.fail_after(10):
            for socket in sockets:
                got = await socket.receive()
                assert (got.opcode, got.code) == (CLOSE, 1012)
                await socket.aclose()
            await b.relayer_stopped.wait()
        assert trio.current_time() - began < 2.0 + count / 200
        await first.aclose()


async def test_the_end_of_the_relayer_is_1012_for_both(redis_url: str) -> None:
    """K-13: nobody is left without a word, and new handshakes are refused."""
    node = Node()
    async with websocket_bench(redis_url, node) as b:
        socket = await connect(b)
        await ask(b, socket, b"x")
        b.relayer_scope.cancel()
        with trio.fail_after(5):
            got = await socket.receive()
            await b.relayer_stopped.wait()
        assert (got.opcode, got.code, got.reason) == (CLOSE, 1012, "relayer is shutting down")
        assert node.said_goodbye == [(1012, "relayer is shutting down")]
        await socket.aclose()


async def test_what_is_in_hand_is_answered_before_the_end(redis_url: str) -> None:
    """An open request is answered and logged, then 1012; nothing new is taken."""
    release, asked = trio.Event(), trio.Event()

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        asked.set()
        await release.wait()
        await socket.send(b"late but there")
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        await socket.send(message(b.chain, b"x"))
        await asked.wait()
        b.relayer_scope.cancel()
        await until(lambda: b.relayer.engine.draining)
        await socket.send(message(b.chain, b"too late"))
        release.set()
        with trio.fail_after(5):
            got = await socket.receive()
            assert answer_of(b, got.payload).payload == b"late but there"
            assert (await socket.receive()).code == 1012
        assert len(await b.logged()) == 1
        await socket.aclose()


async def test_an_answer_that_never_comes_does_not_hold_up_the_end(redis_url: str) -> None:
    """Half the drain's time is waited, then 1012."""

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        await socket.send(message(b.chain, b"x"))
        began = trio.current_time()
        b.relayer_scope.cancel()
        with trio.fail_after(5):
            assert (await socket.receive()).code == 1012
            await b.relayer_stopped.wait()
        assert trio.current_time() - began < 2.0
        await socket.aclose()


async def test_a_client_that_ignores_the_end_does_not_hold_it_up(redis_url: str) -> None:
    """Its half of the farewell is waited for a little while only."""
    async with websocket_bench(redis_url) as b:
        socket = await connect(b)
        await ask(b, socket, b"x")
        b.relayer_scope.cancel()
        began = trio.current_time()
        with trio.fail_after(5):
            await b.relayer_stopped.wait()
        assert trio.current_time() - began < 1.5
        await socket.aclose()


async def test_ended_conversations_leave_nothing_behind(redis_url: str) -> None:
    """Gauge, registry and watchdog are as before."""
    node = Node()
    async with websocket_bench(redis_url, node) as b:
        watched = len(b.relayer._watchdog)
        for number in range(20):
            socket = await connect(b)
            await ask(b, socket, b"%d" % number)
            await socket.close(1000)
            await socket.ended()
            await socket.aclose()
        await until(lambda: not len(b.relayer._bridges))
        await until(lambda: len(b.relayer._watchdog) <= watched)
        assert b.value("ha_relayer_websocket_connections_active", service_id="anvil") == 0
        assert b.value("ha_relayer_websocket_connections_total", service_id="anvil") == 20
        status, _ = await refusal(b, b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert status == 200
