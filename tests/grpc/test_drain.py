"""The end: GOAWAY on every connection, what is in hand is finished, nobody holds it up."""

from __future__ import annotations

import socket
import struct
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from h2.errors import ErrorCodes
from relayminer_plugins.grpc.transport import GrpcTransport

from relayminer.net.http1 import response_bytes
from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage
from tests.grpc.client import METHOD, connect
from tests.grpc.kit import checked, serving
from tests.relayer.kit import Backend, bench, json_rpc, request_body, settings, signed_request
from tests.streaming.backend import StreamBackend, Upstream
from tests.streaming.client import until

if TYPE_CHECKING:
    from tests.grpc.client import Http2Client
    from tests.relayer.kit import Bench

pytestmark = pytest.mark.usefixtures("no_traceback")

GRPC = [("content-type", "application/grpc")]
UNAVAILABLE = 14


def stop(b: Bench) -> None:
    """As SIGTERM does."""
    b.relayer_scope.cancel()


async def stopped(b: Bench, seconds: float) -> None:
    """The relayer has ended."""
    with trio.fail_after(seconds):
        await b.relayer_stopped.wait()


async def test_what_is_in_hand_is_finished(redis_url: str) -> None:
    """Calls and requests at the backend are answered after the GOAWAY; a new stream is refused."""
    release = trio.Event()
    async with serving(redis_url, backend=Backend(json_rpc, release)) as b:
        client = await connect(b.address)
        body = request_body(signed_request(b.chain))
        called, posted = await client.call(body), await client.post(body)
        await until(lambda: len(b.backend.requests) == 2, 10)
        stop(b)
        while client.goaway is None:
            await client.read()
        assert client.goaway == (ErrorCodes.NO_ERROR, posted)
        late = await client.post(body)
        assert (await client.answer(late)).reset == ErrorCodes.REFUSED_STREAM
        release.set()
        assert (await client.answer(called)).grpc == (0, "")
        assert (await client.answer(posted)).status == "200"
        await client.until_closed()
        await client.aclose()
        await stopped(b, 10)
        assert len(await b.logged()) == 2


async def test_an_idle_connection_is_told_and_closed(redis_url: str) -> None:
    """At once."""
    async with serving(redis_url) as b:
        client = await connect(b.address)
        assert (await client.ask("GET", "/health")).status == "200"
        stop(b)
        await client.until_closed()
        assert client.goaway == (ErrorCodes.NO_ERROR, 1)
        await client.aclose()
        await stopped(b, 10)


async def test_a_client_that_does_not_listen_holds_nobody_up(redis_url: str) -> None:
    """It neither reads nor closes: the relayer ends all the same."""
    async with serving(redis_url) as b:
        client = await connect(b.address)
        await client.post(request_body(signed_request(b.chain)))
        await until(lambda: len(b.backend.requests) == 1, 10)
        stop(b)
        await stopped(b, 10)
        await client.aclose()


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_client_that_does_not_read_is_cut_off(redis_url: str, *, is_stream: bool) -> None:
    """Megabytes wait for it when the time is up, some of them in the middle of a frame."""
    piece = b"x" * 4_000_000

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        for _ in range(10):
            await upstream.send(piece)

    backend = Backend(lambda _: response_bytes(200, piece))
    if is_stream:
        backend = StreamBackend(script)
    configure = partial(settings, drain_seconds=0.5)
    transport = GrpcTransport()
    async with bench(redis_url, transports=[transport], backend=backend, configure=configure) as b:
        client = await connect(b.address, window=2**31 - 1)
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        body = request_body(signed_request(b.chain))
        for _ in range(4):
            await client.post(body)
        await until(lambda: len(b.backend.requests) == 4, 10)
        [connection] = transport._connections
        await until(lambda: connection._outbox._sending, 10)
        stop(b)
        await stopped(b, 8)
        await client.aclose()


async def test_a_call_between_two_messages_ends(redis_url: str) -> None:
    """Nothing of it is in hand: the client may take its next message elsewhere."""
    async with serving(redis_url) as b:
        client = await connect(b.address)
        number = await client.begin(METHOD, GRPC)
        body = request_body(signed_request(b.chain))
        await client.send(number, struct.pack(">BI", 0, len(body)) + body)
        while not client.answers[number].body:
            await client.read()
        stop(b)
        answer = await client.answer(number)
        assert checked(b, bytes(answer.body)[5:]).status == 200
        assert answer.grpc == (UNAVAILABLE, "relayer is shutting down")
        await client.until_closed()
        await client.aclose()
        await stopped(b, 10)


async def test_half_a_request_is_given_a_second(redis_url: str) -> None:
    """One that comes in time is answered, one that does not is told why."""
    async with serving(redis_url) as b:
        client = await connect(b.address)
        body = request_body(signed_request(b.chain))
        quick, slow = await client.begin("/"), await client.begin("/")
        await client.send(quick, body[:100])
        await client.send(slow, body[:100])
        stop(b)
        while client.goaway is None:
            await client.read()
        await client.send(quick, body[100:], end=True)
        assert (await client.answer(quick)).status == "200"
        answer = await client.answer(slow)
        assert answer.status == "503"
        assert bytes(answer.body) == b'{"error":"relayer is shutting down"}'
        await client.until_closed()
        await client.aclose()
        await stopped(b, 10)


async def test_a_stream_goes_on_to_its_end(redis_url: str) -> None:
    """Batches that come after the GOAWAY are passed on."""
    release = trio.Event()

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"data: 1\n\n")
        await release.wait()
        await upstream.send(b"data: 2\n\n")
        await upstream.end()

    async with serving(redis_url, backend=StreamBackend(script)) as b:
        client = await connect(b.address)
        number = await client.post(request_body(signed_request(b.chain)))
        while not client.answers[number].body:
            await client.read()
        stop(b)
        while client.goaway is None:
            await client.read()
        release.set()
        answer = await client.answer(number)
        assert answer.reset is None
        assert b"data: 2" in bytes(answer.body)
        await client.aclose()
        await stopped(b, 10)
        assert len(await b.logged()) == 1


async def test_at_full_load_what_was_answered_is_what_was_logged(
    redis_url: str, *, soak: bool
) -> None:
    """Many connections with several calls each: to the relay."""
    for _ in range(20 if soak else 2):
        async with serving(redis_url) as b:
            answered: list[bytes] = []

            async def load() -> None:
                client: Http2Client = await connect(b.address)
                while client.goaway is None and not client.closed:
                    numbers = [
                        await client.call(request_body(signed_request(b.chain))) for _ in range(4)
                    ]
                    for number in numbers:
                        answer = await client.answer(number)
                        if answer.ended and answer.reset is None:
                            assert answer.grpc == (0, "")
                            answered.append(bytes(answer.body)[5:])  # noqa: B023
                await client.aclose()

            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    for _ in range(8):
                        nursery.start_soon(load)
                    await until(lambda: len(answered) > 100, 30)  # noqa: B023
                    stop(b)
            await stopped(b, 10)
            hashes = {
                MinedRelayMessage.FromString(fields[1]).relay_hash for _, fields in await b.logged()
            }
            assert len(hashes) == len(answered)
