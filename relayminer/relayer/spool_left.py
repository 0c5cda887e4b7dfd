"""What dead processes of the home left on disk, brought into the log before anything else is done.

A session is sealed by the miner when its claim window opens, and takes no relay after that. So
whoever starts in a home saves what is left there before it mines: a miner that came first would
seal the sessions without those relays. And a miner whose relayers are other processes of its home
looks now and then, because a relayer that has died may not come back in time.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.relayer.spool import ADOPT_SECONDS, Segment, Spool
from relayminer.relayer.spool_log import StoreWatch
from relayminer.relayer.spool_metrics import SpoolMetrics
from relayminer.relayer.spool_replay import Replayer
from relayminer.relayer.tally import Tally
from relayminer.state.errors import StateError
from relayminer.state.relay_log import RelayLog
from relayminer.state.tally import TallyStore
from relayminer.state.tries import TrieStore
from relayminer.watchdog import Pulse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from relayminer.cache.moment import ChainMoment
    from relayminer.config.settings import RelayerSettings
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.telemetry.metrics import Metrics
    from relayminer.watchdog import Watchdog

SAVE_SECONDS: Final = 20.0
"""How long a start may take for it; what is left then is replayed while relays are served."""

_log = structlog.get_logger("relayminer.relayer")


async def save_left(
    spool: Spool, replayer: Replayer, height: int, *, seconds: float = SAVE_SECONDS
) -> None:
    """Bring what dead processes left into the log; what cannot be now stays on disk."""
    found = await spool.adopt()
    tell(found, height)
    if not spool.relays:
        return
    try:
        with trio.move_on_after(seconds):
            await replayer.replay(spool, Pulse())
    except (StateError, OSError) as error:
        _log.warning("spool_replay_interrupted", reason=str(error), relays=spool.relays)
    if found and spool.relays:
        _log.warning("spool_waits", relays=spool.relays, next="replayed when the store takes them")


def tell(found: Sequence[Segment], height: int) -> None:
    """Say how much there is and until when it can be saved: to be paid it must be in a trie then.

    Args:
        found: what was taken over.
        height: last committed block.
    """
    relays: Counter[int] = Counter()
    for segment in found:
        relays.update(segment.claim_opens)
    if not relays:
        return
    in_time = {opens: count for opens, count in relays.items() if opens > height}
    late = relays.total() - sum(in_time.values())
    say = _log.warning if late else _log.info
    say(
        "spool_left_by_the_dead",
        relays=relays.total(),
        height=height,
        # By the height at which their sessions are sealed.
        to_be_saved_before={str(opens): in_time[opens] for opens in sorted(in_time)},
        # Of sessions that the miner may have sealed already; it takes what it has not.
        late=late,
    )


class LeftSpools:
    """Saves what dead relayers left, in a process that is no relayer; a `Service`.

    Started when all that was there is in the log, as far as the store takes it.

    Args:
        settings: of relayers.
        home: data directory.
        store: the shared store.
        names: its key names.
        moment: the block height.
        metrics: where the spool's are declared.
        loops: looks after nothing here; the replayer wants one.
    """

    name = "left spools"

    def __init__(
        self,
        settings: RelayerSettings,
        home: Path,
        *,
        store: Redis,
        names: KeyNames,
        moment: ChainMoment,
        metrics: Metrics,
        loops: Watchdog,
    ) -> None:
        spool_metrics = SpoolMetrics(metrics)
        remember_seconds = int(settings.metering.cache_ttl_seconds)
        self._store = store
        self._moment = moment
        self._tally = Tally(TallyStore(store, names, ttl_seconds=remember_seconds))
        self._spool = Spool(home, max_bytes=settings.spool_max_bytes, metrics=spool_metrics)
        self._replayer = Replayer(
            self._spool,
            StoreWatch(store, spool_metrics),
            store=store,
            log=RelayLog(store, names),
            tries=TrieStore(
                store, names, ttl_seconds=remember_seconds, session_ttl_seconds=remember_seconds
            ),
            moment=moment,
            tally=self._tally,
            metrics=spool_metrics,
            remember_seconds=remember_seconds,
            loops=loops,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look now and then until cancelled."""
        try:
            await self._save()
            task_status.started()
            while True:
                await trio.sleep(ADOPT_SECONDS)
                if self._store.is_connected:
                    await self._save()
        finally:
            await self._spool.give_up()

    async def _save(self) -> None:
        await save_left(self._spool, self._replayer, self._moment.height)
        await self._tally.flush()
