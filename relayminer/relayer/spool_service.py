"""Everything between a finished relay and the log, put together: store, spool, replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from relayminer.relayer.spool import Spool
from relayminer.relayer.spool_left import save_left
from relayminer.relayer.spool_log import DurableLog, StoreWatch
from relayminer.relayer.spool_metrics import SpoolMetrics
from relayminer.relayer.spool_replay import Replayer
from relayminer.state.relay_log import RelayLog
from relayminer.state.tries import TrieStore

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.cache.moment import ChainMoment
    from relayminer.config.settings import RelayerSettings
    from relayminer.relayer.tally import Tally
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.telemetry.health import Health
    from relayminer.telemetry.metrics import Metrics
    from relayminer.watchdog import Watchdog

SPOOL: Final = "spool"
LAST_REPLAY_SECONDS: Final = 3.0
"""At the end: how long what is spooled may take into a store that is there."""
_POLL_SECONDS: Final = 0.02


class LogService:
    """The way into the log.

    Args:
        settings: of the relayer.
        home: data directory for the spool; None refuses relays while the store is away.
        store: the shared store.
        names: its key names.
        moment: the block height.
        tally: what was logged per session.
        metrics: where the spool's are declared.
        health: where the store's check is added.
        loops: looks after the replay.

    Attributes:
        log: where finished relays go.
        watch: whether the store takes them.
        spool: None when relays are refused instead.
    """

    def __init__(
        self,
        settings: RelayerSettings,
        home: Path | None,
        *,
        store: Redis,
        names: KeyNames,
        moment: ChainMoment,
        tally: Tally,
        metrics: Metrics,
        health: Health,
        loops: Watchdog,
    ) -> None:
        spool_metrics = SpoolMetrics(metrics)
        relay_log = RelayLog(store, names)
        remember_seconds = int(settings.metering.cache_ttl_seconds)
        self.watch = StoreWatch(store, spool_metrics)
        self.spool: Spool | None = None
        if home is not None and settings.when_store_away == SPOOL:
            self.spool = Spool(home, max_bytes=settings.spool_max_bytes, metrics=spool_metrics)
        same = settings.publish_timeout_seconds == store.command_timeout_seconds
        self.log = DurableLog(
            relay_log,
            self.watch,
            self.spool,
            # The store's own time limit costs a relay nothing.
            timeout_seconds=None if same else settings.publish_timeout_seconds,
            errors=spool_metrics.publish_errors,
            remember_seconds=remember_seconds,
        )
        self._replayer = Replayer(
            self.spool,
            self.watch,
            store=store,
            log=relay_log,
            tries=TrieStore(
                store, names, ttl_seconds=remember_seconds, session_ttl_seconds=remember_seconds
            ),
            moment=moment,
            tally=tally,
            metrics=spool_metrics,
            remember_seconds=remember_seconds,
            loops=loops,
        )
        self._moment = moment
        health.add("store", self.log.problem)
        health.show("spool", self._details)

    def _details(self) -> dict[str, Any] | None:
        """For the readiness page: nothing while all is well."""
        spool = self.spool
        if spool is None or not (spool.relays or self.watch.is_away):
            return None
        return {
            "store_away": self.watch.is_away,
            "relays": spool.relays,
            "bytes": spool.size_bytes,
            "oldest_age_seconds": round(spool.oldest_age_seconds, 1),
        }

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the spool and its replay going until cancelled.

        Raises:
            RelayerConfigurationError: the spool's directory cannot be used.
        """
        async with trio.open_nursery() as nursery:
            if self.spool is not None:
                await nursery.start(self.spool.run)
            nursery.start_soon(self._replayer.run)
            task_status.started()

    async def save_left(self) -> None:
        """Before `run`: bring what dead processes of the home left on disk into the log."""
        if self.spool is not None:
            await save_left(self.spool, self._replayer, self._moment.height)

    async def finish(self) -> None:
        """Nothing is logged any more: let the replay end if the store is there."""
        spool = self.spool
        with trio.move_on_after(LAST_REPLAY_SECONDS):
            while spool is not None and spool.relays and not self.watch.is_away:  # noqa: ASYNC110 - either may change at any time
                await trio.sleep(_POLL_SECONDS)
