"""Budgets through the real store: never over, lost only within the stated bound."""

from __future__ import annotations

from functools import partial

import trio

from relayminer.config.settings import MeteringSettings
from relayminer.state.meter import MeterStore
from tests.relayer.client import connect
from tests.relayer.kit import SmallChain, bench, request_body, settings, signed_request

COST_UPOKT = 4_200


async def test_fifty_at_once_never_go_over_the_budget(redis_url: str) -> None:
    """Of fifty relays at once exactly as many are served as the budget pays."""
    chain = SmallChain(stake_upokt=17 * COST_UPOKT * 15 * 2)
    configure = partial(settings, metering=MeteringSettings(lease_relays=5))
    statuses: list[int] = []
    async with bench(redis_url, chain=chain, configure=configure) as b:

        async def one() -> None:
            client = await connect(b.address)
            statuses.append((await client.send(request_body(signed_request(chain)))).status)
            client.wire.close()

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(one)
        assert statuses.count(200) == 17
        assert statuses.count(429) == 33
        assert len(await b.logged()) == 17


async def test_what_another_relayer_consumed_counts(redis_url: str) -> None:
    """Two relayers share one counter."""
    chain = SmallChain(stake_upokt=10 * COST_UPOKT * 15 * 2)
    async with bench(redis_url, chain=chain) as b:
        other = MeterStore(b.redis, b.names, ttl_seconds=60)
        grant = await other.take(
            chain.header(15).session_id,
            chain.supplier_keys[0].address,
            cost_upokt=COST_UPOKT,
            relays=8,
            max_upokt=10 * COST_UPOKT,
        )
        assert grant.relays == 8
        client = await connect(b.address)
        statuses = [
            (await client.send(request_body(signed_request(chain)))).status for _ in range(4)
        ]
        client.wire.close()
        assert statuses == [200, 200, 429, 429]


async def test_the_miner_says_that_a_session_is_over(redis_url: str) -> None:
    """The cleanup message drops our lease and removes the counter."""
    async with bench(redis_url) as b:
        client = await connect(b.address)
        await client.send(request_body(signed_request(b.chain)))
        client.wire.close()
        supplier = b.chain.supplier_keys[0].address
        [context] = b.relayer._book.contexts()
        store = MeterStore(b.redis, b.names, ttl_seconds=60)
        assert await store.read(context.session_id, supplier) is not None
        with trio.fail_after(3):
            while context.budgets:
                await store.publish_cleanup(context.session_id, supplier)
                await trio.lowlevel.checkpoint()
            while await store.read(context.session_id, supplier) is not None:
                await trio.lowlevel.checkpoint()


async def test_metering_can_be_switched_off(redis_url: str) -> None:
    """Then nothing is counted, and everything else is checked all the same (K-2)."""
    configure = partial(settings, metering=MeteringSettings(enabled=False))
    async with bench(redis_url, configure=configure) as b:
        client = await connect(b.address)
        assert (await client.send(request_body(signed_request(b.chain)))).status == 200
        forged = signed_request(b.chain)
        forged.meta.signature = forged.meta.signature[:-1] + b"\x00"
        assert (await client.send(request_body(forged))).status == 403
        client.wire.close()
        assert len(await b.logged()) == 1
