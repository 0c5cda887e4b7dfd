"""`refuse_replays` over WebSocket, through two replicas, and mixed with HTTP (DESIGN 12)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from relayminer.config.settings import BackendSettings, RelayerSettings, ServiceSettings
from relayminer.protocol import codec
from tests.relayer.client import connect as connect_http
from tests.relayer.kit import SERVICE, Bench, SmallChain, bench, signed_request
from tests.websocket.frames import CLOSE
from tests.websocket.kit import FAST, Node, answer_of, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWERED, REFUSED = "answered", "refused"


@frozen
class Replicas:
    """Two relayers on one store, each of which speaks both."""

    chain: SmallChain
    one: Bench
    other: Bench
    node: Node

    def body(self) -> bytes:
        """A fresh relay; its payload is an HTTP request, which a node takes for any bytes."""
        return codec.encode(signed_request(self.chain))

    async def over_http(self, b: Bench, body: bytes) -> str:
        """What became of it."""
        client = await connect_http(b.address)
        answer = await client.send(body)
        client.wire.close()
        assert answer.status in {200, 409}, answer.status
        return ANSWERED if answer.status == 200 else REFUSED

    async def over_websocket(self, b: Bench, body: bytes) -> str:
        """The same."""
        socket = await connect(b)
        await socket.send(body)
        got = await socket.receive()
        await socket.aclose()
        if got.opcode == CLOSE:
            assert (got.code, got.reason) == (4001, "relay validation failed")
            return REFUSED
        assert answer_of(b, got.payload).payload
        return ANSWERED

    async def logged(self) -> int:
        """Entries of the relay log that they share."""
        return len(await self.one.logged())


@asynccontextmanager
async def replicas(redis_url: str) -> AsyncIterator[Replicas]:
    """Both, until the block ends."""
    chain, node = SmallChain(), Node()

    def both(http_url: str) -> RelayerSettings:
        backends = {
            "jsonrpc": BackendSettings(url=http_url),
            "websocket": BackendSettings(url=node.url),
        }
        return RelayerSettings(
            listen="127.0.0.1:0",
            services={SERVICE: ServiceSettings(backends=backends)},
            websocket=FAST,
            drain_seconds=2.0,
            refuse_replays=True,
        )

    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        async with (
            bench(redis_url, chain=chain, configure=both) as one,
            bench(redis_url, chain=chain, configure=both) as other,
        ):
            yield Replicas(chain, one, other, node)
        nursery.cancel_scope.cancel()


async def test_a_message_is_answered_by_one_of_two(redis_url: str) -> None:
    """Turn by turn: by whoever gets it first; the charge of the others is given back."""
    async with replicas(redis_url) as r:
        body = r.body()
        assert await r.over_websocket(r.one, body) == ANSWERED
        for b in (r.other, r.one, r.other):
            assert await r.over_websocket(b, body) == REFUSED
        assert await r.logged() == 1
        for b, left in ((r.one, 199), (r.other, 200)):
            [context] = b.relayer._book.contexts()
            [budget] = context.budgets.values()
            assert budget.left_upokt == left * context.cost_upokt


async def test_http_and_websocket_know_of_each_other(redis_url: str) -> None:
    """The same bytes over the other transport, of the same replica and of the other one."""
    async with replicas(redis_url) as r:
        body = r.body()
        assert await r.over_http(r.one, body) == ANSWERED
        assert await r.over_websocket(r.one, body) == REFUSED
        assert await r.over_websocket(r.other, body) == REFUSED
        body = r.body()
        assert await r.over_websocket(r.one, body) == ANSWERED
        assert await r.over_http(r.one, body) == REFUSED
        assert await r.over_http(r.other, body) == REFUSED
        assert await r.logged() == 2


async def test_all_at_once_one_is_answered(redis_url: str, *, soak: bool) -> None:
    """Both transports of both replicas, twice each, at the same moment: one answer, one entry."""
    async with replicas(redis_url) as r:
        for number in range(40 if soak else 8):
            body = r.body()
            outcomes: list[str] = []

            async def ask(way: object, b: Bench, body: bytes, outcomes: list[str]) -> None:
                over = r.over_http if way == "http" else r.over_websocket
                outcomes.append(await over(b, body))

            async with trio.open_nursery() as nursery:
                for way in ("http", "websocket") * 2:
                    for b in (r.one, r.other):
                        nursery.start_soon(ask, way, b, body, outcomes)
            assert sorted(outcomes) == [ANSWERED] + [REFUSED] * 7
            assert await r.logged() == number + 1
