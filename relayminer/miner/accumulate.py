"""From a batch of log entries to durable tries.

The order is what makes a relay count once and never be lost: update the tries of the batch, commit
each once, write each commit with its root in one atomic step under the lease's token, and only then
acknowledge the entries. When a write fails the working copy is dropped and the entries stay
pending; they are read again, and whatever of them had been written after all changes nothing.

What the store gives back is compared with what it confirmed; see `custody`.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define

from relayminer.chain.errors import ChainError
from relayminer.miner.custody import Custody
from relayminer.miner.entries import (
    Poison,
    Relay,
    SessionInfo,
    contradiction,
    entry_order,
    sort_entries,
)
from relayminer.miner.errors import TrieUnavailableError
from relayminer.miner.mend import Mender
from relayminer.miner.records import Step, record
from relayminer.miner.tries import OpenTries, add_relays, with_nodes
from relayminer.smst import Trie, root_count, root_sum
from relayminer.state.errors import (
    LegacySessionError,
    SessionMissingError,
    SessionSealedError,
    StateError,
)
from relayminer.telemetry.metrics import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relayminer.miner.book import SessionBook
    from relayminer.miner.facts import ChainFacts
    from relayminer.miner.metrics import MinerMetrics
    from relayminer.miner.sessions import Session
    from relayminer.miner.store import SupplierStore
    from relayminer.miner.trail import Trail
    from relayminer.miner.witness import Testimony
    from relayminer.state.log_reader import LogEntry

COMPUTE_UNITS_WAIT_SECONDS: Final = 1.0
"""How long a session's first batch waits for the chain to say what a relay must weigh."""
COMPUTE_UNITS_RETRY_SECONDS: Final = 10.0
"""How long relays of any weight pass before the chain is asked again."""
AHEAD_BLOCKS_MAX: Final = 1000
"""A session that begins later than this is of a relayer whose chain is not ours."""
TRANSIENT: Final = "transient_error"
UNEXPECTED: Final = "unexpected_error"
UNREADABLE: Final = "unreadable"
"""Why relays stay in the log, and why a working copy was dropped, in the metrics."""
REASONS_SHOWN: Final = 5
"""Reasons of refused entries that one line of the log names."""
SESSIONS_MAX: Final = 20_000
"""Sessions of one supplier that are open or just over; more are somebody's mistake."""

_log = structlog.get_logger("relayminer.miner.accumulate")


@define
class Added:
    """What became of a batch."""

    counted: int = 0
    """Entries whose relays are in a durable trie now."""
    rejected: int = 0
    """Entries that went to the dead-letter stream or came too late."""
    failed: int = 0
    """Entries that stay pending because a write failed; repeating it may work."""


class Accumulator:
    """Puts one supplier's relays into its tries; one batch at a time."""

    def __init__(
        self,
        supplier: str,
        store: SupplierStore,
        book: SessionBook,
        tries: OpenTries,
        facts: ChainFacts,
        metrics: MinerMetrics,
        *,
        now: Callable[[], float] = time.time,
        height: Callable[[], int],
        testimony: Testimony,
        trail: Trail | None = None,
    ) -> None:
        self._supplier = supplier
        self._store = store
        self._book = book
        self._tries = tries
        self._facts = facts
        self._metrics = metrics
        self._now = now
        self._height = height
        self._trail = trail
        self._custody = Custody(
            supplier, store, tries, Mender(supplier, store, facts, metrics), testimony
        )
        self._lock = trio.Lock()

    async def add(self, entries: Sequence[LogEntry]) -> Added:
        """Put a batch into the tries, make it durable, acknowledge it.

        Raises:
            LeaseLostError: the supplier belongs to somebody else by now.
        """
        batch = sort_entries(entries, self._supplier)
        result = Added()
        done: list[bytes] = []
        poison = batch.poison
        async with self._lock:
            for info, relays in batch.sessions.items():
                service = info.service_id
                self._metrics.consumed.bind(self._supplier, service).value += len(relays)
                try:
                    poison += await self._add_session(info, relays, done, result)
                except StateError as error:
                    self._failed(info, relays, TRANSIENT, result)
                    self._tell("checkpoint failed, its entries stay pending", info, error)
                except TrieUnavailableError as error:
                    self._failed(info, relays, UNEXPECTED, result)
                    self._metrics.evictions.bind(self._supplier, UNREADABLE).value += 1
                    self._tell("trie unreadable, its entries stay pending", info, error)
            try:
                if poison:
                    await self._bury(poison, result)
                if done:
                    await self._store.acknowledge(done)
                    self._custody.counted(done)
                    self._metrics.acknowledged.bind(self._supplier).value += len(done)
            except StateError as error:
                # What was counted is durable; read again, it changes nothing.
                result.failed += len(entries)
                _log.warning("not acknowledged", supplier=self._supplier, error=str(error))
        return result

    def _failed(
        self, info: SessionInfo, relays: Sequence[Relay], reason: str, result: Added
    ) -> None:
        """Entries stay pending; the working copy of their trie is not what is durable."""
        self._tries.drop(self._supplier, info.session_id)
        result.failed += len(relays)
        failed = self._metrics.relays_failed.bind(self._supplier, info.service_id, reason)
        failed.value += len(relays)

    def _tell(self, event: str, info: SessionInfo, error: Exception) -> None:
        self._metrics.checkpoint_failures.bind(self._supplier).value += 1
        _log.warning(event, supplier=self._supplier, session_id=info.session_id, error=str(error))

    async def seal(self, session: Session) -> bytes:
        """Close a session's trie for good and return its root (48 bytes), as `Custody.seal`."""
        async with self._lock:
            return await self._custody.seal(session)

    async def restore(self, session: Session, root: bytes, reason: str) -> bool:
        """Bring back a sealed trie that cannot be read, as `Custody.restore`."""
        async with self._lock:
            return await self._custody.restore(session, root, reason)

    async def _add_session(
        self, info: SessionInfo, relays: Sequence[Relay], done: list[bytes], result: Added
    ) -> list[Poison]:
        """Add one session's relays; `done` gets the entries to acknowledge."""
        session = self._book.get(info.session_id)
        if session is None:
            refused = self._refusal(info)
            if refused:
                return [Poison(relay.entry, refused) for relay in relays]
            session = await self._book.open(info)
        await self._learn_compute_units(session)
        conflict = contradiction(session.info, info)
        if conflict:
            return [Poison(relay.entry, conflict) for relay in relays]
        weight = session.compute_units_per_relay
        misfits = [relay for relay in relays if weight and relay.weight != weight]
        if misfits:
            relays = [relay for relay in relays if relay.weight == weight]
        if session.accepts_relays:
            try:
                await self._count(session, relays, done, result)
            except SessionSealedError:
                # Sealed by whoever died before writing that down.
                session.claimed_root = await self._store.sealed_root(session.session_id)
            except (SessionMissingError, LegacySessionError):
                # The store was set back to before the session, or the record has the old form.
                await self._store.mend_record(session)
                raise
        if not session.accepts_relays:
            await self._late(session, relays, done, result)
        return [
            Poison(
                relay.entry,
                f"weighs {relay.weight} compute units where the chain says {weight}",
            )
            for relay in misfits
        ]

    def _refusal(self, info: SessionInfo) -> str:
        """Why no session is opened that an entry speaks of, or an empty string."""
        height = self._height()
        if height and info.start_height > height + AHEAD_BLOCKS_MAX:
            return f"the session begins at {info.start_height}, and the chain is at {height}"
        if len(self._book) >= SESSIONS_MAX:
            return f"the supplier has {SESSIONS_MAX} sessions already"
        return ""

    async def _count(
        self, session: Session, relays: Sequence[Relay], done: list[bytes], result: Added
    ) -> None:
        """Put relays into an open trie and make it durable."""
        held = self._tries.get(self._supplier, session.session_id)
        trie = held or await self._custody.open_trie(session)
        try:
            await self._count_in(trie, session, relays, done, result)
        except TrieUnavailableError as error:
            if held is None:
                # It was read from its durable root: what is missing does not come back.
                session.unreadable = str(error)
            raise

    async def _count_in(
        self,
        trie: Trie,
        session: Session,
        relays: Sequence[Relay],
        done: list[bytes],
        result: Added,
    ) -> None:
        if session.missing is not None:
            through = session.missing_through
            again = [relay for relay in relays if entry_order(relay.entry.id) <= through]
            # They had been counted before the store was set back, so what is new of them is found.
            before = session.relay_count, session.compute_units
            await self._count_batch(trie, session, again, done, result)
            found = session.relay_count - before[0], session.compute_units - before[1]
            session.missing = session.missing.less(*found)
            known = {relay.entry.id for relay in again}
            relays = [relay for relay in relays if relay.entry.id not in known]
        if relays:
            await self._count_batch(trie, session, relays, done, result)

    async def _count_batch(
        self,
        trie: Trie,
        session: Session,
        relays: Sequence[Relay],
        done: list[bytes],
        result: Added,
    ) -> None:
        session_id = session.session_id
        base_root = trie.root
        before, weight_before = root_count(base_root), root_sum(base_root)
        # The working copy is put back only when it is durable again.
        self._tries.drop(self._supplier, session_id)
        await add_relays(trie, relays, self._store.loader(session_id))
        commit = trie.commit()
        count, weight = root_count(commit.root), root_sum(commit.root)
        if commit.changes:
            await self._store.checkpoint(
                session_id,
                commit,
                base_root=base_root,
                relays=count - before,
                compute_units=weight - weight_before,
            )
        self._tries.keep(self._supplier, session_id, trie)
        session.relay_count, session.compute_units = count, weight
        self._custody.holds(session)
        self._time(session.info.service_id, relays)
        done.extend(relay.entry.id for relay in relays)
        result.counted += len(relays)
        if self._trail is not None:
            self._trail.counted(self._supplier, session.info, relays)
        self._metrics.added(self._supplier, session.info.service_id).value += count - before

    def _time(self, service: str, relays: Sequence[Relay]) -> None:
        """Observe how long relays were in the log; an entry's id begins with its time."""
        now_ms = self._now() * 1_000
        observe = self._metrics.end_to_end.bind(self._supplier, service).observe
        for relay in relays:
            logged_ms = int(relay.entry.id.partition(b"-")[0])
            observe(max(0.0, now_ms - logged_ms) / 1_000)

    async def _late(
        self, session: Session, relays: Sequence[Relay], done: list[bytes], result: Added
    ) -> None:
        """Relays of a session that is sealed: entries counted before are fine, others are lost."""
        lost = [relay for relay in relays if not await self._was_counted(session, relay)]
        if lost:
            result.rejected += len(lost)
            late = self._metrics.relays_rejected.bind(
                self._supplier, "late", session.info.service_id
            )
            late.value += len(lost)
            if self._trail is not None:
                self._trail.late(self._supplier, session.info, lost)
            await self._store.append_records(
                [
                    record(
                        Step.LATE,
                        session.info,
                        lost[0].entry.id.decode(),
                        relays=len(lost),
                        compute_units=sum(relay.weight for relay in lost),
                        state=session.state.value,
                    )
                ]
            )
        done.extend(relay.entry.id for relay in relays)

    async def _was_counted(self, session: Session, relay: Relay) -> bool:
        """Whether a relay is in a sealed trie; no, when the trie cannot say."""
        if session.claimed_root is None or session.trie_deleted:
            return False
        trie = Trie(session.claimed_root)
        load = self._store.loader(session.session_id)
        try:
            return await with_nodes(trie, partial(_has, trie, relay.key), load)
        except TrieUnavailableError as error:
            self._tell("sealed trie unreadable", session.info, error)
            return False

    async def _bury(self, poison: Sequence[Poison], result: Added) -> None:
        await self._store.dead_letter(poison)
        result.rejected += len(poison)
        self._metrics.relays_rejected.bind(self._supplier, "poison", UNKNOWN).value += len(poison)
        self._metrics.undecodable.bind(self._supplier).value += len(poison)
        first = {item.reason: item.entry.id.decode() for item in reversed(poison)}
        _log.warning(
            "log entries moved to the dead letters",
            supplier=self._supplier,
            entries=len(poison),
            first=dict(list(first.items())[-REASONS_SHOWN:]),
        )

    async def _learn_compute_units(self, session: Session) -> None:
        """Ask what each relay of the session must weigh; without an answer anything passes."""
        now = trio.current_time()
        if session.compute_units_per_relay or now < session.compute_units_retry_at:
            return
        if 0 < self._height() < session.info.start_height:
            # A block ahead of our node: nothing can be asked at that height yet.
            return
        session.compute_units_retry_at = now + COMPUTE_UNITS_RETRY_SECONDS
        with trio.move_on_after(COMPUTE_UNITS_WAIT_SECONDS):
            try:
                session.compute_units_per_relay = await self._facts.compute_units(
                    session.info.service_id, session.info.start_height
                )
            except ChainError as error:
                _log.warning(
                    "compute units of a relay are not known",
                    service_id=session.info.service_id,
                    error=str(error),
                )


def _has(trie: Trie, key: bytes) -> bool:
    return key in trie
