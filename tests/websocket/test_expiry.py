"""The end of a session (relayer.md 3.6): a signed notice, then 4000; and who outlives it."""

from __future__ import annotations

import trio

from relayminer.protocol.envelope import decode_http_response
from tests.websocket.frames import BINARY, FrameSocket
from tests.websocket.kit import Node, answer_of, ask, connect, websocket_bench
from tests.websocket.test_closing import closing, told


async def test_an_expired_session_is_told_and_closed_with_4000(redis_url: str) -> None:
    """3.6: after the grace period a signed 410 in a binary frame, then 4000; the node gets 1001."""
    node = Node()
    async with websocket_bench(redis_url, node) as b:
        socket = await connect(b)
        await ask(b, socket, b"x", text=True)
        b.moment.observe(21)
        assert await ask(b, socket, b"y", text=True) == b"re:y"
        b.moment.observe(22)
        with trio.fail_after(5):
            got = await socket.receive()
        assert got.opcode == BINARY
        notice = answer_of(b, got.payload)
        assert notice.meta.session_header == b.chain.header(15)
        assert notice.relay_miner_error.code == 410
        assert notice.relay_miner_error.description == "session expired"
        inner = decode_http_response(notice.payload)
        assert inner.status == 410
        assert list(inner.headers["Content-Type"]) == ["application/json"]
        assert inner.body == b'{"error":"session expired"}'
        assert await closing(socket) == (4000, "session expired")
        assert await told(node) == (1001, "session ended")
        assert len(await b.logged()) == 2


async def test_a_push_after_the_session_is_not_served(redis_url: str) -> None:
    """A push that is faster than the clockwork ends the conversation all the same."""
    push = trio.Event()

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        await socket.send(b"first")
        await push.wait()
        await socket.send(b"late")
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        assert await ask(b, socket, b"x") == b"first"
        b.moment.observe(22)
        push.set()
        got = await socket.receive()
        assert answer_of(b, got.payload).relay_miner_error.code == 410
        assert (await closing(socket))[0] == 4000
        assert len(await b.logged()) == 1


async def test_the_latest_request_decides_on_the_end(redis_url: str) -> None:
    """K-8: a connection that has moved on to the next session outlives the old one."""
    async with websocket_bench(redis_url) as b:
        follower, stayer = await connect(b), await connect(b)
        await ask(b, follower, b"a")
        await ask(b, stayer, b"b")
        silent = await connect(b)
        b.moment.observe(21)
        await ask(b, follower, b"c", height=21)
        b.moment.observe(22)
        with trio.fail_after(5):
            assert (await stayer.receive()).opcode == BINARY
        assert (await closing(stayer))[0] == 4000
        assert await ask(b, follower, b"d", height=21) == b"re:d"
        assert await ask(b, silent, b"e", height=21) == b"re:e"
        await follower.aclose()
        await silent.aclose()
