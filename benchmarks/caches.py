"""The three tiers of the caches: this process's memory, the store, the chain over gRPC."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from benchmarks.figures import Figure, at_most
from benchmarks.timing import cpu_us
from relayminer.cache.caches import Caches
from relayminer.cache.metrics import CacheMetrics
from relayminer.cache.moment import ChainMoment
from relayminer.chain.queries import ChainQueries
from relayminer.config.chain import ChainSettings
from relayminer.devnet.options import DevnetOptions
from relayminer.devnet.server import Devnet, run_devnet
from relayminer.plugin import load_cache_types
from relayminer.state.names import KeyNames
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.store import fresh_store, running_gateway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.cache.tiers import Cache

L1_US = 1.0
L2_MS = 2.0
L3_MS = 100.0
HITS = 20_000
READS = 300


def cache_figures() -> list[Figure]:
    """What an application's record costs, by where it is found."""
    return trio.run(_measure)


async def _measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="relayminer-bench-") as home:
        options = DevnetOptions(
            home=Path(home), rpc_port=0, grpc_port=0, control_port=0, block_time_seconds=None
        )
        async with trio.open_nursery() as nursery:
            devnet: Devnet = await nursery.start(run_devnet, options)
            settings = ChainSettings(grpc_url=devnet.info.grpc_url, grpc_insecure=True)
            async with (
                ChainQueries(settings) as chain,
                fresh_store() as url,
                running_gateway(url) as redis,
            ):
                caches = Caches(
                    load_cache_types(),
                    chain=chain,
                    store=redis,
                    names=KeyNames(),
                    moment=ChainMoment(settings.block_time_seconds),
                    max_entries=1_000,
                    metrics=CacheMetrics(Metrics()),
                )
                key = devnet.info.applications[0].address
                figures = await _tiers(caches.of("application"), key)
            nursery.cancel_scope.cancel()
    return figures


async def _tiers(cache: Cache[Any, Any], key: str) -> list[Figure]:
    async def from_memory() -> None:
        await cache.get(key)

    async def from_store() -> None:
        cache.forget(key)
        await cache.get(key)

    async def from_chain() -> None:
        await cache.refresh(key)

    chain_ms = await _percentile_ms(from_chain)
    store_ms = await _percentile_ms(from_store)
    awaited_ms = await _percentile_ms(from_memory)
    hit_us = cpu_us(lambda _number: cache.get_cached(key), HITS)
    return [
        at_most("cache_l1_us", hit_us, "us", L1_US),
        Figure("cache_l1_awaited_us", awaited_ms * 1_000, "us"),
        at_most("cache_l2_ms", store_ms, "ms", L2_MS),
        at_most("cache_l3_ms", chain_ms, "ms", L3_MS),
    ]


async def _percentile_ms(read: Callable[[], Awaitable[None]]) -> float:
    """The 95th percentile of some reads, one after another."""
    await read()
    took = []
    for _ in range(READS):
        started = time.perf_counter()
        await read()
        took.append((time.perf_counter() - started) * 1_000)
    return statistics.quantiles(took, n=20)[-1]
