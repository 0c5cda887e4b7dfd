"""Hostile and clumsy clients at the front door, and the status pages."""

from __future__ import annotations

import json
import resource
from functools import partial

import trio

from relayminer.net.errors import WireError
from relayminer.net.http1 import response_bytes
from tests.relayer.client import connect, error_of
from tests.relayer.kit import SERVICE, Backend, bench, request_body, settings, signed_request


async def test_one_byte_a_second_is_408(redis_url: str) -> None:
    """A request that does not arrive in time is given up, whatever trickles in."""
    async with bench(redis_url, configure=partial(settings, header_timeout_seconds=0.3)) as b:
        client = await connect(b.address)
        await client.wire.send(b"POST / HT")
        with trio.fail_after(2):
            answer = await client.read()
        assert answer.status == 408
        assert error_of(answer) == "request not received in time"
        client.wire.close()


async def test_a_slow_body_is_408(redis_url: str) -> None:
    """The body has its own time."""
    async with bench(redis_url, configure=partial(settings, body_timeout_seconds=0.3)) as b:
        client = await connect(b.address)
        await client.wire.send(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        with trio.fail_after(2):
            assert (await client.read()).status == 408
        client.wire.close()


async def test_two_megabytes_of_headers_are_431(redis_url: str) -> None:
    """The limit decides, not the end of the headers."""
    async with bench(redis_url) as b:
        client = await connect(b.address)

        async def write() -> None:
            try:
                await client.wire.send(b"POST / HTTP/1.1\r\nX: " + b"a" * 2_000_000)
            except WireError:
                return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            with trio.fail_after(3):
                assert (await client.read()).status == 431
        client.wire.close()


async def test_fifty_megabytes_are_413_at_once(redis_url: str) -> None:
    """The announced length decides; a client that sends on anyway still reads the answer."""
    async with bench(redis_url) as b:
        client = await connect(b.address)
        await client.wire.send(b"POST / HTTP/1.1\r\nContent-Length: 52428800\r\n\r\n")
        with trio.fail_after(1):
            answer = await client.read()
        assert answer.status == 413
        assert error_of(answer) == "request body too large"
        client.wire.close()


async def test_a_chunked_flood_leaves_memory_flat(redis_url: str) -> None:
    """Fifty megabytes in chunks are cut at the limit, and not kept."""
    async with bench(redis_url, configure=partial(settings, max_body_bytes=1_000_000)) as b:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        client = await connect(b.address)

        async def write() -> None:
            try:
                await client.wire.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
                chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
                for _ in range(800):
                    await client.wire.send(chunk)
            except WireError:
                return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            assert (await client.read()).status == 413
        client.wire.close()
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kib < 20_000


async def test_garbage_is_400_and_the_next_relay_is_served(redis_url: str) -> None:
    """Bytes that are no HTTP end their connection, nothing else."""
    async with bench(redis_url) as b:
        client = await connect(b.address)
        await client.wire.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100)
        answer = await client.read()
        assert answer.status == 400
        assert "malformed" in error_of(answer)
        client.wire.close()
        client = await connect(b.address)
        assert (await client.send(request_body(signed_request(b.chain)))).status == 200
        client.wire.close()


async def test_pipelined_relays_are_answered_in_order(redis_url: str) -> None:
    """Five relays written at once come back in their order, each logged."""
    count = 0

    def answer(_: object) -> bytes:
        nonlocal count
        count += 1
        return response_bytes(200, b"%d" % count)

    async with bench(redis_url, backend=Backend(answer)) as b:
        client = await connect(b.address)
        body = request_body(signed_request(b.chain))
        one = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        for n in range(1, 6):
            await client.wire.send(one)
            answer_n = await client.read()
            assert answer_n.status == 200
            assert b"%d" % n in answer_n.body
        client.wire.close()
        assert len(await b.logged()) == 5


async def test_too_many_connections_are_closed(redis_url: str) -> None:
    """The bound on connections holds, and is free again when one ends."""
    async with bench(redis_url, configure=partial(settings, max_connections=2)) as b:
        first, second = await connect(b.address), await connect(b.address)
        assert (await first.get(b"/health")).status == 200
        assert (await second.get(b"/health")).status == 200
        third = await connect(b.address)
        assert await third.wire.receive() == b""
        for client in (first, second, third):
            client.wire.close()


async def test_too_many_relays_are_503(redis_url: str) -> None:
    """The bound on relays in flight answers at once."""
    async with bench(redis_url, configure=partial(settings, max_in_flight=0)) as b:
        client = await connect(b.address)
        answer = await client.send(request_body(signed_request(b.chain)))
        assert answer.status == 503
        client.wire.close()


async def test_the_status_pages_are_true(redis_url: str) -> None:
    """Healthy while alive; ready only with a height, keys, a store and a backend."""
    async with bench(redis_url, height=0) as b:
        client = await connect(b.address)
        health = await client.get(b"/health")
        assert (health.status, json.loads(health.body)) == (
            200,
            {"status": "healthy", "block_height": 0},
        )
        ready = await client.get(b"/ready")
        assert ready.status == 503
        assert "chain height" in json.loads(ready.body)["problems"]
        b.moment.observe(15)
        ready = await client.get(b"/ready")
        assert (ready.status, json.loads(ready.body)["block_height"]) == (200, 15)
        service = await client.get(b"/ready/" + SERVICE.encode())
        page = json.loads(service.body)
        assert service.status == 200
        assert page["backends"]["healthy"] == 1
        assert page["pool"]["in_flight"] == 0
        unknown = await client.get(b"/ready/nonsense")
        assert (unknown.status, error_of(unknown)) == (404, "unknown service")
        empty = await client.get(b"/ready/")
        assert (empty.status, error_of(empty)) == (400, "service_id path parameter is required")
        client.wire.close()
