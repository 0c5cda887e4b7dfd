"""All answers in hand together have a bound: memory does not grow with clients that do not read."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from relayminer.net.client import request_bytes
from relayminer.net.errors import TooMuchHeldError
from relayminer.net.held import FREE_BYTES, Allowance, HeldBytes, Lease
from relayminer.net.http1 import Request, response_bytes
from relayminer.net.response import ResponseParser
from relayminer.net.wire import Wire
from relayminer.protocol.envelope import HttpRequest
from relayminer.testing.backend import Backend
from relayminer.testing.relayer import Bench, bench, settings
from relayminer.testing.small_chain import request_body, signed_request
from tests.backends.sick import until
from tests.net.http2_server import Asked, http2_server
from tests.relayer.client import Client, error_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LARGE_BYTES = 6_000_000
"""More than the system keeps for a client that does not read."""
LIMIT_BYTES = 3 * LARGE_BYTES + 1_000_000


def small_or_large(path: bytes) -> bytes:
    """A body of the size that the path names."""
    return b"x" * (LARGE_BYTES if path.startswith(b"/large") else 1_000)


async def http2_node(asked: Asked) -> None:
    """As an HTTP/2 backend."""
    await asked.answer(small_or_large(asked.fields[b":path"]))


def http1_node(request: Request) -> bytes:
    """As an HTTP/1.1 backend; some of its answers are chunked, so that no length is told."""
    body = small_or_large(request.target)
    if request.target != b"/large/chunked":
        return response_bytes(200, body)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@asynccontextmanager
async def bounded(redis_url: str, protocol: str) -> AsyncIterator[Bench]:
    """A relayer that holds three large answers."""
    backend = Backend(http1_node)
    async with http2_server(http2_node) as server:

        def configure(url: str) -> Any:
            place = url if protocol == "http1" else f"http://127.0.0.1:{server.port}"
            return settings(
                "",
                backend={"url": place, "protocol": protocol},
                max_answer_bytes_in_flight=LIMIT_BYTES,
            )

        async with bench(redis_url, backend=backend, configure=configure) as b:
            yield b


async def begin(b: Bench, path: str) -> Client:
    """A client that has asked, and does not read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    raw.connect(b.address)
    client = Client(Wire(raw), ResponseParser())
    envelope = HttpRequest("GET", path, {}, b"")
    body = request_body(signed_request(b.chain, envelope=envelope))
    await client.wire.send(request_bytes(b"POST", b"/", b"relayer", [], body))
    return client


async def have_logged(b: Bench, count: int) -> bool:
    """Whether so many answers are complete, each of which is logged before it is sent."""
    return len(await b.logged()) == count


@pytest.mark.parametrize(("protocol", "path"), [("http1", "/large/chunked"), ("http2", "/large")])
async def test_clients_that_do_not_read_are_bounded(
    redis_url: str, protocol: str, path: str
) -> None:
    """Beyond the bound large answers are refused, small ones not; what is taken is free again."""
    async with bounded(redis_url, protocol) as b:
        held = partial(b.value, "ha_relayer_answer_bytes_in_flight")
        lazy = [await begin(b, path) for _ in range(3)]
        await until(partial(have_logged, b, 3), 30)
        assert held() >= 3 * LARGE_BYTES
        refused = await begin(b, path)
        answer = await refused.read()
        assert (answer.status, error_of(answer)) == (503, "relayer is at capacity")
        labels = {"service_id": "anvil", "rpc_type": "jsonrpc", "reason": "answer_bytes"}
        assert b.value("ha_relayer_relays_rejected_total", **labels) == 1
        small = await begin(b, "/small")
        assert (await small.read()).status == 200
        # Who reads, and who leaves without it.
        assert len((await lazy[0].read()).body) > LARGE_BYTES
        lazy[1].wire.close()
        await until(lambda: held() <= LARGE_BYTES + 300_000, 30)
        again = await begin(b, path)
        assert (await again.read()).status == 200
        lazy[2].wire.close()
        await until(lambda: held() == 0, 30)
        assert len(await b.logged()) == 5
        for client in (lazy[0], refused, small, again):
            client.wire.close()


async def test_who_waits_for_room_gets_it_in_turn(autojump_clock: object) -> None:
    """One may go beyond the limit, so that of those who wait for each other one gets on."""
    del autojump_clock
    held = HeldBytes(1_000_000)
    leases = [Lease(held) for _ in range(4)]
    order: list[int] = []

    async def take(number: int, size: int) -> None:
        await leases[number].wait_for(size)
        order.append(number)

    await take(0, 600_000)
    await take(1, 700_000)
    assert held.held_bytes > held.limit_bytes
    async with trio.open_nursery() as nursery:
        for number in (2, 3):
            nursery.start_soon(take, number, 600_000)
            await trio.testing.wait_all_tasks_blocked()
        # Whoever is beyond the limit goes on before those who wait.
        await take(1, 900_000)
        assert order == [0, 1, 1]
        leases[0].release()
        await trio.testing.wait_all_tasks_blocked()
        assert order == [0, 1, 1]
        leases[1].release()
        await trio.testing.wait_all_tasks_blocked()
        # The first of them fits, the second is the next that may go beyond.
        assert sorted(order[3:]) == [2, 3]
    for lease in leases:
        lease.release()
    assert held.held_bytes == 0


async def test_who_waits_no_more_holds_nobody_up(autojump_clock: object) -> None:
    """Cancelled in the queue, it leaves nothing behind; those after it get on."""
    del autojump_clock
    held = HeldBytes(1_000_000)
    full, gone, later = (Lease(held) for _ in range(3))
    await full.wait_for(1_500_000)
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            await gone.wait_for(100_000)
        assert gone.size == 0
        nursery.start_soon(later.wait_for, 100_000)
        await trio.testing.wait_all_tasks_blocked()
        assert later.size == 0
        del full
    assert later.size >= 100_000
    later.release()
    assert held.held_bytes == 0


def test_a_lease_gives_back_what_it_holds() -> None:
    """By itself, whatever became of it; a body of its own limit is told apart from that of all."""
    held = HeldBytes(1_000_000)
    first, second = Allowance(held), Allowance(held)
    first.begin(900_000)
    second.begin(900_000)
    assert first.extend(FREE_BYTES)
    assert held.held_bytes == 0
    assert first.extend(700_000, exact=True)
    assert held.held_bytes == 700_000
    assert not first.extend(900_001)
    with pytest.raises(TooMuchHeldError):
        second.extend(400_000)
    lease = first.take_lease()
    assert lease is not None
    first.begin(10)
    assert held.held_bytes == 700_000
    del lease
    assert held.held_bytes == 0
