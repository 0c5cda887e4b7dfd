"""The relayer as a service: its stages put together, its start, and its orderly end."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import structlog
import trio

from relayminer.net.http1 import HttpLimits
from relayminer.net.watchdog import Watchdog
from relayminer.plugin import RequestTaker
from relayminer.relayer.admit import Admission
from relayminer.relayer.backends import Backends
from relayminer.relayer.background import Background
from relayminer.relayer.book import SessionBook
from relayminer.relayer.bridge import BridgeStages
from relayminer.relayer.bridges import bridges_of
from relayminer.relayer.calls import CallMetrics, Calls
from relayminer.relayer.compress import compressor_of
from relayminer.relayer.engine import RelayEngine
from relayminer.relayer.entrance import Entrance
from relayminer.relayer.forward_setup import forwarder_of
from relayminer.relayer.frontdoor import FrontDoor, open_listeners
from relayminer.relayer.gate import SupplierGate
from relayminer.relayer.meter import Meter
from relayminer.relayer.metrics import RelayerMetrics
from relayminer.relayer.publish import Publisher
from relayminer.relayer.ready import StatusPages
from relayminer.relayer.replay import replay_guard_of
from relayminer.relayer.sign import Signer
from relayminer.relayer.simulate_exchange import simulation_of
from relayminer.relayer.spool_service import LogService
from relayminer.relayer.stream import Streamer, StreamMetrics
from relayminer.relayer.tally import Tally
from relayminer.relayer.view import ChainView
from relayminer.state.meter import MeterStore
from relayminer.state.tally import TallyStore
from relayminer.watchdog import Watchdog as LoopWatchdog

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from relayminer.cache.caches import Caches
    from relayminer.cache.moment import ChainMoment
    from relayminer.config.settings import RelayerSettings
    from relayminer.plugin import Transport
    from relayminer.protocol.signature import SigningKey
    from relayminer.relayer.bridges import Bridges
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.telemetry.health import Health
    from relayminer.telemetry.metrics import Metrics

CONFIRM = "confirm"
_BACKGROUND_JOBS = 2_000
_BACKGROUND_WORKERS = 32
_HOUSEKEEPING_SECONDS = 1.0


def http_limits(settings: RelayerSettings) -> HttpLimits:
    """What one client connection may cost."""
    return HttpLimits(
        max_header_bytes=settings.max_header_bytes,
        max_body_bytes=settings.max_body_bytes,
        header_timeout_seconds=settings.header_timeout_seconds,
        body_timeout_seconds=settings.body_timeout_seconds,
        idle_timeout_seconds=settings.idle_timeout_seconds,
        max_streams=settings.max_streams_per_connection,
        max_grpc_message_bytes=settings.max_grpc_message_bytes,
    )


class RelayerService:
    """Serves relays until cancelled, then finishes what is in hand.

    Args:
        settings: of the relayer.
        keys: signing keys by operator address.
        caches: must be running.
        moment: the block height, kept up to date by somebody else.
        store: the shared store; it must be running, and outlive this service.
        names: its key names.
        transports: in the order in which they are asked.
        metrics: where the relayer's are declared.
        health: where its checks are added.
        home: data directory for the spool; None refuses relays while the store is away.
        loops: looks after what goes on beside relays; None: nobody does.

    Raises:
        RelayerConfigurationError: a backend's URL or the address to listen on cannot be used.
    """

    name = "relayer"

    def __init__(
        self,
        settings: RelayerSettings,
        *,
        keys: Mapping[str, SigningKey],
        caches: Caches,
        moment: ChainMoment,
        store: Redis,
        names: KeyNames,
        transports: Sequence[Transport],
        metrics: Metrics,
        health: Health,
        home: Path | None = None,
        loops: LoopWatchdog | None = None,
    ) -> None:
        self._settings = settings
        self._moment = moment
        self._watchdog = Watchdog()
        self.metrics = RelayerMetrics(metrics)
        self.metrics.height.read = lambda: moment.height
        self.backends = Backends(settings, self._watchdog, self.metrics)
        view = ChainView(caches)
        self._book = SessionBook(view, self.metrics, max_sessions=settings.session_cache_entries)
        self._store = store
        self._names = names
        self._tally = Tally(
            TallyStore(store, names, ttl_seconds=settings.metering.cache_ttl_seconds)
        )
        self._log_service = LogService(
            settings,
            home,
            store=store,
            names=names,
            moment=moment,
            tally=self._tally,
            metrics=metrics,
            health=health,
            loops=loops or LoopWatchdog(metrics),
        )
        self._meter = self._make_meter(view)
        self._background = Background(
            _BACKGROUND_JOBS, _BACKGROUND_WORKERS, self.metrics.background
        )
        health.add("chain height", moment.problem)
        health.add("supplier keys", lambda: None if keys else "no supplier key is loaded")
        admission = Admission(
            routes=self.backends.routes,
            gate=SupplierGate(view, keys, self.metrics),
            book=self._book,
            keys=keys,
            moment=moment,
            max_body_bytes=settings.max_body_bytes,
            max_ring_members=settings.max_ring_members,
            metrics=self.metrics,
        )
        publisher = Publisher(self._log_service.log, self.metrics, self._tally, time.time_ns)
        self.engine = self._make_engine(admission, publisher, keys, metrics, health)
        self._bridges = self._make_bridges(admission, publisher, keys, metrics)
        self.engine.takers = tuple(one for one in transports if isinstance(one, RequestTaker))
        self.entrance = Entrance(settings, transports, metrics)
        self._door = FrontDoor(
            self.engine,
            self.entrance,
            transports,
            self._watchdog,
            self.metrics,
            max_connections=settings.max_connections,
        )
        self._log = structlog.get_logger("relayminer.relayer")
        self.addresses: list[tuple[str, int]] = []
        """Where it listens, once started."""

    def _make_meter(self, view: ChainView) -> Meter:
        """The shared meter, left alone while the store is away."""
        settings = self._settings
        budgets = MeterStore(
            self._store, self._names, ttl_seconds=math.ceil(settings.metering.cache_ttl_seconds)
        )
        return Meter(
            settings.metering,
            budgets,
            view,
            self._moment,
            self.metrics,
            is_away=lambda: self._log_service.watch.is_away,
        )

    def _make_engine(
        self,
        admission: Admission,
        publisher: Publisher,
        keys: Mapping[str, SigningKey],
        metrics: Metrics,
        health: Health,
    ) -> RelayEngine:
        """The stages behind admission, put together."""
        settings = self._settings
        signer = Signer(keys, settings.max_response_bytes)
        streamer = Streamer(signer, StreamMetrics(metrics))
        simulation = simulation_of(
            settings,
            keys=keys,
            services=self.backends.routes,
            store=self._store,
            names=self._names,
            metrics=metrics,
            signer=signer,
            streamer=streamer,
        )
        return RelayEngine(
            admission=admission,
            meter=self._meter,
            forwarder=forwarder_of(settings, self.metrics),
            signer=signer,
            streamer=streamer,
            calls=Calls(
                routes=self.backends.routes,
                keys=keys,
                signer=signer,
                moment=self._moment,
                metrics=CallMetrics(metrics),
            ),
            simulated=simulation,
            replays=replay_guard_of(settings, self._store, self._names, metrics),
            compressor=compressor_of(settings.response_compression),
            publisher=publisher,
            background=self._background,
            pages=StatusPages(self.backends.routes, self._moment, health),
            moment=self._moment,
            limits=http_limits(settings),
            metrics=self.metrics,
            confirm=settings.publish == CONFIRM,
            max_in_flight=settings.max_in_flight,
            configured=bool(keys),
        )

    def _make_bridges(
        self,
        admission: Admission,
        publisher: Publisher,
        keys: Mapping[str, SigningKey],
        metrics: Metrics,
    ) -> Bridges:
        """The conversations, which pass the same stages."""
        stages = BridgeStages(
            admission,
            self._meter,
            self._moment,
            keys,
            publisher.check,
            self.engine.record,
            self.engine.replays,
            None if self.engine.simulated is None else self.engine.simulated.simulator,
        )
        return bridges_of(
            self.engine,
            self.backends.routes,
            self._settings,
            metrics,
            stages,
            self._watchdog,
            self.metrics,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then finish the relays in hand within `drain_seconds`."""
        listeners = open_listeners(self._settings.listen)
        self.addresses = [listener.getsockname()[:2] for listener in listeners]
        try:
            async with trio.open_nursery() as nursery:
                work: _Work = await nursery.start(self._host)
                try:
                    for listener in listeners:
                        nursery.start_soon(self._door.accept_forever, listener, work.connections)
                    task_status.started()
                    self._log.info("relayer_started", addresses=self.addresses)
                    await trio.sleep_forever()
                finally:
                    self._begin_drain(listeners, work)
        finally:
            for listener in listeners:
                listener.close()

    def _begin_drain(self, listeners: Sequence[socket.socket], work: _Work) -> None:
        self.engine.draining = True
        for listener in listeners:
            trio.lowlevel.notify_closing(listener)
            listener.close()
        self._bridges.drain()
        self._door.stop_reading()
        work.draining.set()

    async def _host(self, *, task_status: trio.TaskStatus[_Work]) -> None:
        """Everything that outlives the cancellation of `run` for as long as the drain takes."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as helpers:
                await helpers.start(self._log_service.run)
                helpers.start_soon(self._watchdog.run)
                helpers.start_soon(self._keep_house)
                helpers.start_soon(self._listen_for_cleanups)
                helpers.start_soon(self._tally.run)
                helpers.start_soon(self._bridges.run)
                helpers.start_soon(self.backends.run)
                async with trio.open_nursery() as workers:
                    workers.start_soon(self._background.run)
                    await self._host_connections(task_status)
                    self._background.finish()
                    workers.cancel_scope.deadline = (
                        trio.current_time() + self._settings.drain_seconds
                    )
                await self._log_service.finish()
                with trio.move_on_after(1.0):
                    await self._tally.flush()
                for context in self._book.contexts():
                    with trio.move_on_after(1.0):
                        await self._meter.give_back(context)
                helpers.cancel_scope.cancel()
        self.backends.close()

    async def _host_connections(self, task_status: trio.TaskStatus[_Work]) -> None:
        with trio.CancelScope() as limit:
            async with trio.open_nursery() as connections:
                work = _Work(connections)
                task_status.started(work)
                await work.draining.wait()
                limit.deadline = trio.current_time() + self._settings.drain_seconds
        if limit.cancelled_caught:
            self._log.warning("drain_incomplete", relays=self.engine.in_flight)

    async def _keep_house(self) -> None:
        """Once a second: return the budgets of ended sessions, close stale connections."""
        while True:
            await trio.sleep(_HOUSEKEEPING_SECONDS)
            for context in self._book.take_expired(self._moment.height):
                await self._meter.give_back(context)
            self.backends.prune()

    async def _listen_for_cleanups(self) -> None:
        async with self._store.subscribe([self._names.meter_cleanup_channel]) as messages:
            await self._meter.listen(messages, self._book.find)


class _Work:
    """The nursery of connections, and the sign to end it."""

    def __init__(self, connections: trio.Nursery) -> None:
        self.connections = connections
        self.draining = trio.Event()


__all__ = ["RelayerService", "http_limits"]
