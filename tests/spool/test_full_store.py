"""The store is full: it refuses writes, or is about to. No relay is answered that is not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from relayminer.config.settings import RedisSettings
from relayminer.state.watch import ServerWatch
from relayminer.telemetry.metrics import Metrics
from tests.spool.outage import (
    REFUSING,
    load,
    logged_hashes,
    logged_once,
    relayer_and_store,
    replayed,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path


async def test_what_a_full_store_refuses_is_not_answered_or_spooled(tmp_path: Path) -> None:
    """The store says OOM under load; when it has room again every answer is in the log, once."""
    async with (
        relayer_and_store(tmp_path) as (relayer, _),
        load(relayer) as sent,
    ):
        await sent.answers(100)
        await relayer.redis.command("CONFIG", "SET", "maxmemory", "1mb")
        await until(lambda: relayer.value("ha_relayer_spool_written_relays_total") > 50)
        await sent.answers(50)
        await relayer.redis.command("CONFIG", "SET", "maxmemory", "0")
        await replayed(relayer)
        sent.stopping = True
        await replayed(relayer)
        assert not sent.refused
        await logged_once(relayer, sent)


async def test_without_a_spool_a_full_store_means_503(tmp_path: Path) -> None:
    """`refuse`: what the store did not take is not answered."""
    async with (
        relayer_and_store(tmp_path, REFUSING) as (relayer, _),
    ):
        async with load(relayer) as sent:
            await sent.answers(50)
            await relayer.redis.command("CONFIG", "SET", "maxmemory", "1mb")
            await until(lambda: sent.refused[503] >= 50)
            await relayer.redis.command("CONFIG", "SET", "maxmemory", "0")
            await sent.answers(50)
        logged = await logged_hashes(relayer)
        assert set(logged.values()) == {1}
        assert set(sent.answered) == set(logged)


async def test_load_is_shed_before_the_store_is_full(tmp_path: Path) -> None:
    """With little room left relays go to the spool, and stay there until there is more."""
    watched = RedisSettings(
        watch_interval_seconds=0.02, memory_warn_ratio=0.01, memory_shed_ratio=0.02
    )
    async with (
        relayer_and_store(tmp_path) as (relayer, _),
        trio.open_nursery() as nursery,
    ):
        redis = relayer.redis
        watch = ServerWatch(redis, watched, health=relayer.health, metrics=Metrics())
        await nursery.start(watch.run)
        async with load(relayer) as sent:
            await sent.answers(20)
            await redis.command("CONFIG", "SET", "maxmemory", "10mb")
            await until(lambda: redis.pressure is not None)
            await sent.answers(50)
            assert "store memory" in relayer.health.problems()
            in_log = len(await relayer.logged())
            await sent.answers(50)
            assert len(await relayer.logged()) == in_log
            assert relayer.value("ha_relayer_spool_relays") >= 50
            await redis.command("CONFIG", "SET", "maxmemory", "0")
            await replayed(relayer)
        await replayed(relayer)
        assert not sent.refused
        await logged_once(relayer, sent)
        nursery.cancel_scope.cancel()
