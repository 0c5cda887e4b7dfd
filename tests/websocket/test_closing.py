"""Every row of relayer.md 3.5 and 3.6, and K-3 to K-10: who is told what at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from relayminer_plugins.websocket.codes import for_backend

from relayminer.config.settings import MeteringSettings, RelayerSettings, WebSocketSettings
from relayminer.relayer.bridge import short_reason
from relayminer.testing.small_chain import SmallChain
from tests.websocket.frames import BINARY, CLOSE, FrameSocket
from tests.websocket.kit import (
    Node,
    ask,
    budget_left,
    configure,
    connect,
    message,
    open_conversations,
    until,
    websocket_bench,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.protocol.pb.service_pb2 import RelayRequest

LIMIT = 2_000


async def closing(socket: FrameSocket) -> tuple[int, str]:
    """Code and reason of the next frame, which must be a farewell, and the end after it."""
    with trio.fail_after(5):
        got = await socket.receive()
        assert got.opcode == CLOSE, got
        await socket.ended()
        await socket.aclose()
    return got.code, got.reason


async def told(node: Node) -> tuple[int, str]:
    """How the relayer took leave of the node."""
    with trio.fail_after(5):
        await node.gone.wait()
    [farewell] = node.said_goodbye
    return farewell


def small(url: str) -> RelayerSettings:
    """Messages of at most `LIMIT` bytes."""
    return configure(
        url, websocket=WebSocketSettings(max_message_bytes=LIMIT, close_timeout_seconds=0.3)
    )


async def test_a_clients_farewell_reaches_the_node(redis_url: str) -> None:
    """A peer's close frame is passed on with its own code and text, and answered."""
    node = Node()
    async with websocket_bench(redis_url, node) as b:
        socket = await connect(b)
        await socket.close(1000, "done")
        assert (await closing(socket))[0] == 1000
        assert await told(node) == (1000, "done")


async def test_a_nodes_farewell_reaches_the_client(redis_url: str) -> None:
    """A private code of the node's own is the client's to see."""

    async def talk(socket: FrameSocket) -> None:
        await socket.close(4321, "moved")
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        assert await closing(await connect(b)) == (4321, "moved")


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8"])
async def test_a_nodes_farewell_without_code_is_1011(redis_url: str, payload: bytes) -> None:
    """K-10: 1005 stands for an empty farewell and must not be sent."""

    async def talk(socket: FrameSocket) -> None:
        await socket.send_frame(CLOSE, payload)
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        code, _ = await closing(await connect(b))
        assert code == (1000 if payload else 1011)


async def test_a_client_that_vanishes_is_1001_for_the_node(redis_url: str) -> None:
    """`peer disconnected`: no close frame came."""
    node = Node()
    async with websocket_bench(redis_url, node) as b:
        socket = await connect(b)
        await ask(b, socket, b"x")
        await socket.aclose()
        assert await told(node) == (1001, "peer disconnected")


async def test_a_node_that_vanishes_is_1001_for_the_client(redis_url: str) -> None:
    """The same the other way round; what it had not answered is not charged."""

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        await socket.send(message(b.chain, b"x"))
        assert await closing(socket) == (1001, "peer disconnected")
        await until(lambda: not open_conversations(b))
        assert budget_left(b) == 200


def small_service(url: str) -> RelayerSettings:
    """The same for what clients send to this service."""
    return configure(url, service={"max_body_bytes": LIMIT})


@pytest.mark.parametrize("limited", [small, small_service])
@pytest.mark.parametrize("too_many", [0, 1])
async def test_a_message_above_the_limit_is_1009(
    redis_url: str, too_many: int, limited: Callable[[str], RelayerSettings]
) -> None:
    """The limit itself is accepted, one byte more is not; the node is told the same."""
    node = Node()
    async with websocket_bench(redis_url, node, configure=limited) as b:
        socket = await connect(b)
        length = len(message(b.chain, b"x" * 1_000))
        body = message(b.chain, b"x" * (1_000 + LIMIT - length + too_many))
        assert len(body) == LIMIT + too_many
        await socket.send(body)
        if too_many:
            assert await closing(socket) == (1009, "message too big")
            assert await told(node) == (1009, "message too big")
            assert await b.logged() == []
        else:
            assert (await socket.receive()).opcode == BINARY
            await socket.aclose()


async def test_a_nodes_message_above_the_limit_is_1009_for_both(redis_url: str) -> None:
    """Nobody's memory is the other one's to fill; fragments count together."""

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        await socket.send_frame(BINARY, b"x" * LIMIT, first=0)
        await socket.send_frame(0, b"x")
        await socket.receive()

    node = Node(talk)
    async with websocket_bench(redis_url, node, configure=small) as b:
        socket = await connect(b)
        await socket.send(message(b.chain, b"x"))
        assert await closing(socket) == (1009, "message too big")
        assert await told(node) == (1009, "message too big")


def _other_service(request: RelayRequest) -> None:
    request.meta.session_header.service_id = "other"


def _other_supplier(request: RelayRequest) -> None:
    request.meta.supplier_operator_address = SmallChain(2).supplier_keys[1].address


def _no_header(request: RelayRequest) -> None:
    request.meta.ClearField("session_header")


def _no_supplier(request: RelayRequest) -> None:
    request.meta.supplier_operator_address = ""


def _stranger(request: RelayRequest) -> None:
    request.meta.session_header.application_address = SmallChain().gateway_key.address


def _old(request: RelayRequest) -> None:
    request.meta.session_header.session_start_block_height = 0


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    "change", [_other_service, _other_supplier, _no_header, _no_supplier, _stranger, _old]
)
async def test_an_invalid_relay_is_4001(
    redis_url: str, change: Callable[[RelayRequest], None], *, warm: bool
) -> None:
    """Every message is admitted as HTTP relays are, K-4 and K-5 included; the node gets 1008."""
    node = Node()
    async with websocket_bench(redis_url, node, chain=SmallChain(2)) as b:
        socket = await connect(b)
        if warm:
            await ask(b, socket, b"x")
        elif change is _other_supplier:
            # The first message decides on the supplier: nothing is wrong with this one.
            await socket.send(message(b.chain, b"y", change=change))
            assert (await socket.receive()).opcode == BINARY
            await socket.aclose()
            return
        await socket.send(message(b.chain, b"y", change=change))
        assert await closing(socket) == (4001, "relay validation failed")
        assert await told(node) == (1008, "request rejected")
        assert len(await b.logged()) == (1 if warm else 0)


@pytest.mark.parametrize("frame", [b"", b"hello", b'{"id":1}', b"\xff" * 40, b"\x0a\x00"])
async def test_what_is_no_relay_request_is_4001(redis_url: str, frame: bytes) -> None:
    """K-3: nothing that was not checked reaches the node."""
    seen = []

    async def talk(socket: FrameSocket) -> None:
        while (got := await socket.receive()).opcode != CLOSE:
            seen.append(got)

    node = Node(talk)
    async with websocket_bench(redis_url, node) as b:
        socket = await connect(b)
        await socket.send(frame, text=True)
        assert await closing(socket) == (4001, "relay validation failed")
        assert await told(node) == (1008, "request rejected")
        assert seen == []


async def test_over_the_budget_is_4002(redis_url: str) -> None:
    """The application's stake is used up: the node gets 1013."""
    node = Node()
    async with websocket_bench(redis_url, node, chain=SmallChain(stake_upokt=15 * 4_200 * 8)) as b:
        socket = await connect(b)
        answered = 0
        while True:
            await socket.send(message(b.chain, b"%d" % answered))
            got = await socket.receive()
            if got.opcode == CLOSE:
                break
            answered += 1
        assert (got.code, got.reason) == (4002, "stake limit exceeded")
        assert await told(node) == (1013, "rate limited")
        assert answered == len(await b.logged()) > 0
        await socket.aclose()


async def test_a_push_over_the_budget_is_4002(redis_url: str) -> None:
    """K-9: pushes are charged, so they end where requests end."""

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        for number in range(100):
            await socket.send(b"%d" % number)
        await socket.receive()

    async with websocket_bench(
        redis_url, Node(talk), chain=SmallChain(stake_upokt=15 * 4_200 * 8)
    ) as b:
        socket = await connect(b)
        await socket.send(message(b.chain, b"subscribe"))
        pushes = 0
        while (got := await socket.receive()).opcode != CLOSE:
            pushes += 1
        assert (got.code, got.reason) == (4002, "stake limit exceeded")
        assert 0 < pushes < 100
        assert len(await b.logged()) == pushes
        await socket.aclose()


async def test_a_meter_that_cannot_be_read_is_1013_when_closed(redis_url: str) -> None:
    """K-15: `fail_behavior: closed` holds for conversations too."""

    def shut(url: str) -> RelayerSettings:
        return configure(url, metering=MeteringSettings(fail_behavior="closed"))

    async with websocket_bench(redis_url, configure=shut) as b:
        socket = await connect(b)
        session = b.chain.header(15).session_id
        supplier = b.chain.supplier_keys[0].address
        for kind in ("meta", "consumed"):
            await b.redis.command("LPUSH", f"ha:meter:{session}:{supplier}:{kind}", "x")
        await socket.send(message(b.chain, b"x"))
        assert await closing(socket) == (1013, "relay metering unavailable")


async def test_an_answer_that_cannot_be_logged_is_not_sent(redis_url: str) -> None:
    """Promise 1: 1013, the charge given back."""
    async with websocket_bench(redis_url) as b:
        socket = await connect(b)
        await ask(b, socket, b"x")
        stream = b.names.stream_key(b.chain.supplier_keys[0].address)
        await b.redis.command("DEL", stream)
        await b.redis.command("SET", stream, "x")
        await socket.send(message(b.chain, b"y"))
        assert await closing(socket) == (1013, "relay log unavailable")
        await until(lambda: not open_conversations(b))
        assert budget_left(b) == 199


async def test_a_side_that_is_silent_is_gone(redis_url: str) -> None:
    """The read deadline: neither message nor pong; the other side is told 1001."""

    def brisk(url: str) -> RelayerSettings:
        return configure(
            url,
            websocket=WebSocketSettings(
                ping_interval_seconds=0.1, read_timeout_seconds=0.4, close_timeout_seconds=0.2
            ),
        )

    node = Node()
    async with websocket_bench(redis_url, node, configure=brisk) as b:
        lively, silent = await connect(b), await connect(b)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lively.receive)
            with trio.fail_after(5):
                await node.gone.wait()
            assert node.said_goodbye == [(1001, "peer disconnected")]
            await until(lambda: lively.pings >= 8)
            nursery.cancel_scope.cancel()
        assert await ask(b, lively, b"still there") == b"re:still there"
        await lively.aclose()
        await silent.aclose()


async def test_a_node_that_is_silent_is_gone(redis_url: str) -> None:
    """The other way round: a node that answers no ping; the client is told 1001."""

    def brisk(url: str) -> RelayerSettings:
        times = WebSocketSettings(
            ping_interval_seconds=0.1, read_timeout_seconds=0.4, close_timeout_seconds=0.2
        )
        return configure(url, websocket=times)

    async def talk(socket: FrameSocket) -> None:
        socket.answers_pings = False
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk), configure=brisk) as b:
        assert await closing(await connect(b)) == (1001, "peer disconnected")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (1000, (1000, "why")),
        (1001, (1001, "why")),
        (1004, (1011, "why")),
        (1005, (1011, "why")),
        (1006, (1011, "why")),
        (1012, (1012, "why")),
        (1015, (1011, "why")),
        (4000, (1001, "session ended")),
        (4001, (1008, "request rejected")),
        (4002, (1013, "rate limited")),
        (4003, (1011, "connection failed")),
        (3000, (1001, "connection closing")),
        (4321, (1001, "connection closing")),
    ],
)
def test_what_the_backend_is_told(code: int, said: tuple[int, str]) -> None:
    """The table of 3.5, and K-10 for what must not be sent."""
    assert for_backend(code, "why") == said


def test_a_reason_fits_into_its_frame() -> None:
    """K-10: at most 123 bytes, no half characters."""
    assert short_reason("x" * 200) == "x" * 123
    assert short_reason("x" * 122 + "é") == "x" * 122
