"""Streams from a backend to a client, over real sockets (relayer.md 5)."""

from __future__ import annotations

import gzip
import hashlib
from functools import partial

import pytest
import trio
import trio.testing

from relayminer.protocol import codec
from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage
from relayminer.protocol.pb.service_pb2 import Relay
from relayminer.relayer.stream import DELIMITER
from tests.relayer.client import connect
from tests.relayer.kit import (
    SERVICE,
    SmallChain,
    bench,
    request_body,
    settings,
    signed_request,
)
from tests.streaming.backend import NDJSON, SSE, StreamBackend, Upstream, read_batches, read_stream
from tests.streaming.client import EVENTS, ask, endpoints, left_upokt, plays, streamed


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
        with trio.fail_after(5):
            first = await read_batches(client, 1)
        assert b"data: first\n" in first
        silence.set()
        with trio.fail_after(5):
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
