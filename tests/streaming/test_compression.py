"""Outer gzip: only when it is on, asked for, and worth it (relayer.md 2.6)."""

from __future__ import annotations

import gzip
from functools import partial
from typing import TYPE_CHECKING

import pytest

from relayminer.config.simulation import CompressionSettings
from relayminer.net.http1 import response_bytes
from relayminer.protocol import codec
from relayminer.protocol.envelope import decode_http_response
from relayminer.protocol.pb.service_pb2 import RelayResponse
from relayminer.relayer.compress import accepts_gzip
from tests.relayer.client import connect
from tests.relayer.kit import Backend, Bench, bench, request_body, settings, signed_request
from tests.streaming.backend import StreamBackend, read_stream
from tests.streaming.client import EVENTS, plays

if TYPE_CHECKING:
    from relayminer.net.response import Response

ON = partial(settings, response_compression=CompressionSettings(enabled=True))


async def answer_to(b: Bench, accept_encoding: bytes) -> Response:
    """The answer to a good relay of a client that accepts this."""
    client = await connect(b.address)
    answer = await client.send(
        request_body(signed_request(b.chain)), [(b"Accept-Encoding", accept_encoding)]
    )
    client.wire.close()
    assert answer.status == 200
    return answer


@pytest.mark.parametrize("size", [3_000, 300_000])
async def test_a_large_answer_is_compressed(redis_url: str, size: int) -> None:
    """In the loop or in a thread: gunzipped, it is the signed response."""
    backend = Backend(lambda _: response_bytes(200, b"x" * size))
    async with bench(redis_url, backend=backend, configure=ON) as b:
        answer = await answer_to(b, b"deflate, gzip;q=1.0")
        assert answer.header(b"content-encoding") == b"gzip"
        assert len(answer.body) < size // 2
        response = codec.decode(RelayResponse, gzip.decompress(answer.body))
        assert decode_http_response(response.payload).body == b"x" * size
        assert len(await b.logged()) == 1


async def test_small_answers_and_clients_without_gzip_get_them_plain(redis_url: str) -> None:
    """Below the threshold, not asked for, or refused."""
    sizes = iter([10, 3_000, 3_000])
    backend = Backend(lambda _: response_bytes(200, b"x" * next(sizes)))
    async with bench(redis_url, backend=backend, configure=ON) as b:
        for accept in (b"gzip", b"deflate, br", b"gzip;q=0"):
            answer = await answer_to(b, accept)
            assert not answer.header(b"content-encoding")
            codec.decode(RelayResponse, answer.body)


async def test_it_is_off_by_default(redis_url: str) -> None:
    """Nobody pays the CPU unasked."""
    backend = Backend(lambda _: response_bytes(200, b"x" * 3_000))
    async with bench(redis_url, backend=backend) as b:
        assert not (await answer_to(b, b"gzip")).header(b"content-encoding")


async def test_streams_are_never_compressed(redis_url: str) -> None:
    """Their batches are to arrive when they are due."""
    async with bench(redis_url, backend=StreamBackend(plays(EVENTS)), configure=ON) as b:
        client = await connect(b.address)
        body = request_body(signed_request(b.chain))
        await client.wire.send(
            b"POST / HTTP/1.1\r\nAccept-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        stream = await read_stream(client)
        client.wire.close()
        assert b"content-encoding" not in stream.headers
        assert stream.body == EVENTS


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (b"gzip", True),
        (b"GZIP, br", True),
        (b"br, *", True),
        (b"gzip;q=0.5", True),
        (b"gzip; q=0", False),
        (b"gzip;q=0.000", False),
        (b"", False),
        (b"identity", False),
    ],
)
def test_accept_encoding(value: bytes, *, accepted: bool) -> None:
    """What counts as accepting gzip."""
    assert accepts_gzip([(b"accept-encoding", value)]) == accepted
