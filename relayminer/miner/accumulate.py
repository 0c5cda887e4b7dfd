"""From a batch of log entries to durable tries.

The order is what makes a relay count once and never be lost: update the tries of the batch, commit
each once, write each commit with its root in one atomic step under the lease's token, and only then
acknowledge the entries. When a write fails the working copy is dropped and the entries stay
pending; they are read again, and whatever of them had been written after all changes nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define

from relayminer.chain.errors import ChainError
from relayminer.miner.entries import (
    Poison,
    Relay,
    SessionInfo,
    contradiction,
    sort_entries,
)
from relayminer.miner.errors import TrieUnavailableError
from relayminer.miner.records import Step, record
from relayminer.miner.tries import OpenTries, add_relays, with_nodes
from relayminer.smst import EMPTY_ROOT, Trie, root_count, root_sum
from relayminer.state.errors import SessionSealedError, StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.miner.book import SessionBook
    from relayminer.miner.facts import ChainFacts
    from relayminer.miner.metrics import MinerMetrics
    from relayminer.miner.sessions import Session
    from relayminer.miner.store import SupplierStore
    from relayminer.state.log_reader import LogEntry

COMPUTE_UNITS_WAIT_SECONDS: Final = 1.0
"""How long a session's first batch waits for the chain to say what a relay must weigh."""

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
    ) -> None:
        self._supplier = supplier
        self._store = store
        self._book = book
        self._tries = tries
        self._facts = facts
        self._metrics = metrics
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
                try:
                    poison += await self._add_session(info, relays, done, result)
                except StateError as error:
                    self._tries.drop(self._supplier, info.session_id)
                    result.failed += len(relays)
                    self._tell("checkpoint failed, its entries stay pending", info, error)
                except TrieUnavailableError as error:
                    self._tries.drop(self._supplier, info.session_id)
                    session = self._book.get(info.session_id)
                    if session is not None:
                        session.unreadable = str(error)
                    self._tell("trie unreadable, its entries stay pending", info, error)
            try:
                if poison:
                    await self._bury(poison, result)
                if done:
                    await self._store.acknowledge(done)
            except StateError as error:
                # What was counted is durable; read again, it changes nothing.
                result.failed += len(entries)
                _log.warning("not acknowledged", supplier=self._supplier, error=str(error))
        return result

    def _tell(self, event: str, info: SessionInfo, error: Exception) -> None:
        self._metrics.checkpoint_failures.bind(self._supplier).value += 1
        _log.warning(event, supplier=self._supplier, session_id=info.session_id, error=str(error))

    async def seal(self, session: Session) -> bytes:
        """Close a session's trie for good and return its root (48 bytes). Repeatable.

        Raises:
            LeaseLostError, StateError, TrieUnavailableError: nothing was sealed.
        """
        async with self._lock:
            session_id = session.session_id
            known = await self._store.sealed_root(session_id)
            if known is not None:
                return known
            if session.unreadable:
                raise TrieUnavailableError(session.unreadable)
            root = await self._store.live_root(session_id)
            if root is None and session.relay_count:
                session.unreadable = f"the store has lost a trie of {session.relay_count} relays"
                raise TrieUnavailableError(session.unreadable)
            if root is None:
                # Nothing was ever counted; there is nothing to seal.
                return EMPTY_ROOT
            working = self._tries.get(self._supplier, session_id)
            if working is not None and working.root != root:
                self._tries.drop(self._supplier, session_id)
                raise TrieUnavailableError("the working copy is not what is durable")
            # From here on the trie is read by its sealed root only.
            self._tries.drop(self._supplier, session_id)
            return await self._store.seal(session_id, root)

    async def _add_session(
        self, info: SessionInfo, relays: Sequence[Relay], done: list[bytes], result: Added
    ) -> list[Poison]:
        """Add one session's relays; `done` gets the entries to acknowledge."""
        session = self._book.get(info.session_id)
        if session is None:
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
        if not session.accepts_relays:
            await self._late(session, relays, done, result)
        return [
            Poison(
                relay.entry,
                f"weighs {relay.weight} compute units where the chain says {weight}",
            )
            for relay in misfits
        ]

    async def _count(
        self, session: Session, relays: Sequence[Relay], done: list[bytes], result: Added
    ) -> None:
        session_id = session.session_id
        trie = await self._live_trie(session)
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
        session.unreadable = ""
        done.extend(relay.entry.id for relay in relays)
        result.counted += len(relays)
        self._metrics.added(self._supplier, session.info.service_id).value += count - before

    async def _late(
        self, session: Session, relays: Sequence[Relay], done: list[bytes], result: Added
    ) -> None:
        """Relays of a session that is sealed: entries counted before are fine, others are lost."""
        trie = None
        if session.claimed_root is not None and not session.trie_deleted:
            trie = Trie(session.claimed_root)
        load = self._store.loader(session.session_id)
        lost = [
            relay
            for relay in relays
            if trie is None or not await with_nodes(trie, partial(_has, trie, relay.key), load)
        ]
        if lost:
            result.rejected += len(lost)
            self._metrics.relays_rejected.bind(self._supplier, "late").value += len(lost)
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

    async def _bury(self, poison: Sequence[Poison], result: Added) -> None:
        await self._store.dead_letter(poison)
        result.rejected += len(poison)
        for item in poison:
            self._metrics.relays_rejected.bind(self._supplier, "poison").value += 1
            _log.warning(
                "log entry moved to the dead letters",
                supplier=self._supplier,
                entry=item.entry.id.decode(),
                reason=item.reason,
            )

    async def _live_trie(self, session: Session) -> Trie:
        """The working copy, or one made from the last durable root."""
        trie = self._tries.get(self._supplier, session.session_id)
        if trie is not None:
            return trie
        root = await self._store.live_root(session.session_id)
        if root is None and session.relay_count:
            # What comes from now on can still be earned with.
            _log.error(
                "the store has lost a trie",
                supplier=self._supplier,
                session_id=session.session_id,
                relays=session.relay_count,
            )
        return Trie() if root is None else Trie(root)

    async def _learn_compute_units(self, session: Session) -> None:
        """Ask what each relay of the session must weigh; without an answer anything passes."""
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
