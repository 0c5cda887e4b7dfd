"""Streams that end otherwise than their backend meant, over real sockets (relayer.md 5)."""

from __future__ import annotations

from functools import partial

import trio
import trio.testing

from relayminer.config.settings import EndpointSettings
from tests.relayer.client import connect, error_of
from tests.relayer.kit import (
    SERVICE,
    bench,
    request_body,
    settings,
    signed_request,
)
from tests.streaming.backend import StreamBackend, Upstream, read_batches
from tests.streaming.client import EVENTS, ask, endpoints, left_upokt, plays, streamed, until


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
        with trio.fail_after(5):
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
        with trio.fail_after(5):
            await stopped.wait()
        await until(lambda: not b.relayer.engine.in_flight)
        assert not await b.logged()


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
        with trio.fail_after(5):
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
