"""The store goes away under load and comes back: nothing answered is lost, all is there once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.config.settings import MeteringSettings
from tests.relayer.client import error_of
from tests.relayer.kit import Bench, bench, request_body, signed_request
from tests.spool.outage import (
    PATIENCE,
    REFUSING,
    SPOOLING,
    client_of,
    load,
    logged_once,
    own_store,
    relayer_and_store,
    replayed,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path


async def away(relayer: Bench) -> None:
    """Wait until the relayer knows that the store is gone."""
    await until(lambda: relayer.value("ha_relayer_spool_store_away") == 1)


@pytest.mark.parametrize("way", ["killed", "frozen"])
async def test_relays_are_answered_from_the_spool(tmp_path: Path, soak: bool, way: str) -> None:
    """Under load the store is gone for a while: every answer is in the log afterwards, once."""
    away_seconds = 30.0 if soak else 2.5
    async with relayer_and_store(tmp_path) as (relayer, store):
        async with load(relayer) as sent:
            await sent.answers(100)
            if way == "killed":
                await store.kill()
            else:
                store.freeze()
            await trio.sleep(away_seconds)
            await sent.answers(50)
            assert relayer.value("ha_relayer_spool_relays") > 0
            assert relayer.value("ha_relayer_spool_bytes") > 0
            assert relayer.value("ha_relayer_spool_oldest_age_seconds") > 0
            supplier = relayer.chain.supplier_keys[0].address
            who = {"supplier_addr": supplier, "service_id": "anvil"}
            assert relayer.value("ha_transport_redis_publish_errors_total", **who) > 0
            assert relayer.health.problems() == {}
            if way == "killed":
                await store.start()
            else:
                store.thaw()
            await replayed(relayer)
            await sent.answers(100)
        # Whoever was on the way when the load ended may have gone to the spool once more.
        await replayed(relayer)
        spooled = relayer.value("ha_relayer_spool_written_relays_total")
        assert spooled == (
            relayer.value("ha_relayer_spool_replayed_relays_total")
            + relayer.value("ha_relayer_spool_known_relays_total")
        )
        assert not sent.refused
        await logged_once(relayer, sent)
        # Nobody waited longer than the first who found out.
        assert sent.seconds < 2.0


async def test_relays_are_refused_when_that_is_wanted(tmp_path: Path) -> None:
    """`refuse`: 503 while the store is away, not ready, and served again when it is back."""
    async with (
        relayer_and_store(tmp_path, REFUSING) as (relayer, store),
    ):
        async with load(relayer) as sent:
            await sent.answers(100)
            await store.kill()
            await until(lambda: sent.refused[503] >= 100)
            assert "store" in relayer.health.problems()
            await store.start()
            await sent.answers(100)
        assert list(sent.refused) == [503]
        assert relayer.health.problems() == {}
        await logged_once(relayer, sent)
        assert not (tmp_path / "node").exists()


async def test_a_full_spool_answers_503_and_is_not_ready(tmp_path: Path) -> None:
    """The spool's bound is kept: what does not fit is refused and told."""
    async with (
        own_store(tmp_path / "store") as store,
        bench(
            store.url,
            configure=partial(SPOOLING, spool_max_bytes=3_000),
            home=tmp_path / "node",
            redis_settings=PATIENCE,
        ) as relayer,
        client_of(relayer) as client,
    ):
        assert (await client.send(request_body(signed_request(relayer.chain)))).status == 200
        await store.kill()
        statuses = []
        for _ in range(12):
            answer = await client.send(request_body(signed_request(relayer.chain)))
            statuses.append(answer.status)
        assert 200 in statuses
        assert answer.status == 503
        assert error_of(answer) == "relay log unavailable"
        backend_calls = len(relayer.backend.requests)
        page = await client.get(b"/ready")
        # Known to be full: refused before the backend works for it.
        assert backend_calls < 13
        assert b"store_away" in page.body
        await store.start()
        await replayed(relayer)
        assert (await client.send(request_body(signed_request(relayer.chain)))).status == 200
        assert len(await relayer.logged()) == statuses.count(200) + 2


async def test_relays_are_answered_fast_although_budgets_cannot_be_read(tmp_path: Path) -> None:
    """`fail_behavior: open`: no relay waits for a store that is known to be away."""
    budgets = MeteringSettings(lease_relays=1)
    async with (
        own_store(tmp_path / "store") as store,
        bench(
            store.url,
            configure=partial(SPOOLING, metering=budgets),
            home=tmp_path / "node",
            redis_settings=PATIENCE,
        ) as relayer,
        client_of(relayer) as client,
    ):
        await client.send(request_body(signed_request(relayer.chain)))
        await store.kill()
        began = trio.current_time()
        for _ in range(20):
            answer = await client.send(request_body(signed_request(relayer.chain)))
            assert answer.status == 200
        assert trio.current_time() - began < 2.0


async def test_closed_metering_refuses_while_the_store_is_away(tmp_path: Path) -> None:
    """`fail_behavior: closed`: what cannot be metered is not served, spool or not."""
    budgets = MeteringSettings(lease_relays=1, fail_behavior="closed")
    async with (
        own_store(tmp_path / "store") as store,
        bench(
            store.url,
            configure=partial(SPOOLING, metering=budgets),
            home=tmp_path / "node",
            redis_settings=PATIENCE,
        ) as relayer,
        client_of(relayer) as client,
    ):
        await client.send(request_body(signed_request(relayer.chain)))
        await store.kill()
        await away(relayer)
        answer = await client.send(request_body(signed_request(relayer.chain)))
        assert answer.status == 503
        assert error_of(answer) == "relay metering unavailable"


async def test_a_spooled_relay_of_a_sealed_session_is_told_as_lost(tmp_path: Path) -> None:
    """The claim went out while the store was away: counted with its reason and its amount."""
    async with (
        relayer_and_store(tmp_path) as (relayer, store),
        client_of(relayer) as client,
    ):
        chain, names = relayer.chain, relayer.names
        await client.send(request_body(signed_request(chain)))
        supplier, session_id = chain.supplier_keys[0].address, chain.header(15).session_id
        sealed = names.smst_root_key(supplier, session_id)
        await relayer.redis.command("SET", sealed, b"\x01" * 48)
        await store.kill()
        await away(relayer)
        assert (await client.send(request_body(signed_request(chain)))).status == 200
        relayer.moment.observe(40)
        await store.start()
        await replayed(relayer)
        labels = {"service_id": "anvil"}
        assert relayer.value("ha_relayer_spool_late_relays_total", **labels) == 1
        labels["reason"] = "session_sealed"
        assert relayer.value("ha_relayer_spool_lost_relays_total", **labels) == 1
        assert relayer.value("ha_relayer_spool_lost_upokt_total", **labels) > 0
