"""Messages both ways: validated, signed, logged, metered (relayer.md 3.3, 3.4)."""

from __future__ import annotations

import trio

from relayminer.config.settings import MeteringSettings, RelayerSettings
from tests.websocket.frames import BINARY, CLOSE, TEXT, FrameSocket
from tests.websocket.kit import (
    Node,
    answer_of,
    ask,
    budget_left,
    configure,
    connect,
    message,
    mined,
    open_conversations,
    until,
    websocket_bench,
)

NOT_UTF8 = bytes(range(256)) + b"\xc3\x28\xff"


async def test_a_message_is_answered_signed_and_logged(redis_url: str) -> None:
    """The way of one relay: bare payload to the node, signed answer back, an entry before it."""
    async with websocket_bench(redis_url) as b:
        socket = await connect(b)
        assert await ask(b, socket, b'{"id":1}') == b're:{"id":1}'
        [relay] = await mined(b)
        assert relay.service_id == "anvil"
        assert relay.application_address == b.chain.application_key.address
        assert relay.arrival_block_height == 15
        assert budget_left(b) == 199
        await socket.aclose()


async def test_text_frames_carry_any_bytes_both_ways(redis_url: str) -> None:
    """DESIGN 4: the type of frame is kept, and text is never looked into."""
    seen = []

    async def talk(socket: FrameSocket) -> None:
        for _ in range(2):
            got = await socket.receive()
            seen.append((got.opcode, got.payload))
            await socket.send_frame(got.opcode, NOT_UTF8[::-1])
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        assert await ask(b, socket, NOT_UTF8, text=True) == NOT_UTF8[::-1]
        assert await ask(b, socket, NOT_UTF8, text=False) == NOT_UTF8[::-1]
        assert seen == [(TEXT, NOT_UTF8), (BINARY, NOT_UTF8)]
        assert len(await mined(b)) == 2
        await socket.aclose()


async def test_a_node_may_answer_in_another_type_of_frame(redis_url: str) -> None:
    """3.4 #2: the client gets the node's type of frame, whatever it asked with."""

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        await socket.send(b"as text", text=True)
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        await socket.send(message(b.chain, b"as binary"))
        got = await socket.receive()
        assert got.opcode == TEXT
        assert answer_of(b, got.payload).payload == b"as text"
        await socket.aclose()


async def test_fragmented_text_is_put_together(redis_url: str) -> None:
    """A message in pieces is one relay; a ping in between is answered."""
    async with websocket_bench(redis_url) as b:
        socket = await connect(b)
        body = message(b.chain, NOT_UTF8)
        await socket.send_frame(TEXT, body[:10], first=0)
        await socket.send_frame(9, b"are you there")
        await socket.send_frame(0, body[10:20], first=0)
        await socket.send_frame(0, body[20:])
        pong = await socket.receive_any()
        assert (pong.opcode, pong.payload) == (10, b"are you there")
        got = await socket.receive()
        assert got.opcode == TEXT
        assert answer_of(b, got.payload).payload == b"re:" + NOT_UTF8
        await socket.aclose()


async def test_pushes_are_signed_mined_and_metered(redis_url: str) -> None:
    """K-9: one request and four pushes are five relays, five charges, five entries."""

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        for number in range(5):
            await socket.send(b"push %d" % number, text=True)
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        b.moment.observe(16)
        await socket.send(message(b.chain, b"subscribe"))
        for number in range(5):
            got = await socket.receive()
            assert answer_of(b, got.payload).payload == b"push %d" % number
        relays = await mined(b)
        assert len({relay.relay_hash for relay in relays}) == 5
        assert budget_left(b) == 195
        assert b.value("ha_relayer_websocket_relays_emitted_total", service_id="anvil") == 5
        assert (
            b.value(
                "ha_relayer_websocket_messages_forwarded_total",
                service_id="anvil",
                direction="backend_to_gateway",
            )
            == 5
        )
        await socket.aclose()


async def test_byte_identical_pushes_are_one_leaf(redis_url: str) -> None:
    """The signature is deterministic: equal pushes are equal relays: the trie keeps one."""

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        for _ in range(3):
            await socket.send(b"the same")
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        await socket.send(message(b.chain, b"subscribe"))
        answers = {(await socket.receive()).payload for _ in range(3)}
        assert len(answers) == 1
        assert len({relay.relay_hash for relay in await mined(b)}) == 1
        await socket.aclose()


async def test_equal_answers_to_different_requests_are_different_relays(redis_url: str) -> None:
    """Requests sent ahead are answered in order, and each answer is paired with its own."""

    async def talk(socket: FrameSocket) -> None:
        for _ in range(3):
            await socket.receive()
        for _ in range(3):
            await socket.send(b"ok")
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        for number in range(3):
            await socket.send(message(b.chain, b"request %d" % number))
        for _ in range(3):
            assert answer_of(b, (await socket.receive()).payload).payload == b"ok"
        assert len({relay.relay_hash for relay in await mined(b)}) == 3
        assert budget_left(b) == 197
        await socket.aclose()


async def test_order_is_kept_under_load(redis_url: str) -> None:
    """200 requests sent ahead come back in their order."""
    async with websocket_bench(redis_url) as b, trio.open_nursery() as nursery:
        socket = await connect(b)
        bodies = [message(b.chain, b"%d" % number) for number in range(200)]

        async def send_all() -> None:
            for body in bodies:
                await socket.send(body)

        nursery.start_soon(send_all)
        for number in range(200):
            got = await socket.receive()
            assert answer_of(b, got.payload).payload == b"re:%d" % number
        assert len(await mined(b)) == 200
        await socket.aclose()


async def test_a_greeting_is_passed_on_as_it_is(redis_url: str) -> None:
    """3.4 #1: what the node says before anybody asked can be neither signed nor charged."""

    async def talk(socket: FrameSocket) -> None:
        await socket.send(b"hello", text=True)
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        got = await socket.receive()
        assert (got.opcode, got.payload) == (TEXT, b"hello")
        assert await b.logged() == []
        await socket.aclose()


async def test_an_empty_answer_is_not_a_relay(redis_url: str) -> None:
    """The chain has no signature for an empty payload: the next answer is the request's."""

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        await socket.send(b"")
        await socket.send(b"full")
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk)) as b:
        socket = await connect(b)
        assert await ask(b, socket, b"question") == b"full"
        assert len(await b.logged()) == 1
        await socket.aclose()


async def test_a_relay_below_difficulty_is_served_and_refunded(redis_url: str) -> None:
    """What is not mined is not charged."""
    async with websocket_bench(redis_url) as b:
        b.chain.target = b"\x00" * 32
        socket = await connect(b)
        assert await ask(b, socket, b"x") == b"re:x"
        assert await b.logged() == []
        assert budget_left(b) == 200
        await socket.aclose()


async def test_a_client_that_leaves_right_after_its_answer_has_its_relay_mined(
    redis_url: str,
) -> None:
    """The entry is there before the answer is, so leaving changes nothing."""
    async with websocket_bench(redis_url) as b:
        for number in range(10):
            socket = await connect(b)
            await ask(b, socket, b"%d" % number)
            await socket.aclose()
            assert len(await b.logged()) == number + 1


async def test_an_unanswered_request_is_not_charged(redis_url: str) -> None:
    """The client leaves before the node answers: its charge is given back."""
    asked = trio.Event()

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        asked.set()
        await socket.receive()

    node = Node(talk)
    async with websocket_bench(redis_url, node) as b:
        socket = await connect(b)
        await socket.send(message(b.chain, b"x"))
        await asked.wait()
        assert budget_left(b) == 199
        await socket.aclose()
        await node.gone.wait()
        await until(lambda: not open_conversations(b))
        assert budget_left(b) == 200
        assert await b.logged() == []


async def test_without_metering_messages_are_validated_all_the_same(redis_url: str) -> None:
    """K-2: metering and validation have nothing to do with each other."""

    def unmetered(url: str) -> RelayerSettings:
        return configure(url, metering=MeteringSettings(enabled=False))

    async with websocket_bench(redis_url, configure=unmetered) as b:
        socket = await connect(b)
        assert await ask(b, socket, b"x") == b"re:x"
        forged = bytearray(message(b.chain, b"y"))
        forged[-1] ^= 1
        await socket.send(bytes(forged))
        got = await socket.receive()
        assert (got.opcode, got.code) == (CLOSE, 4001)
        assert len(await b.logged()) == 1
        await socket.aclose()


async def test_a_connection_follows_into_the_next_session(redis_url: str) -> None:
    """K-8: the next session's requests are accepted on the same connection, with its own budget."""
    async with websocket_bench(redis_url) as b:
        socket = await connect(b)
        await ask(b, socket, b"old")
        b.moment.observe(21)
        assert await ask(b, socket, b"new", height=21) == b"re:new"
        assert await ask(b, socket, b"in its grace", height=15) == b"re:in its grace"
        assert [relay.session_end_height for relay in await mined(b)] == [20, 30, 20]
        assert [relay.arrival_block_height for relay in await mined(b)] == [15, 21, 21]
        await socket.aclose()


async def test_a_replay_is_refused_where_that_is_wanted(redis_url: str) -> None:
    """`refuse_replays`: the same signed message is answered once; its pushes go on being relays."""

    def once(url: str) -> RelayerSettings:
        return configure(url, refuse_replays=True)

    async def talk(socket: FrameSocket) -> None:
        await socket.receive()
        await socket.send(b"answer")
        await socket.send(b"push")
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk), configure=once) as b:
        socket, other = await connect(b), await connect(b)
        body = message(b.chain, b"x")
        await socket.send(body)
        for expected in (b"answer", b"push"):
            assert answer_of(b, (await socket.receive()).payload).payload == expected
        await other.send(body)
        got = await other.receive()
        assert (got.opcode, got.code) == (CLOSE, 4001)
        assert len(await b.logged()) == 2
        assert budget_left(b) == 198
        await socket.aclose()
        await other.aclose()
