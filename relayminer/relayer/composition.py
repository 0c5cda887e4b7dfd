"""What a relayer is made of, put together here and nowhere else: one function per part.

The order is that of a relay: admit, meter, forward, sign, publish; then who brings relays in.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.net.http1 import HttpLimits
from relayminer.net.watchdog import Watchdog
from relayminer.plugin import RequestTaker
from relayminer.relayer.backends import Backends
from relayminer.relayer.background import Background
from relayminer.relayer.book import SessionBook
from relayminer.relayer.bridge import BridgeStages
from relayminer.relayer.bridges import bridges_of
from relayminer.relayer.calls import CallMetrics, Calls
from relayminer.relayer.compress import compressor_of
from relayminer.relayer.entrance import Entrance
from relayminer.relayer.forward_setup import forwarder_of
from relayminer.relayer.frontdoor import FrontDoor
from relayminer.relayer.gate import SupplierGate
from relayminer.relayer.metrics import RelayerMetrics
from relayminer.relayer.ready import StatusPages
from relayminer.relayer.replay import replay_guard_of
from relayminer.relayer.simulate_exchange import simulation_of
from relayminer.relayer.spool_service import LogService
from relayminer.relayer.stages import Stages, stages_of
from relayminer.relayer.stream import StreamMetrics
from relayminer.relayer.tally import Tally
from relayminer.relayer.view import ChainView
from relayminer.state.meter import MeterStore
from relayminer.state.tally import TallyStore
from relayminer.watchdog import Watchdog as LoopWatchdog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from relayminer.cache.caches import Caches
    from relayminer.cache.moment import ChainMoment
    from relayminer.config.settings import RelayerSettings
    from relayminer.plugin import Transport
    from relayminer.protocol.signature import SigningKey
    from relayminer.relayer.admit import Admission
    from relayminer.relayer.bridges import Bridges
    from relayminer.relayer.engine import RelayEngine
    from relayminer.relayer.meter import Meter
    from relayminer.relayer.publish import Publisher
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.telemetry.health import Health
    from relayminer.telemetry.metrics import Metrics
    from relayminer.telemetry.spans import Traces

CONFIRM = "confirm"
_BACKGROUND_JOBS = 2_000
_BACKGROUND_WORKERS = 32


@frozen(kw_only=True)
class Given:
    """What a relayer stands on.

    Attributes:
        settings: of the relayer.
        keys: signing keys by operator address.
        caches: must be running.
        moment: the block height, kept up to date by somebody else.
        store: the shared store; it must be running, and outlive the relayer.
        names: its key names.
        transports: in the order in which they are asked.
        metrics: where the relayer's are declared.
        health: where its checks are added.
        home: data directory for the spool; None refuses relays while the store is away.
        loops: looks after what goes on beside relays; None: nobody does.
        traces: where the spans of relays go; None: none are made.
    """

    settings: RelayerSettings
    keys: Mapping[str, SigningKey]
    caches: Caches
    moment: ChainMoment
    store: Redis
    names: KeyNames
    transports: Sequence[Transport]
    metrics: Metrics
    health: Health
    home: Path | None
    loops: LoopWatchdog | None
    traces: Traces | None = None

    @property
    def stages(self) -> Stages:
        """The kinds of stages that it has."""
        return stages_of(self.traces, time.time_ns)


@frozen(kw_only=True)
class Parts:
    """What has a life of its own, or is asked for from outside."""

    watchdog: Watchdog
    metrics: RelayerMetrics
    backends: Backends
    book: SessionBook
    tally: Tally
    log: LogService
    meter: Meter
    background: Background
    engine: RelayEngine
    bridges: Bridges
    entrance: Entrance
    door: FrontDoor


def compose(given: Given) -> Parts:
    """All parts of a relayer; none of them runs yet.

    Raises:
        RelayerConfigurationError: a backend or a certificate cannot be used.
    """
    settings, moment = given.settings, given.moment
    watchdog = Watchdog()
    metrics = RelayerMetrics(given.metrics)
    metrics.height.read = lambda: moment.height
    backends = Backends(settings, watchdog, metrics)
    view = ChainView(given.caches)
    book = SessionBook(view, metrics, max_sessions=settings.session_cache_entries)
    tally = Tally(
        TallyStore(given.store, given.names, ttl_seconds=settings.metering.cache_ttl_seconds)
    )
    log = _log(given, tally)
    meter = _meter(given, view, metrics, log)
    background = Background(
        _BACKGROUND_JOBS, _BACKGROUND_WORKERS, metrics.background, metrics.relay_accidents
    )
    _add_checks(given)
    admission = _admission(given, backends, view, book, metrics)
    publisher = given.stages.publisher(log.log, metrics, tally, time.time_ns)
    engine = _engine(given, backends, admission, meter, publisher, background, metrics)
    bridges = _bridges(given, backends, admission, meter, publisher, engine, watchdog, metrics)
    engine.takers = tuple(one for one in given.transports if isinstance(one, RequestTaker))
    entrance = Entrance(settings, given.transports, given.metrics)
    return Parts(
        watchdog=watchdog,
        metrics=metrics,
        backends=backends,
        book=book,
        tally=tally,
        log=log,
        meter=meter,
        background=background,
        engine=engine,
        bridges=bridges,
        entrance=entrance,
        door=FrontDoor(
            engine,
            entrance,
            given.transports,
            watchdog,
            metrics,
            max_connections=settings.max_connections,
        ),
    )


def _add_checks(given: Given) -> None:
    keys = given.keys
    given.health.add("chain height", given.moment.problem)
    given.health.add("supplier keys", lambda: None if keys else "no supplier key is loaded")


def _log(given: Given, tally: Tally) -> LogService:
    """The relay log, and the spool for when it is away."""
    return LogService(
        given.settings,
        given.home,
        store=given.store,
        names=given.names,
        moment=given.moment,
        tally=tally,
        metrics=given.metrics,
        health=given.health,
        loops=given.loops or LoopWatchdog(given.metrics),
    )


def _meter(given: Given, view: ChainView, metrics: RelayerMetrics, log: LogService) -> Meter:
    """The shared meter, left alone while the store is away."""
    metering = given.settings.metering
    budgets = MeterStore(
        given.store, given.names, ttl_seconds=math.ceil(metering.cache_ttl_seconds)
    )
    return given.stages.meter(
        metering, budgets, view, given.moment, metrics, is_away=lambda: log.watch.is_away
    )


def _admission(
    given: Given, backends: Backends, view: ChainView, book: SessionBook, metrics: RelayerMetrics
) -> Admission:
    """The checks before anything is spent on a relay."""
    return given.stages.admission(
        routes=backends.routes,
        gate=SupplierGate(view, given.keys, metrics),
        book=book,
        keys=given.keys,
        moment=given.moment,
        max_body_bytes=given.settings.max_body_bytes,
        max_ring_members=given.settings.max_ring_members,
        metrics=metrics,
    )


def _engine(
    given: Given,
    backends: Backends,
    admission: Admission,
    meter: Meter,
    publisher: Publisher,
    background: Background,
    metrics: RelayerMetrics,
) -> RelayEngine:
    """The stages, in one row."""
    settings, routes = given.settings, backends.routes
    stages = given.stages
    signer = stages.signer(given.keys, settings.max_response_bytes)
    streamer = stages.streamer(signer, StreamMetrics(given.metrics))
    return stages.engine(
        admission=admission,
        meter=meter,
        forwarder=forwarder_of(settings, metrics, stages.forwarder),
        signer=signer,
        streamer=streamer,
        calls=Calls(
            routes=routes,
            keys=given.keys,
            signer=signer,
            moment=given.moment,
            metrics=CallMetrics(given.metrics),
        ),
        simulated=simulation_of(
            settings,
            keys=given.keys,
            services=routes,
            store=given.store,
            names=given.names,
            metrics=given.metrics,
            signer=signer,
            streamer=streamer,
        ),
        replays=replay_guard_of(settings, given.store, given.names, given.metrics),
        compressor=compressor_of(settings.response_compression),
        publisher=publisher,
        background=background,
        pages=StatusPages(routes, given.moment, given.health),
        moment=given.moment,
        limits=http_limits(settings),
        metrics=metrics,
        confirm=settings.publish == CONFIRM,
        max_in_flight=settings.max_in_flight,
        configured=bool(given.keys),
    )


def _bridges(
    given: Given,
    backends: Backends,
    admission: Admission,
    meter: Meter,
    publisher: Publisher,
    engine: RelayEngine,
    watchdog: Watchdog,
    metrics: RelayerMetrics,
) -> Bridges:
    """The conversations, whose messages pass the same stages."""
    stages = BridgeStages(
        admission,
        meter,
        given.moment,
        given.keys,
        publisher.check,
        engine.record,
        engine.replays,
        None if engine.simulated is None else engine.simulated.simulator,
        given.stages.tracer,
    )
    return bridges_of(
        engine, backends.routes, given.settings, given.metrics, stages, watchdog, metrics
    )


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
