"""Mutated bytes at the front door of a whole relayer: told so, never served, never shown inside."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from relayminer.net.errors import WireError
from relayminer.testing.http_client import connect
from relayminer.testing.relayer import bench, settings
from relayminer.testing.small_chain import request_body, signed_request
from relayminer.testing.store import fresh_store
from tests.fuzz import corpora
from tests.fuzz.campaign import told
from tests.fuzz.mutate import Mutator

PATIENCE_SECONDS = 60
pytestmark = pytest.mark.timeout(1_800)  # the full counts take their time

CLIENTS = 16
FULL, REDUCED = 25_000, 400


async def conversation(address: tuple[str, int], data: bytes) -> bytes:
    """Everything that the relayer says to a client that says `data` and no more."""
    stream = await trio.open_tcp_stream(*address)
    said = b""
    try:
        await stream.send_all(data)
        await stream.send_eof()
        async for piece in stream:
            said += piece
    except trio.BrokenResourceError:
        # Hung up while we were still talking.
        return said
    finally:
        await trio.aclose_forcefully(stream)
    return said


async def test_whole_connections(*, soak: bool) -> None:
    """No traceback, no internal error, no hang; a good relay is served after all of it."""
    count = FULL if soak else REDUCED
    mutator = Mutator("connections", corpora.http_requests(), corpora.HTTP_WORDS)
    configure = partial(settings, header_timeout_seconds=1.0)
    async with fresh_store() as url, bench(url, configure=configure) as b:

        async def stranger(first: int) -> None:
            for number in range(first, count, CLIENTS):
                data = mutator.make(number)
                said = b""
                with trio.move_on_after(PATIENCE_SECONDS) as limit:
                    said = await conversation(b.address, data)
                assert not limit.cancelled_caught, told(mutator, number, data, "no end")
                for betrayal in (b"Traceback", b"internal error", b".py"):
                    assert betrayal not in said, told(mutator, number, data, said)

        async with trio.open_nursery() as nursery:
            for first in range(CLIENTS):
                nursery.start_soon(stranger, first)
        client = await connect(b.address)
        assert (await client.send(request_body(signed_request(b.chain)))).status == 200
        client.wire.close()


async def test_relay_bodies(*, soak: bool) -> None:
    """Damaged relays over one connection: 4xx or 5xx with JSON, only undamaged ones are signed."""
    count = FULL if soak else REDUCED
    async with fresh_store() as url, bench(url) as b:
        good = request_body(signed_request(b.chain))
        mutator = Mutator("relay bodies", [good], (b"\x0a", b"\x12", b"\x1a"))
        client = await connect(b.address)
        for number in range(count):
            data = mutator.make(number)
            with trio.move_on_after(PATIENCE_SECONDS) as limit:
                try:
                    answer = await client.send(data)
                except (WireError, ConnectionError) as error:
                    raise AssertionError(told(mutator, number, data, error)) from error
            assert not limit.cancelled_caught, told(mutator, number, data, "no answer")
            assert answer.status != 500, told(mutator, number, data, answer.body)
            assert b"Traceback" not in answer.body, told(mutator, number, data, answer.body)
        assert (await client.send(good)).status == 200
        client.wire.close()
