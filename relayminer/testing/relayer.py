"""A relayer with a real store, real sockets and real signatures, on a chain that fits in a file."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from relayminer.cache.caches import Caches
from relayminer.cache.metrics import CacheMetrics
from relayminer.cache.moment import ChainMoment
from relayminer.config.settings import (
    BackendSettings,
    MeteringSettings,
    RelayerSettings,
    ServiceSettings,
)
from relayminer.plugin.registry import load_cache_types, load_transports
from relayminer.relayer.service import RelayerService
from relayminer.state.gateway import Redis
from relayminer.state.names import KeyNames
from relayminer.telemetry.health import Health
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.backend import Backend
from relayminer.testing.small_chain import SERVICE, SmallChain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from relayminer.config.settings import RedisSettings
    from relayminer.plugin import Transport
    from relayminer.protocol.signature import SigningKey
    from relayminer.telemetry.spans import Traces
    from relayminer.testing.driver import DrivenBackend


@attrs.define
class Bench:
    """A running relayer and everything around it."""

    chain: SmallChain
    backend: Backend
    relayer: RelayerService
    redis: Redis
    names: KeyNames
    moment: ChainMoment
    metrics: Metrics
    health: Health
    nursery: trio.Nursery
    relayer_scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    relayer_stopped: trio.Event = attrs.Factory(trio.Event)

    async def run_relayer(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run it until its scope is cancelled."""
        try:
            with self.relayer_scope:
                await self.relayer.run(task_status=task_status)
        finally:
            self.relayer_stopped.set()

    @property
    def address(self) -> tuple[str, int]:
        """Where the relayer listens."""
        return self.relayer.addresses[0]

    async def logged(self, supplier: str | None = None) -> list[Any]:
        """The entries of the relay log."""
        key = self.names.stream_key(supplier or self.chain.supplier_keys[0].address)
        entries: list[Any] = await self.redis.command("XRANGE", key, "-", "+")
        return entries

    def value(self, sample: str, **labels: str) -> float:
        """A metric's value, 0 when it was never touched."""
        return self.metrics.registry.get_sample_value(sample, labels) or 0.0


def settings(backend_url: str, **changes: Any) -> RelayerSettings:
    """Settings of a relayer with one service."""
    service: dict[str, Any] = changes.pop("service", {})
    backend: dict[str, Any] = changes.pop("backend", {"url": backend_url})
    backend_type: str = changes.pop("backend_type", "jsonrpc")
    return RelayerSettings(
        listen="127.0.0.1:0",
        services={
            SERVICE: ServiceSettings(
                backends={backend_type: BackendSettings(**backend)},
                default_backend=backend_type,
                **service,
            )
        },
        drain_seconds=changes.pop("drain_seconds", 2.0),
        metering=changes.pop("metering", MeteringSettings()),
        **changes,
    )


@asynccontextmanager
async def bench(
    redis_url: str,
    *,
    chain: SmallChain | None = None,
    backend: Backend | None = None,
    node: DrivenBackend | None = None,
    height: int = 15,
    transports: list[Transport] | None = None,
    keys: dict[str, SigningKey] | None = None,
    configure: Callable[[str], RelayerSettings] = settings,
    home: Path | None = None,
    redis_settings: RedisSettings | None = None,
    traces: Traces | None = None,
) -> AsyncIterator[Bench]:
    """A relayer that serves, until the block ends; with a spool when it has a home."""
    chain = chain or SmallChain()
    backend = backend or Backend()
    names = KeyNames()
    metrics, health = Metrics(), Health()
    async with trio.open_nursery() as nursery:
        redis = Redis(redis_url, redis_settings)
        await nursery.start(redis.run)
        await redis.wait_connected()
        await redis.command("FLUSHALL")
        served_by = node or backend
        await nursery.start(served_by.run)
        moment = ChainMoment(30.0)
        if height:
            moment.observe(height)
        caches = _caches(chain, redis, names, moment, metrics)
        await nursery.start(caches.run)
        relayer = RelayerService(
            configure(served_by.url),
            keys={key.address: key for key in chain.supplier_keys} if keys is None else keys,
            caches=caches,
            moment=moment,
            store=redis,
            names=names,
            transports=load_transports() if transports is None else transports,
            metrics=metrics,
            health=health,
            home=home,
            traces=traces,
        )
        running = Bench(
            chain=chain,
            backend=backend,
            relayer=relayer,
            redis=redis,
            names=names,
            moment=moment,
            metrics=metrics,
            health=health,
            nursery=nursery,
        )
        await nursery.start(running.run_relayer)
        yield running
        running.relayer_scope.cancel()
        await running.relayer_stopped.wait()
        nursery.cancel_scope.cancel()


def _caches(
    chain: SmallChain, redis: Redis, names: KeyNames, moment: ChainMoment, metrics: Metrics
) -> Caches:
    return Caches(
        load_cache_types(),
        chain=chain,
        store=redis,
        names=names,
        moment=moment,
        max_entries=1_000,
        metrics=CacheMetrics(metrics),
    )
