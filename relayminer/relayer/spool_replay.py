"""From the spool into the log, in order, once the store is back.

A relay is logged once: the replay remembers relay hashes in the store in the same step in which it
logs them, so that a replay which died half-way may begin again; and it looks for those entries that
the store may have taken before it went away. Should one still be there twice, it is one leaf: the
trie's key is the relay's hash.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage
from relayminer.state.errors import StateError
from relayminer.state.relay_log import OnceEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.cache.moment import ChainMoment
    from relayminer.relayer.spool import Segment, Spool
    from relayminer.relayer.spool_file import SpoolRecord
    from relayminer.relayer.spool_log import StoreWatch
    from relayminer.relayer.spool_metrics import SpoolMetrics
    from relayminer.relayer.tally import Tally
    from relayminer.state.gateway import Redis
    from relayminer.state.relay_log import RelayLog
    from relayminer.state.tries import TrieStore
    from relayminer.watchdog import Pulse, Watchdog

BATCH_RELAYS: Final = 128
PAGE_ENTRIES: Final = 500
PROBE_SECONDS: Final = 0.25
SETTLE_SECONDS: Final = 0.2
"""After the store is back: what it still reads from connections that we gave up is done by then."""
CLOCK_MARGIN_SECONDS: Final = 15.0
"""The store's clock and ours agree to this, and an entry waits no longer before it is spooled."""
FAILURE_PAUSE_SECONDS: Final = 1.0
STALL_SECONDS: Final = 120.0
"""Longest silence of the replay while there is something to replay: a segment takes seconds."""

_MS_PER_SECOND = 1_000
_NS_PER_MS = 1_000_000


class Replayer:
    """Watches for the store's return and empties the spool into it.

    Args:
        spool: None when relays are refused instead; then only the watch is kept.
        watch: told when the store answers again.
        store: asked whether it does.
        log: where relays go.
        tries: asked whether a late relay's session is sealed.
        moment: the block height.
        tally: what was logged per session.
        metrics: counters.
        remember_seconds: for how long the store remembers what was replayed.
    """

    def __init__(
        self,
        spool: Spool | None,
        watch: StoreWatch,
        *,
        store: Redis,
        log: RelayLog,
        tries: TrieStore,
        moment: ChainMoment,
        tally: Tally,
        metrics: SpoolMetrics,
        remember_seconds: int,
        loops: Watchdog,
    ) -> None:
        self._spool = spool
        self._loops = loops
        self._watch = watch
        self._store = store
        self._relay_log = log
        self._tries = tries
        self._moment = moment
        self._tally = tally
        self._metrics = metrics
        self._remember_seconds = remember_seconds
        self._log = structlog.get_logger("relayminer.relayer")

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._probe)
            if self._spool is not None:
                nursery.start_soon(
                    self._loops.keep,
                    "spool",
                    partial(self._replay_forever, self._spool),
                    STALL_SECONDS,
                    self._is_waited_for,
                )

    def _is_waited_for(self) -> bool:
        """Whether there are relays on disk that the store would take."""
        return (
            self._spool is not None
            and self._spool.relays > 0
            and not self._watch.is_away
            and self._store.is_connected
            and self._store.pressure is None
        )

    async def _probe(self) -> None:
        while True:
            await trio.sleep(PROBE_SECONDS)
            if not self._watch.is_away:
                continue
            await self._store.wait_connected()
            try:
                await self._store.command("PING", timeout_seconds=PROBE_SECONDS)
            except StateError:
                continue
            self._watch.answered()

    async def _replay_forever(self, spool: Spool, pulse: Pulse) -> None:
        while True:
            pulse.idle()
            await spool.filled.wait()
            await self._store.wait_connected()
            await trio.sleep(SETTLE_SECONDS)
            if self._watch.is_away:
                continue
            pulse.got_on()
            try:
                await self.replay(spool, pulse)
            except (StateError, OSError) as error:
                self._log.warning(
                    "spool_replay_interrupted", reason=str(error), relays=spool.relays
                )
                await trio.sleep(FAILURE_PAUSE_SECONDS)

    async def replay(self, spool: Spool, pulse: Pulse) -> None:
        """Everything that is spooled into the log, as long as the store has room for it.

        Raises:
            StateError, OSError: some of it is still spooled.
        """
        while self._store.pressure is None and (segment := await spool.oldest()) is not None:
            logged = await self._replay_segment(spool, segment)
            await spool.done(segment)
            pulse.got_on()
            self._log.info("spool_replayed", relays=logged, left=spool.relays)

    async def _replay_segment(self, spool: Spool, segment: Segment) -> int:
        records = await spool.read(segment)
        logged = await self._logged_before(records)
        count = 0
        for first in range(0, len(records), BATCH_RELAYS):
            batch = [
                (record, MinedRelayMessage.FromString(record.entry))
                for record in records[first : first + BATCH_RELAYS]
            ]
            new = [pair for pair in batch if pair[1].relay_hash not in logged]
            self._metrics.known.value += len(batch) - len(new)
            await self._tell_late(new)
            count += await self._append(new)
        return count

    async def _append(self, batch: Sequence[tuple[SpoolRecord, MinedRelayMessage]]) -> int:
        if not batch:
            return 0
        entries = [
            OnceEntry(
                mined.supplier_operator_address, mined.session_id, mined.relay_hash, record.entry
            )
            for record, mined in batch
        ]
        ids = await self._relay_log.append_all_once(entries, ttl_seconds=self._remember_seconds)
        count = 0
        for entry, entry_id in zip(entries, ids, strict=True):
            if entry_id is not None:
                self._tally.logged(entry.supplier, entry.session_id)
                count += 1
        self._metrics.replayed.value += count
        self._metrics.known.value += len(entries) - count
        return count

    async def _logged_before(self, records: Sequence[SpoolRecord]) -> set[bytes]:
        """Of the relays that the store may have taken, those that are in its log."""
        margin_ms = int(CLOCK_MARGIN_SECONDS * _MS_PER_SECOND)
        wanted: dict[str, set[bytes]] = {}
        times_ms = []
        for record in records:
            if record.maybe_logged:
                mined = MinedRelayMessage.FromString(record.entry)
                wanted.setdefault(mined.supplier_operator_address, set()).add(mined.relay_hash)
                times_ms.append(record.spooled_at_ns // _NS_PER_MS)
        found: set[bytes] = set()
        for supplier, hashes in wanted.items():
            first = str(max(0, min(times_ms) - margin_ms))
            while not hashes <= found:
                # To the end: a server that stood still takes what it was sent when it goes on.
                page = await self._relay_log.page(supplier, first, "+", PAGE_ENTRIES)
                for _, mined_bytes in page:
                    relay_hash = MinedRelayMessage.FromString(mined_bytes).relay_hash
                    if relay_hash in hashes:
                        found.add(relay_hash)
                if len(page) < PAGE_ENTRIES:
                    break
                first = "(" + page[-1][0].decode()
        return found

    async def _tell_late(self, batch: Sequence[tuple[SpoolRecord, MinedRelayMessage]]) -> None:
        """Say which relays come after their session's claim window opened.

        They go into the log like all others: a session that is not sealed yet still takes them,
        and of one that is sealed the miner keeps a record.
        """
        height = self._moment.height
        late = [pair for pair in batch if height >= pair[0].claim_open_height]
        sessions: dict[tuple[str, str], bool] = {}
        lost: Counter[tuple[str, str]] = Counter()
        lost_upokt: Counter[tuple[str, str]] = Counter()
        for record, mined in late:
            session = (mined.supplier_operator_address, mined.session_id)
            if session not in sessions:
                sessions[session] = (await self._tries.roots(*session)).sealed is not None
            self._metrics.late.bind(mined.service_id).value += 1
            if sessions[session] and not record.maybe_logged:
                lost[mined.service_id, mined.session_id] += 1
                lost_upokt[mined.service_id, mined.session_id] += record.cost_upokt
        for (service, session_id), relays in lost.items():
            amount_upokt = lost_upokt[service, session_id]
            self._metrics.lost.bind(service, "session_sealed").value += relays
            self._metrics.lost_upokt.bind(service, "session_sealed").value += amount_upokt
            self._log.error(
                "spooled_relays_lost",
                reason="their session was sealed before the store was back",
                service=service,
                session=session_id,
                relays=relays,
                amount_upokt=amount_upokt,
            )
