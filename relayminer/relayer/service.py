"""The relayer as a service: its start, and its orderly end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from relayminer.relayer.composition import Given, compose
from relayminer.relayer.frontdoor import open_listeners

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from relayminer.cache.caches import Caches
    from relayminer.cache.moment import ChainMoment
    from relayminer.config.settings import RelayerSettings
    from relayminer.plugin import Transport
    from relayminer.protocol.signature import SigningKey
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.telemetry.health import Health
    from relayminer.telemetry.metrics import Metrics
    from relayminer.telemetry.spans import Traces
    from relayminer.watchdog import Watchdog as LoopWatchdog

_HOUSEKEEPING_SECONDS = 1.0


class RelayerService:
    """Serves relays until cancelled, then finishes what is in hand.

    Its arguments are those of `composition.Given`.

    Attributes:
        addresses: where it listens, once started.

    Raises:
        RelayerConfigurationError: a backend, a certificate or the address to listen on cannot be
            used.
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
        traces: Traces | None = None,
    ) -> None:
        parts = compose(
            Given(
                settings=settings,
                keys=keys,
                caches=caches,
                moment=moment,
                store=store,
                names=names,
                transports=transports,
                metrics=metrics,
                health=health,
                home=home,
                loops=loops,
                traces=traces,
            )
        )
        self._settings = settings
        self._moment = moment
        self._store = store
        self._names = names
        self._watchdog = parts.watchdog
        self._book = parts.book
        self._tally = parts.tally
        self._log_service = parts.log
        self._meter = parts.meter
        self._background = parts.background
        self._bridges = parts.bridges
        self._door = parts.door
        self.metrics = parts.metrics
        self.backends = parts.backends
        self.engine = parts.engine
        self.entrance = parts.entrance
        self.addresses: list[tuple[str, int]] = []
        self._log = structlog.get_logger("relayminer.relayer")

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

    async def save_left(self) -> None:
        """Before `run`: log what dead processes of the home left; done before anybody mines."""
        await self._log_service.save_left()
        await self._tally.flush()

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
