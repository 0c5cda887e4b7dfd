"""Simulated relays over WebSocket: decided at the handshake, judged message by message."""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio

from relayminer.config.simulation import SimulatedIdentitySettings, SimulationSettings
from relayminer.protocol import codec
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.relay import request_hash
from relayminer.protocol.ring import sign_ring
from relayminer.state.errors import StoreAwayError
from relayminer.testing.small_chain import SERVICE, SmallChain
from tests.simulation.test_admission import APPLICATION, GATEWAY, IDENTITY, OTHERS, STRANGER
from tests.websocket.frames import CLOSE, TEXT, Frame, FrameSocket
from tests.websocket.kit import (
    HEADERS,
    Node,
    answer_of,
    ask,
    configure,
    connect,
    handshake,
    message,
    until,
    websocket_bench,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.protocol.signature import SigningKey
    from relayminer.testing.relayer import Bench

_NONCES = itertools.count()
REFUSED = (4001, "simulation rejected")


def configured(
    *identities: SimulatedIdentitySettings, max_concurrent: int = 32
) -> Callable[[str], Any]:
    """Settings with the feature on."""
    simulation = SimulationSettings(
        enabled=True, max_concurrent=max_concurrent, identities=identities or (IDENTITY,)
    )
    return partial(configure, simulation=simulation)


def simulated(
    chain: SmallChain,
    payload: bytes,
    *,
    change: Callable[[RelayRequest], None] | None = None,
    session_id: str = "",
    signer: SigningKey = GATEWAY,
) -> bytes:
    """A simulated message, fresh and signed by the pinned gateway."""
    request = RelayRequest(payload=payload)
    request.meta.supplier_operator_address = chain.supplier_keys[0].address
    header = request.meta.session_header
    header.application_address, header.service_id = APPLICATION.address, SERVICE
    header.session_id = session_id or f"simv1:{int(time.time())}:{next(_NONCES):016x}"
    header.session_start_block_height, header.session_end_block_height = 1, 2
    if change is not None:
        change(request)
    ring = [APPLICATION.public_key, signer.public_key]
    request.meta.signature = sign_ring(request_hash(request), ring, signer)
    return codec.encode(request)


async def probe(b: Bench, key_id: bytes = b"probe") -> FrameSocket:
    """An open conversation that names an identity."""
    head = handshake(b"/", (*HEADERS, b"Pocket-Simulation-Key-Id: " + key_id))
    return await connect(b, head)


async def farewell(socket: FrameSocket) -> tuple[int, str]:
    """How the relayer says goodbye."""
    with trio.fail_after(5):
        got = await socket.receive()
        assert got.opcode == CLOSE, got
        await socket.ended()
        await socket.aclose()
    return got.code, got.reason


def counted(b: Bench, result: str, supplier: str = "") -> float:
    """Simulated messages with this result."""
    return b.value(
        "ha_relayer_simulated_relays_total",
        transport="websocket",
        service=SERVICE,
        supplier=supplier or b.chain.supplier_keys[0].address,
        result=result,
    )


async def test_it_is_really_signed_and_leaves_no_trace(redis_url: str) -> None:
    """The node's answers and pushes under our signature; no meter, no log, no ordinary counter."""

    async def talk(socket: FrameSocket) -> None:
        while True:
            got = await socket.receive()
            if got.opcode == CLOSE:
                return
            await socket.send(b"re:" + got.payload, text=True)
            await socket.send(b"push", text=True)

    async with websocket_bench(redis_url, Node(talk), configure=configured()) as b:
        socket = await probe(b)
        for number in range(3):
            await socket.send(simulated(b.chain, b"%d" % number), text=True)
            for expected in (b"re:%d" % number, b"push"):
                got = await socket.receive()
                assert got.opcode == TEXT
                assert answer_of(b, got.payload).payload == expected
        assert counted(b, "success") == 3
        assert not await b.logged()
        assert not b.relayer._book.contexts()
        assert not b.chain.asked
        labels = {"service_id": SERVICE, "rpc_type": "websocket"}
        assert not b.value("ha_relayer_relays_received_total", **labels)
        assert not b.value("ha_relayer_websocket_relays_emitted_total", service_id=SERVICE)
        # Its heights are no chain's: it does not expire.
        b.moment.observe(1_000)
        await trio.sleep(0.6)
        await socket.send(simulated(b.chain, b"later"))
        assert answer_of(b, (await socket.receive()).payload).payload == b"re:later"
        await socket.aclose()


async def test_the_header_means_nothing_while_the_feature_is_off(redis_url: str) -> None:
    """Its messages are relays of a session that does not exist; real relays are served."""
    async with websocket_bench(redis_url) as b:
        socket = await probe(b)
        await socket.send(simulated(b.chain, b"x"))
        assert await farewell(socket) == (4001, "relay validation failed")
        socket = await probe(b)
        assert await ask(b, socket, b"x") == b"re:x"
        await socket.aclose()


async def test_without_the_header_it_is_a_relay_like_any_other(redis_url: str) -> None:
    """An empty one is none; the same port serves both kinds."""
    async with websocket_bench(redis_url, configure=configured()) as b:
        for socket in (await connect(b), await probe(b, b"")):
            assert await ask(b, socket, b"x") == b"re:x"
            await socket.aclose()
        assert len(await b.logged()) == 2


def header(**fields: Any) -> Callable[[RelayRequest], None]:
    """Set fields of the session header."""

    def change(request: RelayRequest) -> None:
        for name, value in fields.items():
            setattr(request.meta.session_header, name, value)

    return change


def supplier(address: str) -> Callable[[RelayRequest], None]:
    """Set the supplier."""

    def change(request: RelayRequest) -> None:
        request.meta.supplier_operator_address = address

    return change


REFUSALS: tuple[tuple[bytes, dict[str, Any], str, bool], ...] = (
    (b"nobody", {}, "verify_failed", True),
    (b"off", {}, "verify_failed", True),
    (b"past", {}, "verify_failed", True),
    (b"probe", {"change": supplier("")}, "supplier_not_loaded", False),
    (b"probe", {"change": supplier(STRANGER.address)}, "supplier_not_loaded", False),
    (b"probe", {"change": header(session_start_block_height=5)}, "verify_failed", True),
    (
        b"probe",
        {"change": header(application_address=STRANGER.address)},
        "identity_mismatch",
        True,
    ),
    (b"elsewhere", {}, "service_not_allowed", True),
    (b"probe", {"session_id": "simv1:x:1"}, "verify_failed", True),
    (b"probe", {"session_id": f"simv1:{int(time.time()) - 3600}:1"}, "verify_failed", True),
    (b"probe", {"signer": STRANGER}, "verify_failed", True),
)


async def test_refusals(redis_url: str) -> None:
    """Rows 1 to 13 of the table: 4001, the label; the node hears nothing."""
    heard: list[bytes] = []

    async def talk(socket: FrameSocket) -> None:
        heard.append((await socket.receive()).payload)

    async with websocket_bench(redis_url, Node(talk), configure=configured(*OTHERS)) as b:
        for key_id, make, result, known in REFUSALS:
            supplier = "" if known else "unknown"
            before = counted(b, result, supplier)
            socket = await probe(b, key_id)
            await socket.send(simulated(b.chain, b"x", **make))
            assert await farewell(socket) == REFUSED, make
            assert counted(b, result, supplier) == before + 1, make
        await until(lambda: len(heard) == len(REFUSALS))
        assert {payload[2:] for payload in heard} == {b"request rejected"}
        assert not await b.logged()


async def test_what_is_no_simulated_relay_is_refused(redis_url: str) -> None:
    """K-3: nothing passes unchecked on a simulated connection, and no real relay for free."""
    async with websocket_bench(redis_url, configure=configured()) as b:
        for body in (
            b"\xff garbage",
            b"",
            message(b.chain, b"x"),
            simulated(b.chain, b"x", change=header(service_id="other")),
        ):
            socket = await probe(b)
            await socket.send(body)
            assert await farewell(socket) == REFUSED
        assert not await b.logged()


async def test_the_same_message_twice_is_refused(redis_url: str) -> None:
    """Row 12, on another connection too."""
    async with websocket_bench(redis_url, configure=configured()) as b:
        body = simulated(b.chain, b"x")
        socket, other = await probe(b), await probe(b)
        await socket.send(body)
        assert answer_of(b, (await socket.receive()).payload).payload == b"re:x"
        await other.send(body)
        assert await farewell(other) == REFUSED
        await socket.send(body)
        assert await farewell(socket) == REFUSED
        assert counted(b, "replay_rejected") == 2


class HeldMarks:
    """A store that answers when told to."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.asked = trio.Event()
        self.release = trio.Event()

    async def mark(self, signature_hash: str, seconds: int) -> bool:
        """Wait, then everything is new."""
        del signature_hash, seconds
        if self.away:
            raise StoreAwayError("away", maybe_executed=False)
        self.asked.set()
        await self.release.wait()
        return True


def hold(b: Bench, marks: HeldMarks) -> HeldMarks:
    """Let the relayer ask this store."""
    exchange = b.relayer.engine.simulated
    assert exchange is not None
    exchange.simulator._marks = marks
    return marks


async def test_without_the_store_it_is_refused(redis_url: str) -> None:
    """Row 12b: whether it is a replay cannot be known."""
    async with websocket_bench(redis_url, configure=configured()) as b:
        hold(b, HeldMarks(away=True))
        socket = await probe(b)
        await socket.send(simulated(b.chain, b"x"))
        assert await farewell(socket) == REFUSED
        assert counted(b, "dedup_unavailable") == 1


async def test_no_more_than_so_many_are_admitted_at_once(redis_url: str) -> None:
    """Row 0: 1013; the place is free again once the message is with the node, unanswered or not."""

    async def silent(socket: FrameSocket) -> None:
        while (await socket.receive()).opcode != CLOSE:
            pass

    node = Node(silent)
    async with websocket_bench(redis_url, node, configure=configured(max_concurrent=1)) as b:
        marks = hold(b, HeldMarks())
        socket, other = await probe(b), await probe(b)
        await socket.send(simulated(b.chain, b"x"))
        await marks.asked.wait()
        await other.send(simulated(b.chain, b"x"))
        assert await farewell(other) == (1013, "simulation concurrency limit reached")
        assert counted(b, "rate_limited") == 1
        marks.release.set()
        simulator = b.relayer.engine.simulated
        assert simulator is not None
        await until(lambda: not simulator.simulator.in_flight)
        node.talk = _echo_once
        third = await probe(b)
        await third.send(simulated(b.chain, b"y"))
        assert answer_of(b, (await third.receive()).payload).payload == b"y"
        await third.aclose()
        await socket.aclose()


async def _echo_once(socket: FrameSocket) -> None:
    await socket.send((await socket.receive()).payload)
    await socket.receive()


async def test_the_rate_of_an_identity_is_bounded(redis_url: str) -> None:
    """Row 14: 1013."""
    slow = attrs.evolve(IDENTITY, max_rps=2)
    async with websocket_bench(redis_url, configure=configured(slow)) as b:
        socket = await probe(b)
        for number in range(8):
            await socket.send(simulated(b.chain, b"%d" % number))
        frames: list[Frame] = []
        with trio.fail_after(10):
            while not frames or frames[-1].opcode != CLOSE:
                frames.append(await socket.receive())
        assert len(frames) > 2
        assert (frames[-1].code, frames[-1].reason) == (1013, "simulation rate limit reached")
        await socket.aclose()


async def test_a_client_that_leaves_within_admission_gives_its_place_back(redis_url: str) -> None:
    """Whatever ends the conversation, no place is lost."""
    async with websocket_bench(redis_url, configure=configured(max_concurrent=1)) as b:
        marks = hold(b, HeldMarks())
        socket = await probe(b)
        await socket.send(simulated(b.chain, b"x"))
        await marks.asked.wait()
        await socket.aclose()
        marks.release.set()
        exchange = b.relayer.engine.simulated
        assert exchange is not None
        await until(lambda: not len(b.relayer._bridges))
        assert exchange.simulator.in_flight == 0
