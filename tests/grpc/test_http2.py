"""Relays as plain requests over HTTP/2: many at once, large, streamed, thousands; status pages."""

from __future__ import annotations

import gc
import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from h2.events import InformationalResponseReceived
from relayminer_plugins.grpc.transport import GrpcTransport
from relayminer_plugins.http.transport import HttpTransport

from relayminer.net.http1 import response_bytes
from relayminer.relayer.stream import DELIMITER
from tests.grpc.client import METHOD, connect, framed, messages
from tests.grpc.kit import checked, envelope, serving
from tests.relayer import client as http
from tests.relayer.kit import (
    SERVICE,
    Backend,
    bench,
    json_rpc,
    request_body,
    settings,
    signed_request,
)
from tests.streaming.backend import StreamBackend, Upstream
from tests.streaming.client import until

if TYPE_CHECKING:
    from relayminer.net.http1 import Request
    from relayminer.protocol.envelope import HttpResponse
    from tests.grpc.client import Http2Client
    from tests.relayer.kit import Bench

MEGABYTE = 1_000_000


def echo(request: Request) -> bytes:
    """The backend's answer is what it was asked."""
    return response_bytes(200, request.body)


async def relayed(b: Bench, client: Http2Client, body: bytes) -> HttpResponse:
    """A relay with this backend request; what the backend said."""
    request = signed_request(b.chain, envelope=envelope(body))
    answer = await client.answer(await client.post(request_body(request)))
    assert answer.status == "200", bytes(answer.body)
    return checked(b, bytes(answer.body))


async def test_relays_at_once_on_one_connection(redis_url: str) -> None:
    """They are at the backend together, and each gets its own answer."""
    release = trio.Event()
    async with serving(redis_url, backend=Backend(echo, release)) as b:
        client = await connect(b.address)
        numbers = {}
        for count in range(20):
            request = signed_request(b.chain, envelope=envelope(b"%d" % count))
            numbers[count] = await client.post(request_body(request))
        await until(lambda: len(b.backend.requests) == 20, 10)
        release.set()
        for count, number in numbers.items():
            answer = await client.answer(number)
            assert checked(b, bytes(answer.body)).body == b"%d" % count
        await client.aclose()
        assert len(await b.logged()) == 20


@pytest.mark.parametrize("window", [1_000, 65_535, 10_000_000])
async def test_megabytes_both_ways_through_any_window(redis_url: str, window: int) -> None:
    """Several large relays at once: no window is overrun, no byte is lost or mixed up."""
    async with serving(redis_url, backend=Backend(echo)) as b:
        client = await connect(b.address, window=window, connection=max(window, 65_535))
        bodies = [bytes([65 + n]) * (MEGABYTE + n) for n in range(3)]
        numbers = []
        for body in bodies:
            relay = request_body(signed_request(b.chain, envelope=envelope(body)))
            numbers.append(await client.post(relay))
        for body, number in zip(bodies, numbers, strict=True):
            answer = await client.answer(number)
            assert checked(b, bytes(answer.body)).body == body
        await client.aclose()
        assert len(await b.logged()) == 3


async def test_large_messages_of_a_call(redis_url: str) -> None:
    """GRPC's messages are cut into frames, and put together again."""
    async with serving(redis_url, backend=Backend(echo)) as b:
        client = await connect(b.address, window=20_000)
        bodies = [b"x" * MEGABYTE, b"y" * (2 * MEGABYTE)]
        relays = [request_body(signed_request(b.chain, envelope=envelope(one))) for one in bodies]
        answer = await client.answer(await client.call(*relays))
        await client.aclose()
        assert answer.grpc == (0, "")
        assert [checked(b, one).body for one in messages(bytes(answer.body))] == bodies


async def test_a_small_relay_overtakes_a_slow_one(redis_url: str) -> None:
    """A stream whose client takes nothing holds nobody up."""
    async with serving(redis_url, backend=Backend(echo)) as b:
        client = await connect(b.address, window=100_000)
        slow = await client.begin("/")
        # The answer of the slow one fills its window, which is not opened before the other's end.
        relay = request_body(signed_request(b.chain, envelope=envelope(b"z" * MEGABYTE)))
        acknowledge = client.protocol.acknowledge_received_data
        client.protocol.acknowledge_received_data = lambda *_: None  # type: ignore[method-assign]
        await client.send(slow, relay, end=True)
        await until(lambda: len(b.backend.requests) == 1, 10)
        assert (await relayed(b, client, b"quick")).body == b"quick"
        assert not client.answers[slow].ended
        client.protocol.acknowledge_received_data = acknowledge  # type: ignore[method-assign]
        for number, answer in list(client.answers.items()):
            if answer.body and not answer.ended:
                acknowledge(len(answer.body), number)
        await client.flush()
        answer = await client.answer(slow)
        assert checked(b, bytes(answer.body)).body == b"z" * MEGABYTE
        await client.aclose()


async def test_thousands_over_one_connection_leave_nothing(redis_url: str, *, soak: bool) -> None:
    """Calls and requests in turn: no stream is remembered, and the heap is flat."""
    count = 10_000 if soak else 200
    transport = GrpcTransport()
    async with bench(redis_url, transports=[transport, HttpTransport()]) as b:
        client = await connect(b.address)
        body = request_body(signed_request(b.chain))

        async def ask(times: int) -> None:
            for number in range(times):
                if number % 2:
                    answer = await client.answer(await client.call(body))
                    assert answer.grpc == (0, "")
                else:
                    answer = await client.answer(await client.post(body))
                    assert answer.status == "200"
                client.answers.clear()
                b.backend.requests.clear()

        await ask(count // 4)
        [connection] = transport._connections
        gc.collect()
        before = len(gc.get_objects())
        await ask(count - count // 4)
        gc.collect()
        assert connection.streams == 0
        assert connection._events.streams == {}
        assert len(connection._protocol.streams) <= 1
        assert len(connection._protocol._closed_streams) <= 1_024
        assert len(gc.get_objects()) - before < 2_000
        await client.aclose()
        assert len(await b.logged()) == count
        await until(lambda: not transport._connections, 10)


# The lines of relayer.md 2.2 that are the transport's own.


async def test_a_body_over_the_limit_is_413(redis_url: str) -> None:
    """By what it announces, and by what it is."""
    async with serving(redis_url, configure=partial(settings, max_body_bytes=100_000)) as b:
        client = await connect(b.address)
        announced = await client.begin("/", [("content-length", "100001")])
        sent = await client.begin("/")
        await client.send(sent, b"x" * 200_000, end=True)
        for number in (announced, sent):
            answer = await client.answer(number)
            assert answer.status == "413"
            assert bytes(answer.body) == b'{"error":"request body too large"}'
        await client.aclose()


async def test_a_body_that_does_not_come_is_408(redis_url: str) -> None:
    """The connection lives on."""
    async with serving(redis_url, configure=partial(settings, body_timeout_seconds=0.3)) as b:
        client = await connect(b.address)
        number = await client.begin("/")
        await client.send(number, b"x")
        assert (await client.answer(number)).status == "408"
        assert (await relayed(b, client, b"next")).status == 200
        await client.aclose()


async def test_a_client_that_asks_before_it_sends(redis_url: str) -> None:
    """`Expect: 100-continue` is answered, and then the relay."""
    async with serving(redis_url) as b:
        client = await connect(b.address)
        informed: list[object] = []
        handle = client._handle

        def watch(event: object) -> None:
            if isinstance(event, InformationalResponseReceived):
                informed.append(event)
            handle(event)

        client._handle = watch  # type: ignore[method-assign]
        number = await client.begin("/", [("expect", "100-continue")])
        while not informed:
            await client.read()
        await client.send(number, request_body(signed_request(b.chain)), end=True)
        assert (await client.answer(number)).status == "200"
        await client.aclose()


async def test_a_connection_holds_only_so_much(redis_url: str) -> None:
    """Many large bodies that none of them finishes are cut at a few times the largest."""
    async with serving(redis_url, configure=partial(settings, max_body_bytes=1_200_000)) as b:
        client = await connect(b.address)
        numbers = [await client.begin("/") for _ in range(24)]
        for number in numbers:
            await client.send(number, b"x" * 1_000_000)
        while not any(client.answers[number].ended for number in numbers):
            await client.read()
        ended = [one for one in numbers if client.answers[one].ended]
        assert ended
        for number in ended:
            assert client.answers[number].status == "503"
            assert b"too much at once" in bytes(client.answers[number].body)
        await client.aclose()


async def test_refusals_have_their_status(redis_url: str) -> None:
    """As over HTTP/1.1."""
    async with serving(redis_url) as b:
        client = await connect(b.address)
        forged = signed_request(b.chain)
        forged.payload += b"\x22\x00"
        for body, status in ((b"", "400"), (b"\xff", "400"), (request_body(forged), "403")):
            assert (await client.answer(await client.post(body))).status == status
        await client.aclose()
        assert await b.logged() == []


async def test_the_status_pages(redis_url: str) -> None:
    """Under their paths, to GET and HEAD."""
    async with serving(redis_url) as b:
        client = await connect(b.address)
        for path, status in (("/health", "200"), (f"/ready/{SERVICE}", "200"), ("/ready/x", "404")):
            page = await client.ask("GET", path)
            assert page.status == status
            assert page.headers["content-type"] == "application/json"
            assert json.loads(bytes(page.body))
            head = await client.ask("HEAD", path)
            assert head.status == status
            assert head.headers["content-length"] == page.headers["content-length"]
            assert head.body == b""
        await client.aclose()


# Streams.


async def test_a_backend_that_streams(redis_url: str) -> None:
    """Signed batches as they come, the last one logged before it is sent."""

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"data: 1\n\n")
        await upstream.send(b"data: 2\n\n")
        await upstream.end()

    async with serving(redis_url, backend=StreamBackend(script)) as b:
        client = await connect(b.address)
        answer = await client.answer(await client.post(request_body(signed_request(b.chain))))
        await client.aclose()
        assert answer.status == "200"
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "connection" not in answer.headers
        *batches, rest = bytes(answer.body).split(DELIMITER)
        assert rest == b""
        assert b"".join(checked(b, one).body for one in batches) == b"data: 1\n\ndata: 2\n\n"
        assert len(await b.logged()) == 1


async def test_a_client_that_resets_its_stream_cancels_the_backend(redis_url: str) -> None:
    """And the others on its connection go on; the relay is neither logged nor charged."""
    hung_up = trio.Event()

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"data: 1\n\n")
        await upstream.cancelled()
        hung_up.set()

    async with serving(redis_url, backend=StreamBackend(script)) as b:
        client = await connect(b.address)
        number = await client.post(request_body(signed_request(b.chain)))
        while not client.answers[number].body:
            await client.read()
        client.protocol.reset_stream(number)
        await client.flush()
        with trio.fail_after(10):
            await hung_up.wait()
        assert (await client.answer(await client.post(b""))).status == "400"
        await client.aclose()
        assert await b.logged() == []


async def test_a_stream_that_breaks_off_is_reset(redis_url: str) -> None:
    """The client can tell that the end is missing."""

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"data: 1\n\n")
        upstream.wire.close()

    async with serving(redis_url, backend=StreamBackend(script)) as b:
        client = await connect(b.address)
        answer = await client.answer(await client.post(request_body(signed_request(b.chain))))
        await client.aclose()
        assert answer.reset
        assert await b.logged() == []


# One port.


async def test_all_protocols_at_once_on_one_port(redis_url: str) -> None:
    """HTTP/1.1, HTTP/2, gRPC and gRPC-Web, over and over, side by side."""
    async with serving(redis_url, backend=Backend(json_rpc)) as b:

        async def over_http1() -> None:
            client = await http.connect(b.address)
            for _ in range(10):
                body = request_body(signed_request(b.chain))
                assert checked(b, (await client.send(body)).body).status == 200
            for _ in range(10):
                body = framed(request_body(signed_request(b.chain)))
                kind = [(b"Content-Type", b"application/grpc-web")]
                answer = await client.send(body, kind, METHOD.encode())
                assert b"grpc-status: 0" in answer.body
            client.wire.close()

        async def over_http2() -> None:
            client = await connect(b.address)
            for _ in range(10):
                body = request_body(signed_request(b.chain))
                posted, called = await client.post(body), await client.call(body)
                assert (await client.answer(called)).grpc == (0, "")
                assert (await client.answer(posted)).status == "200"
            await client.aclose()

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(over_http1)
                nursery.start_soon(over_http2)
        assert len(await b.logged()) == 120
