"""What a hostile or clumsy client does to the HTTP of a real `relayminer run`, and what it gets.

Every case: the documented status within a second of the byte that decides, and the next relay is
served. What the clients sent must not stay in memory.
"""

from __future__ import annotations

import math
import random
import re
from contextlib import AsyncExitStack

import pytest
import trio

from tests.e2e.conftest import TIMEOUT_SECONDS
from tests.e2e.hostile import answer_to, connect, message, patience, post, signer, still_serves
from tests.e2e.node import Node, wait_until

pytestmark = pytest.mark.e2e

SLACK_SECONDS = 1.0
WATCHDOG_SECONDS = 0.1
GROWTH_KIB = 24_000
"""Beyond it, something was kept. One flood here is at least twice as much."""
FLOOD_BYTES = 52_428_800
IDLE_CONNECTIONS = 1_000


async def test_garbage_is_400(node: Node) -> None:
    """What is no HTTP, of any kind, is told so and hung up on."""
    dice = random.Random(1)  # noqa: S311 - garbage, but the same every time
    garbage = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"\x00" * 300,
        b"\r\n\r\n\r\nGET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST  / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        *(bytes([128 + dice.randrange(128)]) + dice.randbytes(400) for _ in range(20)),
    ]
    for data in garbage:
        assert (await answer_to(node, data)).status == 400, data[:20]
    await still_serves(node)


@pytest.mark.parametrize("announced", [True, False])
async def test_fifty_megabytes_are_413(node: Node, *, announced: bool) -> None:
    """Refused at the announcement, or at the first byte too many; nothing of it is kept."""
    before = node.rss_kib()
    if announced:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % FLOOD_BYTES
        async with connect(node) as client:
            await client.say(head)
            assert (await client.answer()).status == 413
        flood = head + bytes(FLOOD_BYTES)
    else:
        piece = b"100000\r\n" + bytes(1_048_576) + b"\r\n"
        flood = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + piece * 50
    for _ in range(2):
        response = await answer_to(node, flood, 5 * SLACK_SECONDS)
        assert response.status == 413
        assert message(response) == "request body too large"
    await still_serves(node)
    assert node.rss_kib() - before < GROWTH_KIB


async def test_two_megabytes_of_headers_are_431(node: Node) -> None:
    """One long header, a long name, a long target, many short ones, and long trailers."""
    before = node.rss_kib()
    size = 2_000_000
    floods = [
        b"POST / HTTP/1.1\r\nX: " + b"a" * size,
        b"POST / HTTP/1.1\r\n" + b"a" * size,
        b"POST /" + b"a" * size,
        b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * (size // 6),
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * size,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * size,
    ]
    for flood in floods:
        response = await answer_to(node, flood, 3 * SLACK_SECONDS)
        assert response.status == 431, flood[:60]
    await still_serves(node)
    assert node.rss_kib() - before < GROWTH_KIB


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        (b"P", b""),
        (b"PRI * HT", b""),
        (b"POS", b"T / HTTP/1.1"),
        (b"POST / HTTP/1.1\r\nHost", b"name-that-goes-on: x"),
        (b"POST / HTTP/1.1\r\nHost: x\r", b"\nMore: of it"),
    ],
)
async def test_one_byte_a_second_is_408(node: Node, start: bytes, rest: bytes) -> None:
    """A head that trickles in is given its time and not more, whatever it says."""
    async with connect(node) as client, trio.open_nursery() as nursery:
        await client.say(start)
        began = trio.current_time()
        nursery.start_soon(trickle, client.stream, rest)
        response = await client.answer(TIMEOUT_SECONDS + SLACK_SECONDS)
        assert trio.current_time() - began >= TIMEOUT_SECONDS - 2 * WATCHDOG_SECONDS
        assert response.status == 408
        nursery.cancel_scope.cancel()
    await still_serves(node)


async def trickle(stream: trio.SocketStream, data: bytes) -> None:
    """One byte a second."""
    for byte in data:
        await trio.sleep(1)
        try:
            await stream.send_all(bytes([byte]))
        except trio.BrokenResourceError:
            return


@pytest.mark.parametrize("head", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
async def test_a_slow_body_is_408(node: Node, head: bytes) -> None:
    """A body that trickles in is given its time and not more."""
    async with connect(node) as client, trio.open_nursery() as nursery:
        await client.say(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n30\r\n")
        nursery.start_soon(trickle, client.stream, b"a" * 48)
        response = await client.answer(TIMEOUT_SECONDS + SLACK_SECONDS)
        assert response.status == 408
        nursery.cancel_scope.cancel()
    await still_serves(node)


async def test_a_thousand_idle_connections_are_nobodys_trouble(node: Node) -> None:
    """They cost little, hold nobody up, and give everything back."""
    before = node.rss_kib()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(node)) for _ in range(IDLE_CONNECTIONS)]
        began = trio.current_time()
        await still_serves(node)
        assert trio.current_time() - began < patience(SLACK_SECONDS)
        grown = node.rss_kib() - before
        assert grown < GROWTH_KIB, f"{grown / IDLE_CONNECTIONS:.1f} KiB a connection"
        for client in clients[::2]:
            client.reset()
    await still_serves(node)


async def test_pipelined_relays_are_answered_in_order(node: Node) -> None:
    """Twenty written at once, a bad one in their midst, garbage at the end."""
    signing = await signer(node)
    bodies = [signing.body(number) for number in range(20)]
    bodies[7] = b"\xff\xff"
    async with connect(node) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.say, b"".join(map(post, bodies)) + b"\x00garbage")
            for number in range(20):
                response = await client.answer(5 * SLACK_SECONDS)
                assert response.status == (400 if number == 7 else 200)
                if number != 7:
                    assert b'"id":%d' % number in response.body
        assert await client.is_hung_up(TIMEOUT_SECONDS + SLACK_SECONDS)
    await still_serves(node)


async def test_a_head_is_answered_without_a_body(node: Node) -> None:
    """The client, or a proxy between, would read the body as the next answer."""
    head = b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n"
    async with connect(node) as client:
        await client.say(head * 2 + b"GET /nothing HTTP/1.0\r\n\r\n")
        with trio.fail_after(patience(SLACK_SECONDS)):
            data = b"".join([part async for part in client.stream])
    first, second, last, body = data.split(b"\r\n\r\n")
    assert first == second.replace(b"\r\n\r\n", b"")
    assert b"Content-Length: 0" not in first
    assert last.startswith(b"HTTP/1.1 400")
    assert b"error" in body


SMUGGLED = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED_END = b"0\r\n\r\n"
SMUGGLING = {
    "length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED_END,
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + CHUNKED_END,
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "two equal lengths": b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "list of lengths": b"Content-Length: 5, 5\r\n\r\nabcde",
    "negative length": b"Content-Length: -5\r\n\r\nabcde",
    "signed length": b"Content-Length: +5\r\n\r\nabcde",
    "hexadecimal length": b"Content-Length: 0x5\r\n\r\nabcde",
    "length beyond 64 bits": b"Content-Length: 18446744073709551621\r\n\r\nabcde",
    "space before the colon": b"Content-Length : 5\r\n\r\nabcde",
    "folded header": b"X: a\r\n Content-Length: 5\r\n\r\n",
    "folded transfer encoding": b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKED_END,
    "bare line feeds": b"Content-Length: 5\n\nabcde",
    "bare carriage return": b"X: a\rContent-Length: 5\r\n\r\n",
    "unknown transfer encoding": b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED_END,
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
    + CHUNKED_END,
    "chunked is not the last": b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKED_END,
    "NUL in a header": b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "huge chunk": b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
    "negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "chunk with a bare line feed": b"Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
    "chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_no_request_is_smuggled(node: Node, name: str) -> None:
    """What two servers could read as two different things is refused, and what follows unread."""
    data = b"POST / HTTP/1.1\r\nHost: x\r\n" + SMUGGLING[name] + SMUGGLED
    async with connect(node) as client:
        await client.say(data)
        response = await client.answer()
        assert response.status == 400, name
        assert "malformed" in message(response), name
        assert await client.is_hung_up(TIMEOUT_SECONDS + SLACK_SECONDS), name


async def test_a_huge_chunk_is_413_before_it_comes(node: Node) -> None:
    """A chunk that announces more than any body may have is refused at its announcement."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for size in (FLOOD_BYTES, math.prod([2] * 62)):
        async with connect(node) as client:
            await client.say(head + b"%x\r\n" % size)
            await client.say(bytes(11_000_000))
            assert (await client.answer(2 * SLACK_SECONDS)).status == 413
    await still_serves(node)


async def test_a_client_that_half_closes_still_gets_its_answer(node: Node) -> None:
    """It has said all it wanted to say; cut in the middle there is nothing to answer."""
    signing = await signer(node)
    async with connect(node) as client:
        await client.say(post(signing.body()))
        await client.stream.send_eof()
        assert (await client.answer()).status == 200
        assert await client.is_hung_up()
    async with connect(node) as client:
        await client.say(post(signing.body())[:-10])
        await client.stream.send_eof()
        assert await client.is_hung_up()
    await still_serves(node)


async def test_resets_at_every_stage_hurt_nobody(node: Node) -> None:
    """RST before, in and after a request, two hundred times; no connection is left behind."""
    signing = await signer(node)
    whole = post(signing.body())
    dice = random.Random(3)  # noqa: S311 - anywhere, but the same every time
    for _ in range(200):
        async with connect(node) as client:
            await client.say(whole[: dice.randrange(len(whole) + 1)])
            client.reset()
    await still_serves(node)
    wait_until(lambda: re.search(r"^\w*active_connections 0(\.0)?$", node.metrics(), re.MULTILINE))
