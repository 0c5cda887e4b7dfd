"""Each mode against a real relayer, over real sockets."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from relayminer.config.simulation import SimulatedIdentitySettings, SimulationSettings
from relayminer.devnet.backend import JsonRpcBackend
from relayminer.devnet.backend_grpc import DemoServicer
from relayminer.devnet.grpc_server import serve_servicer
from relayminer.devnet.sockets import open_listener, port_of
from relayminer.gateway.asking import Asking, Verdict, ask
from relayminer.gateway.chain import Endpoint, OpenSession
from relayminer.gateway.corpus import Target, sign_corpus
from relayminer.gateway.errors import GatewayError
from relayminer.gateway.load import LoadTest, Results
from relayminer.gateway.modes import MODES, Question, dialer, payload_of
from relayminer.gateway.relays import judge_http, sign_relay
from relayminer.gateway.simulated import simulated_session
from relayminer.net.http1 import response_bytes
from relayminer.protocol.signature import SigningKey
from relayminer.testing.backend import Backend
from relayminer.testing.relayer import Bench, bench, settings
from relayminer.testing.small_chain import SERVICE, SmallChain
from tests.streaming.backend import StreamBackend, Upstream
from tests.websocket.kit import Node

if TYPE_CHECKING:
    from relayminer.gateway.modes import Mode


def session_of(chain: SmallChain, height: int = 15) -> OpenSession:
    """The chain's session as a gateway learns of it."""
    endpoints = {
        key.address: Endpoint(key.address, "http://127.0.0.1:1", key.public_key)
        for key in chain.supplier_keys
    }
    return OpenSession(chain.header(height), 10, tuple(chain.ring), endpoints)


def asking(b: Bench, mode: Mode, *, session: OpenSession | None = None, **more: Any) -> Asking:
    """How to ask the relayer of a bench."""
    session = session or session_of(b.chain)
    supplier = next(iter(session.endpoints))
    url = f"http://{b.address[0]}:{b.address[1]}"
    return ask(mode, session, supplier, url=url, timeout_seconds=10.0, **more)


def signed(b: Bench, mode: Mode, body: str = "") -> bytes:
    """A relay of the bench's session."""
    chain = b.chain
    supplier = chain.supplier_keys[0].address
    payload = payload_of(mode, Question(body=body))
    return sign_relay(chain.header(15), supplier, payload, chain.ring, chain.gateway_key)


async def answers(one: Asking, request: bytes, *, whole: bool = False) -> list[bytes]:
    """All answers to one request; what fails is raised as it is."""
    problem: GatewayError | None = None
    found: list[bytes] = []
    async with dialer() as dial:
        try:
            found = [answer async for answer in one.answers(dial, request, whole=whole)]
        except GatewayError as error:
            problem = error
    if problem is not None:
        raise problem
    return found


@pytest.mark.parametrize("name", ["jsonrpc", "cometbft", "rest"])
async def test_http_modes_are_served_and_judged(redis_url: str, name: str) -> None:
    """The backend gets what the mode asks, and its answer passes every check."""
    mode = MODES[name]
    backend = Backend(lambda _: response_bytes(200, b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'))
    rpc_type = name
    async with bench(
        redis_url, backend=backend, configure=partial(settings, backend_type=rpc_type)
    ) as b:
        one = asking(b, mode)
        [answer] = await answers(one, signed(b, mode))
        verdict = one.judge(answer)
        assert (verdict.status, verdict.complaint) == (200, "")
        assert b'"0x1"' in verdict.body
        [request] = backend.requests
        expected = (b"GET", b"/health") if name == "rest" else (b"POST", b"/")
        assert (request.method, request.target) == expected
        assert len(await b.logged()) == 1


async def test_a_conversation_is_served_and_judged(redis_url: str) -> None:
    """Bare payload there, bare payload back, signed."""
    mode, node = MODES["websocket"], Node()
    configure = partial(settings, backend_type="websocket")
    async with bench(redis_url, node=node, configure=configure) as b:
        one = asking(b, mode)
        [answer] = await answers(one, signed(b, mode, '{"id":7}'))
        verdict = one.judge(answer)
        assert (verdict.body, verdict.complaint) == (b're:{"id":7}', "")
        assert len(await b.logged()) == 1
        [head] = node.heads
        assert b"pocket-supplier: " + one.supplier.encode() in head.lower()


class GrpcNode:
    """The demo backend's gRPC."""

    url = ""
    asked = 0
    hold: trio.Event | None = None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled."""
        with open_listener("127.0.0.1", 0) as listener:
            self.url = f"127.0.0.1:{port_of(listener)}"
            servicer = DemoServicer(JsonRpcBackend(lambda: 0.5))
            await serve_servicer(servicer, listener, task_status=task_status)


async def test_a_call_over_grpc_is_served(redis_url: str) -> None:
    """The relay travels as a gRPC message with a gRPC call inside; so does the signed answer."""
    mode = MODES["grpc"]
    configure = partial(settings, backend_type="grpc")
    async with bench(redis_url, node=GrpcNode(), configure=configure) as b:
        one = asking(b, mode)
        [answer] = await answers(one, signed(b, mode))
        assert one.judge(answer) == Verdict(200, b"\0\0\0\0\2\x08\1")
        assert len(await b.logged()) == 1


async def test_a_stream_is_read_batch_by_batch(redis_url: str) -> None:
    """Each batch is signed by itself; together they are what the backend wrote."""
    mode = MODES["stream"]

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        for number in range(3):
            await upstream.send(b"data: %d\n\n" % number)
            await trio.sleep(0.15)
        await upstream.end()

    configure = partial(settings, backend_type="rest")
    async with bench(redis_url, backend=StreamBackend(script), configure=configure) as b:
        one = asking(b, mode)
        found = [one.judge(answer) for answer in await answers(one, signed(b, mode))]
        assert len(found) >= 3
        assert b"".join(verdict.body for verdict in found) == b"".join(
            b"data: %d\n\n" % number for number in range(3)
        )
        assert not any(verdict.complaint for verdict in found)


async def test_a_stream_that_breaks_off_was_not_mined(redis_url: str) -> None:
    """What was whole of it is shown; who counts relays is told that it is none."""
    mode = MODES["stream"]

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"data: 1\n\n")
        await trio.sleep(0.3)
        upstream.wire.close()

    configure = partial(settings, backend_type="rest")
    async with bench(redis_url, backend=StreamBackend(script), configure=configure) as b:
        one = asking(b, mode)
        [answer] = await answers(one, signed(b, mode))
        assert one.judge(answer).body == b"data: 1\n\n"
        with pytest.raises(GatewayError):
            await answers(one, signed(b, mode), whole=True)
        assert not await b.logged()


@pytest.mark.parametrize("name", ["jsonrpc", "websocket", "grpc", "stream"])
async def test_refusals_are_told(redis_url: str, name: str) -> None:
    """A relay for a stranger's application: the relayer's own words reach the user."""
    mode = MODES[name]
    node: Any = Node() if name == "websocket" else Backend()
    types = {"websocket": "websocket", "grpc": "grpc", "stream": "rest"}
    configure = partial(settings, backend_type=types.get(name, "jsonrpc"))
    async with bench(redis_url, node=node, configure=configure) as b:
        stranger = SigningKey.from_seed(b"stranger")
        header = b.chain.header(15)
        supplier = b.chain.supplier_keys[0].address
        payload = payload_of(mode, Question())
        forged = sign_relay(
            header, supplier, payload, [stranger.public_key, *b.chain.ring[1:]], stranger
        )
        told = {
            "jsonrpc": "HTTP 403: ",
            "stream": "HTTP 403: ",
            "websocket": "closed by the relayer: 4001 relay validation failed",
            "grpc": "gRPC status ",
        }
        with pytest.raises(GatewayError, match=told[name]):
            await answers(asking(b, mode), forged)
        assert not await b.logged()


@pytest.mark.parametrize("name", list(MODES))
async def test_nobody_there_is_told(name: str) -> None:
    """No relayer at the address."""
    chain = SmallChain()
    session = session_of(chain)
    one = ask(MODES[name], session, next(iter(session.endpoints)), url="http://127.0.0.1:1")
    with pytest.raises(GatewayError, match="relayer not reached"):
        await answers(one, b"x")


async def test_a_simulated_session_needs_no_chain(redis_url: str) -> None:
    """The supplier's key is learnt from its signature and held against its address."""
    application, gateway = SigningKey.from_seed(b"sim app"), SigningKey.from_seed(b"sim gateway")
    identity = SimulatedIdentitySettings(
        key_id="probe",
        enabled=True,
        app_pubkey_hex=application.public_key.hex(),
        gateway_pubkeys_hex=(gateway.public_key.hex(),),
    )
    simulation = SimulationSettings(enabled=True, identities=(identity,))
    mode = MODES["jsonrpc"]
    async with bench(redis_url, configure=partial(settings, simulation=simulation)) as b:
        supplier = b.chain.supplier_keys[0].address
        session = simulated_session(
            SERVICE,
            supplier,
            "",
            application_key=application.public_key,
            gateway_keys=[gateway.public_key],
            now_seconds=int(time.time()),
            nonce=os.urandom(8),
        )
        one = asking(b, mode, session=session, simulation_key_id="probe")
        payload = payload_of(mode, Question())
        request = sign_relay(session.header, supplier, payload, session.ring, gateway)
        [answer] = await answers(one, request)
        assert one.judge(answer).complaint == ""
        assert not await b.logged()
        other = simulated_session(
            SERVICE,
            application.address,
            "",
            application_key=application.public_key,
            gateway_keys=[gateway.public_key],
            now_seconds=0,
            nonce=bytes(8),
        )
        other.header.CopyFrom(session.header)
        with pytest.raises(GatewayError, match="signature does not verify"):
            asking(b, mode, session=other).judge(answer)


async def loaded(b: Bench, mode: Mode, count: int, **more: Any) -> Results:
    """A load test of `count` relays."""
    chain = b.chain
    one = asking(b, mode)
    target = Target(
        chain.header(15).SerializeToString(),
        one.supplier,
        tuple(chain.ring),
        chain.gateway_key.export_secret(),
        payload_of(mode, Question()),
    )
    corpus = await sign_corpus([target], count)
    try:
        async with dialer() as dial:
            test = LoadTest([one.aim(dial)], **more)
            await test.run(corpus, count, is_over=lambda: False)
    finally:
        corpus.close()
    return test.results


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("jsonrpc", {"concurrency": 5}),
        ("jsonrpc", {"concurrency": 5, "relays_per_second": 400.0}),
        ("websocket", {"concurrency": 4}),
        ("grpc", {"concurrency": 8}),
    ],
)
async def test_a_load_test_over_each_transport(
    redis_url: str, name: str, more: dict[str, Any]
) -> None:
    """All are answered, measured and logged; no two are the same relay."""
    nodes: dict[str, Any] = {"websocket": Node, "grpc": GrpcNode}
    node = nodes.get(name, Backend)()
    types = {"websocket": "websocket", "grpc": "grpc"}
    configure = partial(settings, backend_type=types.get(name, "jsonrpc"))
    async with bench(redis_url, node=node, configure=configure) as b:
        results = await loaded(b, MODES[name], 100, **more)
        assert dict(results.errors) == {}
        assert results.good == results.latencies.count == 100
        assert results.sent == 100
        if more.get("relays_per_second"):
            assert results.seconds >= 99 / 400
        hashes = {fields[1] for _, fields in await b.logged()}
        assert len(hashes) == 100


def test_judges_look_at_payloads_that_are_no_envelopes() -> None:
    """1.6: what does not decode is looked at as raw text."""
    assert judge_http(b'{"error":{"code":-1,"message":"x"}}')[2].startswith("JSON-RPC error")
    assert judge_http(b"\xff\xff")[2] == "the payload is no HTTP response"
