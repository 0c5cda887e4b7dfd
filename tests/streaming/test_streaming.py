"""Streams from a backend to a client, over real sockets (relayer.md 5)."""

from __future__ import annotations

import gzip
import hashlib
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from relayminer.config.settings import EndpointSettings
from relayminer.net.client import request_bytes
from relayminer.protocol import codec
from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage
from relayminer.protocol.pb.service_pb2 import Relay
from relayminer.relayer.stream import DELIMITER
from tests.relayer.client import Client, connect, error_of
from tests.relayer.kit import (
    SERVICE,
    Bench,
    SmallChain,
    bench,
    request_body,
    settings,
    signed_request,
)
from tests.streaming.backend import NDJSON, SSE, StreamBackend, Upstream, read_batches, read_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.relayer.pool import Endpoint
    from tests.streaming.backend import Script, Stream

EVENTS = b"event: a\r\ndata: 1\r\n\r\ndata: 2\n\ndata: no newline at the end \xff"


def plays(*pieces: bytes, content_type: bytes = SSE) -> Script:
    """A script that streams `pieces` at once."""

    async def script(upstream: Upstream) -> None:
        await upstream.head(content_type)
        for piece in pieces:
            await upstream.send(piece)
        await upstream.end()

    return script


async def ask(b: Bench, version: bytes = b"1.1") -> Client:
    """A client that has sent a good relay."""
    client = await connect(b.address)
    request = request_bytes(b"POST", b"/", b"relayer", [], request_body(signed_request(b.chain)))
    await client.wire.send(request.replace(b"HTTP/1.1", b"HTTP/" + version, 1))
    client.parser.reset(max_body_bytes=100_000_000, head_only=False)
    return client


async def streamed(b: Bench) -> Stream:
    """The whole answer to a good relay."""
    client = await ask(b)
    stream = await read_stream(client)
    client.wire.close()
    return stream


async def until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    """Wait until `condition()` is true."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.lowlevel.checkpoint()


def left_upokt(b: Bench) -> int:
    """What the only budget has left, in relays of the lease."""
    [context] = b.relayer._book.contexts()
    [budget] = context.budgets.values()
    return budget.left_upokt // context.cost_upokt


@pytest.mark.parametrize("content_type", [SSE, NDJSON, b"TEXT/Event-Stream"])
async def test_a_stream_is_signed_batches_with_the_delimiter(
    redis_url: str, content_type: bytes
) -> None:
    """Each batch is a whole signed response; together they are the body, byte for byte."""
    backend = StreamBackend(plays(EVENTS, content_type=content_type))
    async with bench(redis_url, backend=backend) as b:
        stream = await streamed(b)
        assert stream.status == 200
        assert stream.is_complete
        assert stream.raw.endswith(DELIMITER)
        assert stream.body == EVENTS
        for batch in stream.batches:
            batch.check(b.chain.supplier_keys[0])
            assert batch.envelope.status == 200
            assert not batch.envelope.headers
        assert b.value("ha_relayer_streaming_relays_served_total", service_id=SERVICE) == 1
        assert b.value("ha_relayer_streaming_batches_signed_total") == len(stream.batches)
        assert b.value("ha_relayer_streaming_bytes_forwarded_total") == len(stream.raw)


async def test_the_last_batch_is_what_is_mined(redis_url: str) -> None:
    """One entry, charged once, whose response is the last one that the client got."""
    backend = StreamBackend(plays(*[b"data: %d\n" % n for n in range(250)]))
    async with bench(redis_url, backend=backend) as b:
        stream = await streamed(b)
        assert len(stream.batches) >= 3
        [entry] = await b.logged()
        mined = MinedRelayMessage.FromString(entry[1][1])
        relay = codec.decode(Relay, mined.relay_bytes)
        last = stream.batches[-1].response
        assert relay.res.payload_hash == hashlib.sha256(last.payload).digest()
        assert relay.res.meta == last.meta
        assert not relay.res.payload
        assert left_upokt(b) == 199


async def test_it_is_logged_before_the_last_delimiter_is_sent(redis_url: str) -> None:
    """A client that has the end of a stream has a relay that is in the log."""
    async with bench(redis_url, backend=StreamBackend(plays(b"data: 1\n\n"))) as b:
        append = b.relayer._log_service.log._log.append
        asked, release = trio.Event(), trio.Event()

        async def slow_append(*args: object, **more: object) -> object:
            asked.set()
            await release.wait()
            return await append(*args, **more)  # type: ignore[arg-type]

        b.relayer._log_service.log._log.append = slow_append  # type: ignore[method-assign]
        client = await ask(b)
        await asked.wait()
        await trio.testing.wait_all_tasks_blocked(0.05)
        client.parser.feed(await client.wire.receive())
        assert client.parser.take_body() == b""
        release.set()
        assert (await read_batches(client, 1)).endswith(DELIMITER)
        client.wire.close()


async def test_a_lone_line_is_flushed_by_the_clock(redis_url: str) -> None:
    """The backend is silent after one line, and the client has it within 100 ms or so."""
    silence = trio.Event()

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"data: first\n")
        await silence.wait()
        await upstream.send(b"data: half a li")
        await upstream.cancelled()

    async with bench(redis_url, backend=StreamBackend(script)) as b:
        client = await ask(b)
        with trio.fail_after(1):
            first = await read_batches(client, 1)
        assert b"data: first\n" in first
        silence.set()
        with trio.fail_after(1):
            assert b"data: half a li" in await read_batches(client, 1)
        client.wire.close()


async def test_a_body_without_length_ends_with_the_connection(redis_url: str) -> None:
    """HTTP/1.0 style: the backend closes, and that is the end."""
    backend = StreamBackend(plays(EVENTS), chunked=False)
    async with bench(redis_url, backend=backend) as b:
        stream = await streamed(b)
        assert stream.is_complete
        assert stream.body == EVENTS


async def test_headers_of_the_backend_without_those_of_its_connection(redis_url: str) -> None:
    """K-17: no stale length, no hop-by-hop header; the rest as it came."""

    async def script(upstream: Upstream) -> None:
        upstream.chunked = False
        await upstream.head(
            more=[
                (b"Content-Length", b"4"),
                (b"Connection", b"keep-alive, X-Hop"),
                (b"Keep-Alive", b"timeout=5"),
                (b"X-Hop", b"1"),
                (b"X-Kept", b"yes"),
                (b"Cache-Control", b"no-cache"),
            ]
        )
        await upstream.send(b"a\nb\n")

    async with bench(redis_url, backend=StreamBackend(script)) as b:
        stream = await streamed(b)
        assert stream.body == b"a\nb\n"
        assert stream.headers[b"content-type"] == SSE
        assert stream.headers[b"x-kept"] == b"yes"
        assert stream.headers[b"cache-control"] == b"no-cache"
        assert stream.headers[b"connection"] == b"close"
        assert not {b"content-length", b"keep-alive", b"x-hop"} & set(stream.headers)


async def test_http_1_0_clients_get_no_chunks(redis_url: str) -> None:
    """The end of the connection is the end of the answer."""
    async with bench(redis_url, backend=StreamBackend(plays(EVENTS))) as b:
        client = await ask(b, version=b"1.0")
        stream = await read_stream(client)
        client.wire.close()
        assert b"transfer-encoding" not in stream.headers
        assert stream.body == EVENTS


async def test_an_empty_stream_is_one_empty_batch(redis_url: str) -> None:
    """There is always a last batch: signed, mined, with an empty body."""
    async with bench(redis_url, backend=StreamBackend(plays())) as b:
        stream = await streamed(b)
        assert [batch.envelope.body for batch in stream.batches] == [b""]
        assert len(await b.logged()) == 1


async def test_a_gzipped_stream_is_opened(redis_url: str) -> None:
    """Asked for identity, some backends compress anyway; the client gets what it can read."""
    packed = gzip.compress(EVENTS)

    async def script(upstream: Upstream) -> None:
        await upstream.head(more=[(b"Content-Encoding", b"gzip")])
        await upstream.send(packed[:20])
        await upstream.send(packed[20:])
        await upstream.end()

    async with bench(redis_url, backend=StreamBackend(script)) as b:
        stream = await streamed(b)
        assert stream.body == EVENTS
        assert b"content-encoding" not in stream.headers


async def test_a_client_that_leaves_cancels_the_backend(redis_url: str) -> None:
    """Nothing mined, nothing charged, nothing held against the backend."""
    cancelled = trio.Event()

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"data: 1\n\n")
        await upstream.cancelled()
        cancelled.set()

    async with bench(redis_url, backend=StreamBackend(script)) as b:
        client = await ask(b)
        await read_batches(client, 1)
        client.wire.close()
        with trio.fail_after(2):
            await cancelled.wait()
        await until(lambda: not b.relayer.engine.in_flight)
        assert not await b.logged()
        assert left_upokt(b) == 200
        assert b.value(
            "ha_relayer_relays_rejected_total",
            service_id=SERVICE,
            rpc_type="jsonrpc",
            reason="client_disconnected",
        )
        [endpoint] = endpoints(b)
        assert endpoint.failures == 0


async def test_a_client_that_leaves_during_a_flood_cancels_the_backend(redis_url: str) -> None:
    """A client that does not read and then resets is noticed while we write."""
    stopped = trio.Event()

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        try:
            while True:
                await upstream.send(b"data: %b\n" % (b"x" * 10_000))
        finally:
            stopped.set()

    async with bench(redis_url, backend=StreamBackend(script)) as b:
        client = await ask(b)
        await read_batches(client, 1)
        client.wire.close()
        with trio.fail_after(2):
            await stopped.wait()
        await until(lambda: not b.relayer.engine.in_flight)
        assert not await b.logged()


def endpoints(b: Bench) -> list[Endpoint]:
    """Of the only backend."""
    pool = b.relayer.backends.routes[SERVICE].by_type["jsonrpc"].pool
    assert pool is not None
    return list(pool.endpoints)


async def test_a_backend_that_breaks_off_is_to_blame(redis_url: str) -> None:
    """What had come is the client's; the end is missing; not mined, not charged; breaker told."""

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"data: 1\n\ndata: ha")
        upstream.wire.close()

    async with bench(redis_url, backend=StreamBackend(script)) as b:
        stream = await streamed(b)
        assert not stream.is_complete
        assert stream.body == b"data: 1\n\ndata: ha"
        assert not await b.logged()
        assert left_upokt(b) == 200
        assert b.value(
            "ha_relayer_relays_rejected_total",
            service_id=SERVICE,
            rpc_type="jsonrpc",
            reason="backend_network_error",
        )
        [endpoint] = endpoints(b)
        assert endpoint.failures == 1


async def test_the_whole_stream_is_bounded_in_time(redis_url: str) -> None:
    """At the profile's request timeout it breaks off: not mined, not charged."""

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"data: 1\n\n")
        await upstream.cancelled()

    configure = partial(settings, service={"request_timeout_seconds": 0.5})
    async with bench(redis_url, backend=StreamBackend(script), configure=configure) as b:
        with trio.fail_after(2):
            stream = await streamed(b)
        assert not stream.is_complete
        assert stream.body == b"data: 1\n\n"
        assert not await b.logged()
        assert left_upokt(b) == 200
        assert b.value(
            "ha_relayer_relays_rejected_total",
            service_id=SERVICE,
            rpc_type="jsonrpc",
            reason="backend_timeout",
        )


async def test_the_streaming_profile_waits_for_the_head(redis_url: str) -> None:
    """Its request timeout is 600 s, and it has no limit for the response's head."""
    configure = partial(settings, service={"timeout_profile": "streaming"})
    async with bench(redis_url, backend=StreamBackend(plays(EVENTS)), configure=configure) as b:
        timeouts = b.relayer.backends.routes[SERVICE].by_type["jsonrpc"].timeouts
        assert timeouts.request_seconds == 600
        assert timeouts.response_header_seconds == float("inf")
        assert (await streamed(b)).body == EVENTS


async def test_a_streamed_server_error_is_an_error(redis_url: str) -> None:
    """5xx: status and JSON as for any other; unsigned, not mined, held against the backend."""

    async def script(upstream: Upstream) -> None:
        await upstream.head(status=503)
        await upstream.send(b"data: busy\n\n")
        await upstream.end()

    async with bench(redis_url, backend=StreamBackend(script)) as b:
        client = await connect(b.address)
        answer = await client.send(request_body(signed_request(b.chain)))
        client.wire.close()
        assert answer.status == 503
        assert error_of(answer) == "backend service error"
        assert not await b.logged()
        assert left_upokt(b) == 200


async def test_a_streamed_client_error_is_a_relay(redis_url: str) -> None:
    """4xx: streamed with its status, signed, mined."""

    async def script(upstream: Upstream) -> None:
        await upstream.head(status=429)
        await upstream.send(b"data: slow down\n\n")
        await upstream.end()

    async with bench(redis_url, backend=StreamBackend(script)) as b:
        stream = await streamed(b)
        assert stream.status == 429
        assert stream.batches[0].envelope.status == 429
        assert len(await b.logged()) == 1


async def test_a_retry_before_the_stream_is_told(redis_url: str) -> None:
    """A dead endpoint first: the stream comes from the other, and the head says so."""
    async with bench(
        redis_url,
        backend=StreamBackend(plays(EVENTS)),
        configure=lambda url: settings(
            url,
            backend={
                "urls": (EndpointSettings(url="http://127.0.0.1:1"), EndpointSettings(url=url)),
                "load_balancing": "first_healthy",
            },
        ),
    ) as b:
        stream = await streamed(b)
        assert stream.headers[b"backend-retries"] == b"1"
        assert stream.body == EVENTS


async def test_other_content_types_are_no_streams(redis_url: str) -> None:
    """Only the backend's media type decides; a request's Accept does not."""
    backend = StreamBackend(plays(b'{"a":1}\n', content_type=b"application/json"))
    async with bench(redis_url, backend=backend) as b:
        client = await connect(b.address)
        answer = await client.send(
            request_body(signed_request(b.chain)), [(b"Accept", b"text/event-stream")]
        )
        client.wire.close()
        assert answer.status == 200
        assert DELIMITER not in answer.body


async def test_the_backend_connection_is_kept_after_a_stream(redis_url: str) -> None:
    """A complete chunked stream leaves a connection for the next relay."""
    async with bench(redis_url, backend=StreamBackend(plays(EVENTS))) as b:
        await streamed(b)
        await streamed(b)
        [endpoint] = endpoints(b)
        assert endpoint.http.open_connections == 1
        assert endpoint.http.in_flight == 0


async def test_an_optimistic_stream_is_checked_after_its_end(redis_url: str) -> None:
    """Answered first, logged then."""
    configure = partial(settings, service={"validation_mode": "optimistic"})
    async with bench(redis_url, backend=StreamBackend(plays(EVENTS)), configure=configure) as b:
        assert (await streamed(b)).body == EVENTS
        with trio.fail_after(2):
            while not await b.logged():
                await trio.lowlevel.checkpoint()


async def test_below_the_difficulty_a_stream_is_served_and_refunded(redis_url: str) -> None:
    """Not applicable means not mined and not charged."""
    chain = SmallChain()
    chain.target = b"\x00" * 31 + b"\x01"
    async with bench(redis_url, chain=chain, backend=StreamBackend(plays(EVENTS))) as b:
        assert (await streamed(b)).body == EVENTS
        assert not await b.logged()
        assert left_upokt(b) == 200


async def test_shutdown_finishes_a_stream_in_hand(redis_url: str) -> None:
    """The drain lets it end within its time; the client has the whole of it, and it is mined."""
    release = trio.Event()

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"data: 1\n\n")
        await release.wait()
        await upstream.send(b"data: 2\n\n")
        await upstream.end()

    async with bench(redis_url, backend=StreamBackend(script)) as b:
        client = await ask(b)
        first = await read_batches(client, 1)
        b.relayer_scope.cancel()
        await trio.testing.wait_all_tasks_blocked(0.05)
        release.set()
        second = await read_batches(client, 1)
        assert b"data: 1" in first
        assert b"data: 2" in second
        client.wire.close()
        await b.relayer_stopped.wait()
        assert len(await b.logged()) == 1
