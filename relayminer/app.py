"""A process: the services of its roles, put together here and nowhere else.

Order of start, and the opposite order of stop: store, control plane, blocks, caches, heights, cache
leader, miner, relayer. So the relayer stops first (no new relays, those in hand are finished and
logged), then the miner (last checkpoint, leases given back), and the store last.
"""

from __future__ import annotations

import random
import signal
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, evolve, field, frozen

from relayminer.cache.caches import Caches
from relayminer.cache.heights import HeightKeeper
from relayminer.cache.leader import CacheLeader, make_leader
from relayminer.cache.metrics import CacheMetrics, HeightMetrics
from relayminer.cache.moment import ChainMoment
from relayminer.chain.blocks import BlockFollower
from relayminer.chain.node_watch import NodeWatch
from relayminer.chain.queries import ChainQueries
from relayminer.chain.rpc_nodes import RpcNodes
from relayminer.errors import RelayMinerError
from relayminer.insight.loop_delay import LoopDelay
from relayminer.insight.runtime import Runtime
from relayminer.insight.systemd import Systemd
from relayminer.keys.loading import SupplierKeys, load_keys
from relayminer.mining import save_left, start_mining
from relayminer.observing import start_observing, start_tracing, traces_of
from relayminer.plugin import load_cache_types, load_key_providers, load_transports
from relayminer.relayer.service import RelayerService
from relayminer.reload import LiveKeys, Reloader
from relayminer.roles import Role
from relayminer.service import ServiceGroup
from relayminer.state.block_events import BlockEvents
from relayminer.state.embedded import open_store
from relayminer.state.gateway import Redis
from relayminer.state.identity import free_leases, living_identity
from relayminer.state.names import KeyNames
from relayminer.state.store_format import StoreFormat
from relayminer.state.watch import ServerWatch
from relayminer.telemetry.control import ControlPlane
from relayminer.telemetry.health import Health
from relayminer.telemetry.log_writer import Sampling
from relayminer.telemetry.logs import set_up_logs
from relayminer.telemetry.metrics import Metrics
from relayminer.watchdog import Watchdog
from relayminer.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from relayminer.config.settings import Settings
    from relayminer.reload import ConfigSource
    from relayminer.telemetry.log_writer import LogWriter
    from relayminer.telemetry.spans import Traces
    from relayminer.workers import Leash

STOP_MARGIN_SECONDS: Final = 10.0
"""Beyond `relayer.drain_seconds`: how long one service may take to stop."""
STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)

_log = structlog.get_logger("relayminer")


class NoKeysError(RelayMinerError):
    """A role needs supplier keys, and none is configured."""


@frozen
class Foundation:
    """What the services of every role stand on."""

    settings: Settings
    redis: Redis
    names: KeyNames
    queries: ChainQueries
    follower: BlockFollower
    nodes: NodeWatch
    moment: ChainMoment
    caches: Caches
    metrics: Metrics
    health: Health
    watchdog: Watchdog
    owner: str
    traces: Traces | None


@frozen
class Launch:
    """How a process was started, beyond its settings and roles.

    Attributes:
        source: to read the settings again, on SIGHUP or when the files change.
        workers: relayer processes beside this one; none when it is the relayer itself.
        worker_command: starts one of them.
        leash: of a process that is such a worker.
        log_writer: writes the log, when nobody waits for it.
    """

    source: ConfigSource | None = None
    workers: int = 0
    worker_command: tuple[str, ...] = ()
    leash: Leash | None = None
    log_writer: LogWriter | None = None


def run_process(settings: Settings, roles: frozenset[Role], launch: Launch | None = None) -> None:
    """Run until one of `STOPPING`, then stop in order.

    Raises:
        RelayMinerError: the process cannot start or go on; the text says what to do.
    """
    logs = settings.logging
    writer = set_up_logs(
        logs.level,
        logs.format,
        buffer_lines=logs.buffer_lines,
        sampling=Sampling(logs.sampling_initial, logs.sampling_thereafter)
        if logs.sampling
        else None,
        caller=logs.caller,
    )
    launch = evolve(launch or Launch(), log_writer=writer)
    try:
        trio.run(_until_told_to_stop, settings, roles, launch)
    except* RelayMinerError as group:
        # One reason is what an operator needs; the log has the rest.
        raise next(_leaves(group)) from None
    finally:
        if writer is not None:
            writer.close()


def _leaves(group: BaseExceptionGroup[RelayMinerError]) -> Iterator[RelayMinerError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


@define
class Stop:
    """The wish to stop a process, at whatever point of its life it comes.

    Started services stop in order. A start that is underway is given up: it may wait for a node
    or for a store's data as long as it likes, and nobody who asks it to end may wait with it.
    """

    told: trio.Event = field(factory=trio.Event)
    process: trio.CancelScope = field(factory=trio.CancelScope)
    """Around everything."""
    starting: trio.CancelScope = field(factory=trio.CancelScope)
    """Around the start of the services: those that run already are stopped in order."""
    services_begun: bool = False
    insisted: trio.Event = field(factory=trio.Event)
    """Told again: nobody wants to wait for the sake of others."""

    def now(self) -> None:
        """Stop."""
        if self.told.is_set():
            self.insisted.set()
        self.told.set()
        self.starting.cancel()
        if not self.services_begun:
            self.process.cancel()


async def _until_told_to_stop(settings: Settings, roles: frozenset[Role], launch: Launch) -> None:
    stop = Stop()
    with trio.open_signal_receiver(*STOPPING, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, signals, stop, launch)
            if launch.leash is not None:
                nursery.start_soon(_stop_when_cut, launch.leash, stop)
            with stop.process:
                async with running(settings, roles, stop, launch) as base:
                    await stop.told.wait()
                    base.health.add("drain", lambda: "shutting down")
                    if Role.RELAYER in roles and not stop.starting.cancelled_caught:
                        await _let_gateways_leave(base, stop)
            nursery.cancel_scope.cancel()


async def _listen(signals: AsyncIterator[int], stop: Stop, launch: Launch) -> None:
    async for number in signals:
        if number == signal.SIGHUP:
            if launch.source is not None:
                launch.source.ask()
            continue
        _log.info("stopping", signal=signal.Signals(number).name)
        stop.now()


async def _stop_when_cut(leash: Leash, stop: Stop) -> None:
    await leash.wait_cut()
    _log.warning("stopping", reason="the process that started this worker is gone")
    stop.now()


async def _let_gateways_leave(base: Foundation, stop: Stop) -> None:
    """No longer ready, relays are still served for a while, for those who look at that."""
    with trio.move_on_after(base.settings.relayer.shutdown_delay_seconds):
        await stop.insisted.wait()


@asynccontextmanager
async def running(
    settings: Settings,
    roles: frozenset[Role],
    stop: Stop | None = None,
    launch: Launch | None = None,
) -> AsyncIterator[Foundation]:
    """All services of `roles`, started; stopped in the opposite order at the end of the block.

    When `stop` was told before they had all started, those that had are there for the block.
    """
    stop = stop or Stop()
    keys = LiveKeys(_keys(settings, roles))
    relayer = settings.relayer
    stop_seconds = relayer.drain_seconds + STOP_MARGIN_SECONDS
    if launch is not None and launch.workers:
        # Each of them takes that long, and looks after its gateways first.
        stop_seconds += relayer.shutdown_delay_seconds + STOP_MARGIN_SECONDS
    name = settings.miner.consumer_name or f"miner-{socket.gethostname()}"
    with living_identity(settings.home, name) as identity:
        async with (
            open_store(settings.redis, settings.home) as url,
            ChainQueries(settings.chain) as queries,
            ServiceGroup(stop_seconds) as group,
        ):
            base = _foundation(settings, Redis(url, settings.redis), queries, identity.owner)
            stop.services_begun = True
            with stop.starting:
                await _start_services(base, group, roles, keys, identity.dead, launch or Launch())
            yield base


async def _start_services(
    base: Foundation,
    group: ServiceGroup,
    roles: frozenset[Role],
    keys: LiveKeys,
    dead: tuple[str, ...],
    launch: Launch,
) -> None:
    pool = _worker_pool(base, launch) if launch.workers else None
    keys.show(base.metrics)
    await _start_foundation(base, group, pool)
    await free_leases(base.redis, base.names, dead, keys)
    if Role.CACHE_LEADER in roles:
        await group.start(_leader(base))
    relayer = _relayer(base, keys) if Role.RELAYER in roles else None
    await save_left(base, group, roles, relayer)
    miner = None
    if Role.MINER in roles:
        miner = await start_mining(base, group, keys, roles)
    if relayer is not None:
        await group.start(relayer)
    if launch.log_writer is not None:
        launch.log_writer.show(base.metrics)
    await start_observing(base, group, roles, keys, relayer)
    if launch.source is not None and keys:
        reloader = Reloader(
            launch.source,
            base.settings,
            keys=keys,
            providers=load_key_providers().values(),
            relayer=relayer,
            miner=miner,
            metrics=base.metrics,
        )
        await group.start(reloader)
    if pool is not None:
        if launch.source is not None:
            launch.source.also = pool.hang_up
        await group.start(pool)
    base.health.remove("start")
    await group.start(Systemd(lambda: "; ".join(base.health.problems().values()) or None))
    _log.info(
        "started",
        roles=sorted(role.value for role in roles),
        workers=launch.workers,
        height=base.moment.height,
        suppliers=list(keys.addresses),
        home=str(base.settings.home),
    )


def _worker_pool(base: Foundation, launch: Launch) -> WorkerPool:
    relayer = base.settings.relayer
    return WorkerPool(
        launch.worker_command,
        launch.workers,
        stop_seconds=relayer.shutdown_delay_seconds + relayer.drain_seconds + STOP_MARGIN_SECONDS,
        metrics=base.metrics,
        health=base.health,
    )


async def _start_foundation(base: Foundation, group: ServiceGroup, pool: WorkerPool | None) -> None:
    """Start what every role needs; returns when the present height is known."""
    await group.start(base.watchdog)
    await group.start(base.redis)
    await group.start(LoopDelay(base.metrics))
    await group.start(Runtime(base.metrics))
    await group.start(
        ServerWatch(base.redis, base.settings.redis, health=base.health, metrics=base.metrics)
    )
    await group.start(StoreFormat(base.redis, base.names))
    if base.settings.control.enabled:
        control = (base.settings.control.listen, *base.settings.control.also_listen)
        pages = None if pool is None else pool.pages
        await group.start(ControlPlane(control, base.metrics, base.health, pages))
    await start_tracing(base, group)
    await group.start(base.nodes)
    await group.start(base.follower)
    await group.start(base.caches)
    base.health.show("caches", base.caches.detail)
    await group.start(_heights(base))


def _keys(settings: Settings, roles: frozenset[Role]) -> SupplierKeys:
    if not roles & {Role.RELAYER, Role.MINER}:
        return SupplierKeys([])
    keys = load_keys(settings.keys, load_key_providers().values())
    if not keys:
        raise NoKeysError(
            "no supplier key: relayer and miner sign for suppliers; set keys.keys_file (or "
            "keys.keys_dir) in the configuration, see config/relayminer.example.yaml"
        )
    return keys


def _foundation(settings: Settings, redis: Redis, queries: ChainQueries, owner: str) -> Foundation:
    metrics, health = Metrics(), Health()
    names = KeyNames(settings.redis.namespace, settings.redis.hash_tags)
    moment = ChainMoment(settings.chain.block_time_seconds)
    rpc = RpcNodes(settings.chain, queries.board)
    queries.show(metrics)
    follower = BlockFollower(rpc, settings.chain, random.Random())  # noqa: S311 - jitter only
    follower.show(metrics)
    watchdog = Watchdog(metrics)
    health.add("start", lambda: "starting")
    health.add("loops", watchdog.problem)
    health.add("store", lambda: None if redis.is_connected else "the store is not reached")
    return Foundation(
        settings=settings,
        redis=redis,
        names=names,
        queries=queries,
        follower=follower,
        nodes=NodeWatch(rpc, queries.groups, settings.chain),
        moment=moment,
        caches=Caches(
            load_cache_types(),
            chain=queries,
            store=redis,
            names=names,
            moment=moment,
            max_entries=settings.cache.memory_entries,
            metrics=CacheMetrics(metrics),
        ),
        metrics=metrics,
        health=health,
        watchdog=watchdog,
        owner=owner,
        traces=traces_of(settings.tracing, metrics),
    )


def _heights(base: Foundation) -> HeightKeeper:
    events = BlockEvents(base.redis, base.names)
    return HeightKeeper(
        base.moment,
        base.caches,
        events=events,
        follower=base.follower,
        metrics=HeightMetrics(base.metrics, base.settings.chain.block_time_seconds),
    )


def _leader(base: Foundation) -> CacheLeader:
    return make_leader(
        base.settings,
        store=base.redis,
        names=base.names,
        caches=base.caches,
        moment=base.moment,
        follower=base.follower,
        owner=base.owner,
        watchdog=base.watchdog,
        metrics=base.metrics,
    )


def _relayer(base: Foundation, keys: LiveKeys) -> RelayerService:
    return RelayerService(
        base.settings.relayer,
        keys=keys,
        caches=base.caches,
        moment=base.moment,
        store=base.redis,
        names=base.names,
        transports=load_transports(),
        metrics=base.metrics,
        health=base.health,
        home=base.settings.home,
        loops=base.watchdog,
        traces=base.traces,
    )
