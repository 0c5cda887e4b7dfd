"""Every metric that this program can declare: all services of all roles, built and not run."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import attrs

from relayminer import app
from relayminer.chain.queries import ChainQueries
from relayminer.config.notify import NotifySettings
from relayminer.config.settings import Settings
from relayminer.insight.loop_delay import LoopDelay
from relayminer.insight.notify import Notifier
from relayminer.insight.runtime import Runtime
from relayminer.keys.loading import SupplierKeys
from relayminer.miner.balances import Balances
from relayminer.miner.service import MinerService
from relayminer.miner.shadow import Comparison, ShadowTee, Silence
from relayminer.protocol.signature import SigningKey
from relayminer.relayer.replay import ReplayGuard
from relayminer.relayer.simulate_metrics import SimulationMetrics
from relayminer.reload import ConfigSource, LiveKeys, Reloader
from relayminer.state.gateway import Redis
from relayminer.state.ledger import Ledger
from relayminer.state.relay_log import RelayLog
from relayminer.state.watch import ServerWatch
from relayminer.telemetry.log_writer import LogWriter
from relayminer.telemetry.spans import Traces
from relayminer.workers import WorkerPool

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.app import Foundation
    from relayminer.telemetry.metrics import Described


async def declared(home: Path) -> list[Described]:
    """The table of all metrics; nothing is connected to, `home` stays empty."""
    relayer = attrs.evolve(Settings().relayer, listen="127.0.0.1:0")
    settings = attrs.evolve(Settings(), home=home, relayer=relayer)
    keys = LiveKeys(SupplierKeys([SigningKey(b"\1" * 32)]))
    async with ChainQueries(settings.chain) as queries:
        redis = Redis("redis://127.0.0.1:1", settings.redis)
        base = app._foundation(settings, redis, queries, "owner")
        _start(base, keys)
        _relayer(base, keys)
        _miner(base, keys)
        return base.metrics.table()


def _start(base: Foundation, keys: LiveKeys) -> None:
    keys.show(base.metrics)
    LoopDelay(base.metrics)
    Runtime(base.metrics)
    app._heights(base)
    ServerWatch(base.redis, base.settings.redis, health=base.health, metrics=base.metrics)
    app._leader(base)
    WorkerPool((), 0, stop_seconds=1, metrics=base.metrics, health=base.health)
    Reloader(
        ConfigSource(base.settings.home, lambda: base.settings),
        base.settings,
        keys=keys,
        providers=(),
        relayer=None,
        miner=None,
        metrics=base.metrics,
    )
    notify = NotifySettings(webhook_url="https://example.invalid/")
    Notifier(notify, base.metrics, base.health, "a process")
    Traces(1.0, 1, base.metrics)
    writer = LogWriter(io.StringIO(), 10)
    writer.show(base.metrics)
    writer.close()


def _relayer(base: Foundation, keys: LiveKeys) -> None:
    app._relayer(base, keys)
    SimulationMetrics(base.metrics)
    ReplayGuard(1, RelayLog(base.redis, base.names), 1, base.metrics)


def _miner(base: Foundation, keys: LiveKeys) -> None:
    MinerService(
        base.settings,
        keys,
        redis=base.redis,
        names=base.names,
        chain=base.queries,
        blocks=base.follower,
        transactions=Silence(),
        metrics=base.metrics,
        owner=base.owner,
        watchdog=base.watchdog,
    )
    ledger = Ledger(base.redis, base.names)
    Balances(base.queries, ledger, base.settings.miner.balance, list, base.metrics)
    Comparison(base.redis, base.names, base.metrics)
    ShadowTee(base.redis, base.names, list, base.follower, base.metrics)
