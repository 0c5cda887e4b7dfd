"""The same signed bytes again: relays like any other, or answered once (DESIGN 12)."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.net.http1 import response_bytes
from relayminer.protocol import codec
from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.smst.trie import Trie
from tests.relayer.client import connect, error_of
from tests.relayer.kit import (
    Backend,
    Bench,
    SmallChain,
    bench,
    request_body,
    settings,
    signed_request,
)

if TYPE_CHECKING:
    from relayminer.net.response import Response

REFUSED = partial(settings, refuse_replays=True)
TEXT = "relay request already answered in this session"


async def send(b: Bench, body: bytes, times: int = 1) -> list[Response]:
    """The answers to the same bytes, one after another."""
    client = await connect(b.address)
    answers = [await client.send(body) for _ in range(times)]
    client.wire.close()
    return answers


async def leaves(b: Bench) -> int:
    """How many leaves the logged relays make."""
    trie = Trie()
    for _, fields in await b.logged():
        mined = MinedRelayMessage.FromString(fields[1])
        trie.update(mined.relay_hash, mined.relay_bytes, mined.compute_units_per_relay)
    trie.commit()
    return int.from_bytes(trie.root[40:48])


@pytest.mark.parametrize("distinct", [1, 7])
async def test_by_default_a_replay_is_a_relay(redis_url: str, *, distinct: int, soak: bool) -> None:
    """100 times: 100 signed answers, all metered and logged, one leaf per distinct answer."""
    times = 100 if soak else 28
    counter = itertools.count()
    backend = Backend(lambda _: response_bytes(200, b"%d" % (next(counter) % distinct)))
    async with bench(redis_url, backend=backend) as b:
        answers = await send(b, request_body(signed_request(b.chain)), times)
        assert [answer.status for answer in answers] == [200] * times
        assert len({answer.body for answer in answers}) == distinct
        assert len(await b.logged()) == times
        assert await leaves(b) == distinct
        [context] = b.relayer._book.contexts()
        [budget] = context.budgets.values()
        assert budget.left_upokt == (200 - times) * context.cost_upokt


async def test_refused_it_is_answered_once(redis_url: str) -> None:
    """The first is a relay; the rest are 409, without backend, charge or entry."""
    async with bench(redis_url, configure=REFUSED) as b:
        body = request_body(signed_request(b.chain))
        answers = await send(b, body, 10)
        assert [answer.status for answer in answers] == [200] + [409] * 9
        assert error_of(answers[1]) == TEXT
        assert len(b.backend.requests) == 1
        assert len(await b.logged()) == 1
        assert (await send(b, request_body(signed_request(b.chain))))[0].status == 200


async def test_padding_makes_no_new_request(redis_url: str) -> None:
    """Bytes behind the signature and unknown fields are the same request."""
    async with bench(redis_url, configure=REFUSED) as b:
        request = signed_request(b.chain)
        assert (await send(b, request_body(request)))[0].status == 200
        padded = RelayRequest()
        padded.CopyFrom(request)
        padded.meta.signature += b"\x00"
        for body in (codec.encode(padded), request_body(request) + b"\xfa\x3f\x01x"):
            assert (await send(b, body))[0].status in {400, 403, 409}
        assert len(await b.logged()) == 1


async def test_a_forgery_is_not_remembered(redis_url: str) -> None:
    """What does not verify cannot stand in the way of what does."""
    async with bench(redis_url, configure=REFUSED) as b:
        good = signed_request(b.chain)
        forged = RelayRequest()
        forged.CopyFrom(good)
        forged.meta.signature = forged.meta.signature[:-40] + bytes(40)
        assert (await send(b, request_body(forged)))[0].status == 403
        assert (await send(b, request_body(good)))[0].status == 200


async def test_what_was_not_answered_may_be_sent_again(redis_url: str) -> None:
    """A backend error is no answer."""
    statuses = iter([500, 200, 200])
    backend = Backend(lambda _: response_bytes(next(statuses), b"x"))
    async with bench(redis_url, backend=backend, configure=REFUSED) as b:
        answers = await send(b, request_body(signed_request(b.chain)), 3)
        assert [answer.status for answer in answers] == [500, 200, 409]


async def test_two_at_once_are_answered_once(redis_url: str) -> None:
    """The second is refused while the first is at the backend."""
    release = trio.Event()
    backend = Backend(release=release)
    async with bench(redis_url, backend=backend, configure=REFUSED) as b:
        body = request_body(signed_request(b.chain))
        first: list[Response] = []

        async def ask() -> None:
            first.extend(await send(b, body))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            with trio.fail_after(2):
                while not backend.requests:
                    await trio.lowlevel.checkpoint()
            assert (await send(b, body))[0].status == 409
            release.set()
        assert first[0].status == 200


async def forget_here(b: Bench) -> None:
    """As if the request had been answered by another relayer on the same store."""
    guard = b.relayer.engine.replays
    assert guard is not None
    guard._seen.clear()


async def test_another_replica_has_answered(redis_url: str) -> None:
    """The shared filter, written with the log entry, refuses it: not logged, not charged."""
    async with bench(redis_url, configure=REFUSED) as b:
        body = request_body(signed_request(b.chain))
        assert (await send(b, body))[0].status == 200
        await forget_here(b)
        answers = await send(b, body, 3)
        assert [answer.status for answer in answers] == [409] * 3
        assert len(await b.logged()) == 1
        [context] = b.relayer._book.contexts()
        [budget] = context.budgets.values()
        assert budget.left_upokt == 199 * context.cost_upokt


async def test_another_replica_has_answered_what_is_not_mined(redis_url: str) -> None:
    """Below the difficulty there is no entry, and still one answer."""
    chain = SmallChain()
    chain.target = b"\x00" * 31 + b"\x01"
    async with bench(redis_url, chain=chain, configure=REFUSED) as b:
        body = request_body(signed_request(b.chain))
        assert (await send(b, body))[0].status == 200
        await forget_here(b)
        assert (await send(b, body))[0].status == 409
        assert not await b.logged()


async def test_the_filter_is_bounded(redis_url: str) -> None:
    """The oldest is forgotten here, and still refused by the shared one."""
    configure = partial(REFUSED, replay_filter_entries=3)
    async with bench(redis_url, configure=configure) as b:
        bodies = [request_body(signed_request(b.chain)) for _ in range(6)]
        for body in bodies:
            assert (await send(b, body))[0].status == 200
        assert b.value("ha_relayer_replay_filter_requests") == 3
        for body in bodies:
            assert (await send(b, body))[0].status == 409
        assert len(await b.logged()) == 6


async def test_an_optimistic_replay_is_logged_once(redis_url: str) -> None:
    """Known ones are refused before the backend works; none is logged twice."""
    configure = partial(REFUSED, service={"validation_mode": "optimistic"})
    async with bench(redis_url, configure=configure) as b:
        body = request_body(signed_request(b.chain))
        assert (await send(b, body))[0].status == 200
        with trio.fail_after(2):
            while not await b.logged():
                await trio.lowlevel.checkpoint()
        assert (await send(b, body))[0].status == 409
        assert len(await b.logged()) == 1


async def test_through_two_replicas_it_is_answered_once(redis_url: str) -> None:
    """Two relayers on one store, turn by turn and at once: one answer, one entry."""
    chain = SmallChain()
    async with (
        bench(redis_url, chain=chain, configure=REFUSED) as one,
        bench(redis_url, chain=chain, configure=REFUSED) as other,
    ):
        body = request_body(signed_request(chain))
        assert (await send(one, body))[0].status == 200
        assert (await send(other, body))[0].status == 409
        assert (await send(one, body))[0].status == 409
        body = request_body(signed_request(chain))
        statuses: list[int] = []

        async def ask(b: Bench) -> None:
            statuses.extend([answer.status for answer in await send(b, body)])

        async with trio.open_nursery() as nursery:
            for b in (one, other, one, other):
                nursery.start_soon(ask, b)
        assert sorted(statuses) == [200, 409, 409, 409]
        assert len(await one.logged()) == 2
