"""Where the time of a relay goes, as the relayer tells it: every transport, every ending."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from relayminer.config.settings import EndpointSettings, RelayerSettings
from relayminer.protocol.envelope import HttpRequest
from relayminer.protocol.mined_relay import decode_mined_relay
from relayminer.relayer.tracing import gateway_span
from tests.grpc.kit import called
from tests.relayer.client import connect
from tests.relayer.kit import (
    SERVICE,
    Backend,
    Bench,
    SmallChain,
    bench,
    request_body,
    settings,
    signed_request,
)
from tests.streaming.backend import StreamBackend
from tests.streaming.client import EVENTS, plays, streamed
from tests.tracing.collector import Collector, Seen, tracing
from tests.websocket.kit import Node, ask, message, websocket_bench
from tests.websocket.kit import connect as connect_websocket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.websocket.frames import FrameSocket

STAGES = ["admit", "verify", "meter", "forward", "attempt", "sign", "publish"]
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def post(b: Bench, body: bytes, *headers: tuple[bytes, bytes]) -> int:
    """Send a relay; the status of its answer."""
    client = await connect(b.address)
    try:
        return (await client.send(body, list(headers))).status
    finally:
        client.wire.close()


async def hashes(b: Bench) -> list[bytes]:
    """Of the relays in the log."""
    return [decode_mined_relay(fields[1]).relay_hash for _, fields in await b.logged()]


def names(spans: Sequence[Seen]) -> set[str]:
    """What they are called."""
    return {one.name for one in spans}


async def only_trace(collector: Collector) -> list[Seen]:
    """The spans of the one relay, the root first."""
    await collector.until(lambda: collector.named("relay"))
    [spans] = collector.traces().values()
    return sorted(spans, key=lambda one: one.parent != "")


async def test_a_relay_is_a_trace_by_its_hash(redis_url: str) -> None:
    """The hash names trace and root; the stages are below it, in order, and within it."""
    async with tracing() as it, bench(redis_url, traces=it.traces) as b:
        assert await post(b, request_body(signed_request(b.chain))) == 200
        root, *below = await only_trace(it.collector)
        [relay_hash] = await hashes(b)
        session_id = b.chain.header(15).session_id
        application = b.chain.header(15).application_address
    assert root.trace == relay_hash[:16].hex()
    assert root.id == relay_hash[16:24].hex()
    assert root.span.kind == 2
    assert root.about == {
        "pocket.mined": True,
        "pocket.relay_hash": relay_hash.hex(),
        "pocket.backend_status": 200,
        "pocket.service_id": SERVICE,
        "pocket.rpc_type": "jsonrpc",
        "pocket.application_address": application,
        "pocket.supplier_operator_address": b.chain.supplier_keys[0].address,
        "pocket.session_id": session_id,
        "pocket.session_end_height": b.chain.header(15).session_end_block_height,
        "pocket.arrival_height": 15,
        "pocket.retries": 0,
    }
    assert root.resource == {"service.name": "relayminer", "service.instance.id": "this one"}
    assert [one.name for one in below] == STAGES
    by_name = {one.name: one for one in below}
    for one in below:
        above = by_name["forward"] if one.name == "attempt" else root
        assert one.parent == above.id
        assert one.span.start_time_unix_nano >= above.span.start_time_unix_nano
        assert one.span.end_time_unix_nano <= above.span.end_time_unix_nano
        assert one.span.status.code == 0
    assert len({one.id for one in (root, *below)}) == len(STAGES) + 1


async def test_each_attempt_is_told(redis_url: str) -> None:
    """The one that failed with its reason, both by the names of their endpoints."""

    def two(url: str) -> RelayerSettings:
        urls = (EndpointSettings(url="http://127.0.0.1:1"), EndpointSettings(url=url))
        return settings(url, backend={"urls": urls, "load_balancing": "first_healthy"})

    async with tracing() as it, bench(redis_url, configure=two, traces=it.traces) as b:
        assert await post(b, request_body(signed_request(b.chain))) == 200
        root, *below = await only_trace(it.collector)
    attempts = [one for one in below if one.name == "attempt"]
    assert [one.span.status.message for one in attempts] == ["backend_network_error", ""]
    assert attempts[0].about != attempts[1].about
    assert len({one.id for one in attempts}) == 2
    assert root.about["pocket.retries"] == 1
    assert root.span.status.code == 0


async def test_a_refused_relay_is_traced_by_its_request(redis_url: str) -> None:
    """With the reason, and the stage that refused it; nothing is forwarded."""
    async with tracing() as it, bench(redis_url, traces=it.traces) as b:
        request = signed_request(b.chain)
        request.meta.signature = request.meta.signature[:-1] + b"\0"
        assert await post(b, body := request_body(request)) == 403
        root, *below = await only_trace(it.collector)
    assert root.trace == hashlib.sha256(body).hexdigest()[:32]
    assert root.about["pocket.reason"] == "validation_failed"
    assert root.about["pocket.mined"] is False
    assert "pocket.relay_hash" not in root.about
    assert (root.span.status.code, root.span.status.message) == (2, "validation_failed")
    assert [(one.name, one.span.status.message) for one in below] == [
        ("admit", ""),
        ("verify", "validation_failed"),
    ]


async def test_what_is_no_relay_at_all_has_a_root_alone(redis_url: str) -> None:
    """Bytes are told with their reason, and with nothing that is in them."""
    async with tracing() as it, bench(redis_url, traces=it.traces) as b:
        assert await post(b, b"\xff" * 100) == 400
        [root] = await only_trace(it.collector)
    assert root.about == {"pocket.mined": False, "pocket.reason": "invalid_relay_request"}


async def test_without_capacity_it_is_told_too(redis_url: str) -> None:
    """What is refused at the door has a trace of its own."""
    release = trio.Event()
    one = partial(settings, max_in_flight=1)
    backend = Backend(release=release)
    async with (
        tracing() as it,
        bench(redis_url, configure=one, backend=backend, traces=it.traces) as b,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(post, b, request_body(signed_request(b.chain)))
        await it.collector.until(lambda: backend.requests)
        assert await post(b, request_body(signed_request(b.chain))) == 503
        [root] = await only_trace(it.collector)
        assert root.about["pocket.reason"] == "at_capacity"
        release.set()
        await it.collector.until(lambda: len(it.collector.named("relay")) == 2)


async def test_a_relay_that_is_not_mined_says_why(redis_url: str) -> None:
    """Its hash is known, and not below the target."""
    chain = SmallChain()
    chain.target = b"\x00" * 31 + b"\x01"
    async with tracing() as it, bench(redis_url, chain=chain, traces=it.traces) as b:
        assert await post(b, request_body(signed_request(b.chain))) == 200
        root, *below = await only_trace(it.collector)
    assert root.about["pocket.reason"] == "difficulty"
    assert root.about["pocket.relay_hash"][:32] == root.trace
    assert root.span.status.code == 0
    assert "publish" not in names(below)


async def test_an_optimistic_relay_is_told_when_it_is_decided_upon(redis_url: str) -> None:
    """Its verification is after its answer; one that fails then is no error of the answer."""
    optimistic = partial(settings, service={"validation_mode": "optimistic"})
    async with tracing() as it, bench(redis_url, configure=optimistic, traces=it.traces) as b:
        assert await post(b, request_body(signed_request(b.chain))) == 200
        root, *below = await only_trace(it.collector)
        assert names(below) == set(STAGES)
        [verify] = [one for one in below if one.name == "verify"]
        [forward] = [one for one in below if one.name == "forward"]
        assert verify.span.start_time_unix_nano > forward.span.end_time_unix_nano
        assert root.about["pocket.mined"] is True
        it.collector.spans.clear()
        request = signed_request(b.chain)
        request.meta.signature = request.meta.signature[:-1] + b"\0"
        await post(b, request_body(request))
        root, *below = await only_trace(it.collector)
        assert root.about["pocket.reason"] == "validation_failed"


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
async def test_the_share_is_by_hash(redis_url: str, ratio: float) -> None:
    """All, none, or exactly those whose last eight bytes are below the share of all."""
    async with tracing(ratio) as it, bench(redis_url, traces=it.traces) as b:
        client = await connect(b.address)
        for _ in range(24):
            assert (await client.send(request_body(signed_request(b.chain)))).status == 200
        client.wire.close()
        wanted = {
            one[:16].hex() for one in await hashes(b) if int.from_bytes(one[24:]) < ratio * 2**64
        }
        await it.collector.until(lambda: len(it.collector.named("relay")) == len(wanted))
        assert it.collector.traces().keys() == wanted
    assert bool(wanted) == (ratio > 0)


async def test_a_grpc_call_is_traced_alike(redis_url: str) -> None:
    """Same stages; its metadata may carry the gateway's span."""
    async with tracing() as it, bench(redis_url, traces=it.traces) as b:
        body = request_body(signed_request(b.chain))
        await called(b.address, body, (("traceparent", TRACEPARENT.decode()),))
        root, *below = await only_trace(it.collector)
    assert names(below) == set(STAGES)
    [link] = root.span.links
    assert link.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert root.parent == ""


async def test_a_stream_is_one_relay(redis_url: str) -> None:
    """Its batches are one stage, and it is logged at its end."""
    backend = StreamBackend(plays(EVENTS))
    async with tracing() as it, bench(redis_url, backend=backend, traces=it.traces) as b:
        assert (await streamed(b)).is_complete
        root, *below = await only_trace(it.collector)
        assert [root.trace] == [one[:16].hex() for one in await hashes(b)]
    assert names(below) == {*STAGES, "stream"} - {"sign"}


async def test_messages_and_pushes_are_relays(redis_url: str) -> None:
    """Each answer of a conversation is a trace; a push says that it is one."""

    async def talk(socket: FrameSocket) -> None:
        got = await socket.receive()
        for answer in (got.payload, b"push 1", b"push 2"):
            await socket.send(answer)
        await socket.receive()

    async with tracing() as it, websocket_bench(redis_url, Node(talk), traces=it.traces) as b:
        socket = await connect_websocket(b)
        await ask(b, socket, b"hello")
        for _ in range(2):
            await socket.receive()
        await it.collector.until(lambda: len(it.collector.named("relay")) == 3)
        logged = {one[:16].hex() for one in await hashes(b)}
        assert it.collector.traces().keys() == logged
        await socket.send(message(b.chain, b"late", change=_spoil))
        await socket.receive()
        await it.collector.until(lambda: len(it.collector.named("relay")) == 4)
        await socket.aclose()
    pushes = [one for one in it.collector.named("relay") if one.about.get("pocket.push")]
    assert len(pushes) == 2
    for one in pushes:
        assert names(it.collector.traces()[one.trace]) == {"relay", "meter", "publish"}
    [refused] = [one for one in it.collector.named("relay") if one.trace not in logged]
    assert refused.about["pocket.reason"] == "missing_supplier_address"
    assert refused.about["pocket.service_id"] == SERVICE


def _spoil(request: Any) -> None:
    request.meta.supplier_operator_address = ""


async def test_no_span_tells_a_secret(redis_url: str) -> None:
    """No payload, no header, no key, and no password of a backend's or the collector's address."""
    secrets = [b"payload-7c1", b"header-7c1", b"answer-7c1", b"password-7c1", b"token-7c1"]

    def guarded(url: str) -> RelayerSettings:
        url = url.replace("//", "//user:password-7c1@") + "/?key=password-7c1"
        return settings(url, backend={"url": url, "headers": {"Authorization": "password-7c1"}})

    backend = Backend(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nanswer-7c1")
    async with (
        tracing(headers={"Authorization": "token-7c1"}) as it,
        bench(redis_url, configure=guarded, backend=backend, traces=it.traces) as b,
    ):
        envelope = HttpRequest("POST", "/", {"X-Inner": ["header-7c1"]}, b"payload-7c1")
        body = request_body(signed_request(b.chain, envelope=envelope))
        assert await post(b, body, (b"X-Secret", b"header-7c1")) == 200
        await post(b, body[:-1], (b"X-Secret", b"header-7c1"))
        await it.collector.until(lambda: len(it.collector.named("relay")) == 2)
    sent = b"".join(it.collector.bodies)
    assert not [one for one in secrets if one in sent]
    assert b"Authorization: token-7c1" in it.collector.heads[0]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        TRACEPARENT.upper(),
        TRACEPARENT + b"-00",
        TRACEPARENT + b" " * 3 + b"x",
        b"ff" + TRACEPARENT[2:],
        b"00-" + b"0" * 32 + TRACEPARENT[35:],
        TRACEPARENT[:36] + b"0" * 16 + b"-01",
        b"01" + TRACEPARENT[2:] + b"-" + b"x" * 10_000,
    ],
)
def test_a_traceparent_that_is_none_is_left_alone(value: bytes) -> None:
    """Whatever a gateway sends, there is no link to what is no span."""
    assert gateway_span([(b"traceparent", value)]) is None


def test_a_traceparent_is_read() -> None:
    """Of version 0, and of a later one that says more; of two of them none."""
    for value in (TRACEPARENT, b"01" + TRACEPARENT[2:] + b"-more", b" " + TRACEPARENT):
        link = gateway_span([(b"accept", b"*/*"), (b"traceparent", value)])
        assert link is not None
        assert link.span_id.hex() == "b7ad6b7169203331"
    assert gateway_span([(b"traceparent", TRACEPARENT)] * 2) is None
