"""One supplier's part of the shared state, under the lease of its owner.

Every change of a session or a trie goes through a script that compares the lease's fencing token.
What the store says about the token comes out as `LeaseLostError`; every other trouble is a
`StateError`, and then nobody knows whether the change was made: all of them can be repeated.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog
from attrs import frozen

from relayminer.miner.errors import LeaseLostError
from relayminer.miner.records import Phase, ledger_json
from relayminer.miner.served import read_served
from relayminer.miner.session_records import opened, revived, written_again
from relayminer.miner.sessions import Attempt, Session, attempt_of, session_of
from relayminer.state.errors import FencedError, LegacySessionError, SessionMissingError
from relayminer.state.old_tries import adopt_old_trie
from relayminer.state.rebroadcast import Group, Rebroadcast
from relayminer.state.submissions import ON_CHAIN_FOUND, Submission

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Awaitable,
        Callable,
        Iterator,
        Mapping,
        Sequence,
    )

    from relayminer.miner.entries import Poison, SessionInfo
    from relayminer.miner.lifecycle import SessionState
    from relayminer.miner.logs import RelayLogs
    from relayminer.miner.records import Record, Value
    from relayminer.miner.served import Served
    from relayminer.miner.tries import LoadNodes
    from relayminer.smst import Commit
    from relayminer.state.fence import Fence
    from relayminer.state.gateway import Redis
    from relayminer.state.leases import Lease
    from relayminer.state.ledger import Ledger, LedgerRecord
    from relayminer.state.log_reader import Backlog, LogEntry
    from relayminer.state.meter import MeterStore
    from relayminer.state.names import KeyNames
    from relayminer.state.rebroadcast import RebroadcastStore
    from relayminer.state.sessions import SessionStore
    from relayminer.state.submissions import SubmissionStore
    from relayminer.state.tally import TallyStore
    from relayminer.state.trie_repair import TrieRepair
    from relayminer.state.tries import Roots, TrieStore

NANOSECONDS: Final = 1_000_000_000

_log = structlog.get_logger("relayminer.miner.store")


@frozen
class Stores:
    """The parts of the shared state that miners use, for all suppliers."""

    redis: Redis
    names: KeyNames
    logs: RelayLogs
    sessions: SessionStore
    tries: TrieStore
    repairs: TrieRepair
    ledger: Ledger
    meter: MeterStore
    tally: TallyStore
    rebroadcast: RebroadcastStore
    submissions: SubmissionStore
    settled_heights_key: str
    """Hash of supplier to the last block whose settlement events were recorded."""
    now: Callable[[], float]
    """Unix seconds, for records that people read."""
    count: Callable[[str, Record], None]
    """Told of every line that is new in a supplier's ledger."""


class SupplierStore:
    """See the module."""

    def __init__(self, stores: Stores, supplier: str, lease: Lease) -> None:
        self._stores = stores
        self._supplier = supplier
        self._lease = lease

    # Ownership.

    def require_lease(self) -> None:
        """Raises LeaseLostError unless the supplier is surely ours at this moment."""
        with self._fenced():
            pass

    @property
    def token(self) -> int:
        """The fencing token of our ownership."""
        with self._fenced() as fence:
            return fence.token

    @contextmanager
    def _fenced(self) -> Iterator[Fence]:
        """The right to change things; what the server thinks of it becomes our error."""
        try:
            yield self._lease.fence
        except FencedError as error:
            raise LeaseLostError(str(error)) from error

    # The relay log.

    async def backlog(self) -> Backlog:
        """How much waits in the log."""
        return await self._stores.logs.reader.backlog(self._supplier)

    async def ensure_log(self) -> None:
        """Make sure that the log can be read as a group."""
        await self._stores.logs.reader.ensure_group([self._supplier])

    async def own_pending(self, after: bytes, count: int) -> Sequence[LogEntry]:
        """Entries that we were given and have not acknowledged, after the id `after`."""
        reader = self._stores.logs.reader
        return await reader.read_own_pending(self._supplier, count=count, after=after)

    async def take_over(self, *, idle_seconds: float, count: int) -> Sequence[LogEntry]:
        """Entries that other consumers were given and have not acknowledged; ours from now on."""
        return await self._stores.logs.reader.take_over(
            self._supplier, count=count, idle_seconds=idle_seconds
        )

    async def read_new(self, count: int) -> Sequence[LogEntry]:
        """Entries that nobody was given yet, without waiting for any."""
        return await self._stores.logs.read_now(self._supplier, count=count)

    async def acknowledge(self, ids: Sequence[bytes]) -> None:
        """Delete entries from the log: what they say is durable elsewhere."""
        with self._fenced():
            await self._stores.logs.reader.acknowledge(self._supplier, ids)

    async def dead_letter(self, poison: Sequence[Poison]) -> None:
        """Move entries that cannot be used to the dead letters."""
        with self._fenced():
            await self._stores.logs.reader.dead_letter(
                self._supplier, [(item.entry, item.reason) for item in poison]
            )

    # Tries.

    def loader(self, session_id: str) -> LoadNodes:
        """Fetches nodes of a session's trie."""

        async def load(digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
            return await self._stores.tries.load_nodes(self._supplier, session_id, digests)

        return load

    async def roots(self, session_id: str) -> Roots:
        """Root of the last checkpoint and root that was sealed."""
        return await self._stores.tries.roots(self._supplier, session_id)

    async def repair(self, change: Callable[[TrieRepair, Fence], Awaitable[None]]) -> None:
        """Make a change to a damaged trie under the lease."""
        with self._fenced() as fence:
            await change(self._stores.repairs, fence)

    def node_pages(self, session_id: str) -> AsyncGenerator[list[tuple[bytes, bytes]], None]:
        """Everything that is stored as a node of a trie, as `TrieRepair.pages`."""
        return self._stores.repairs.pages(self._supplier, session_id)

    async def live_root(self, session_id: str) -> bytes | None:
        """Root of the last checkpoint; None when there was none."""
        return (await self.roots(session_id)).live

    async def sealed_root(self, session_id: str) -> bytes | None:
        """The root that was sealed; None when the trie is open."""
        return (await self.roots(session_id)).sealed

    async def checkpoint(
        self, session_id: str, commit: Commit, *, base_root: bytes, relays: int, compute_units: int
    ) -> None:
        """Make a commit durable: nodes, live root and counters in one step."""
        with self._fenced() as fence:
            await self._stores.tries.checkpoint(
                fence,
                self._supplier,
                session_id,
                commit,
                base_root=base_root,
                relays=relays,
                compute_units=compute_units,
            )

    async def seal(self, session_id: str, root: bytes) -> bytes:
        """Close a trie for good; returns the root that was sealed first."""
        with self._fenced() as fence:
            return await self._stores.tries.seal(fence, self._supplier, session_id, root)

    async def delete_trie(self, session_id: str) -> None:
        """Remove a trie that nobody needs any more."""
        with self._fenced() as fence:
            await self._stores.tries.delete(fence, self._supplier, session_id)

    async def keep_alive(self, session_id: str, ttl_seconds: int) -> None:
        """Let a session and its trie live for `ttl_seconds` from now."""
        with self._fenced() as fence:
            await self._stores.tries.keep_alive(fence, self._supplier, session_id, ttl_seconds)

    # Sessions.

    async def load_sessions(self) -> list[Session]:
        """Every session on record, with what was sent for it."""
        loaded = await self._stores.sessions.load_all(self._supplier)
        sessions = [session_of(snapshot) for snapshot in loaded.sessions]
        for session in sessions:
            if session.claimed_root is not None and not session.state.is_terminal:
                await self._adopt(session, session.claimed_root)
        for session_id in (*loaded.unreadable, *loaded.missing):
            reason = loaded.unreadable.get(session_id, "")
            with self._fenced() as fence:
                again = await revived(self._stores, fence, self._supplier, session_id)
                if again is not None:
                    sessions.append(session_of(again))
                elif reason:
                    _log.error("session record unreadable", session_id=session_id, reason=reason)
                else:
                    await self._stores.sessions.delete(fence, self._supplier, [session_id])
        for end_height in {one.end_height for one in sessions if not one.state.is_terminal}:
            group = Group(self._supplier, end_height)
            claims, _ = await self._stores.rebroadcast.load(Phase.CLAIM.value, group)
            proofs, _ = await self._stores.rebroadcast.load(Phase.PROOF.value, group)
            for session in sessions:
                if session.session_id in claims:
                    session.claim_attempt = attempt_of(claims[session.session_id])
                if session.session_id in proofs:
                    session.proof_attempt = attempt_of(proofs[session.session_id])
        return sessions

    async def _adopt(self, session: Session, root: bytes) -> None:
        """Give a trie that an older Go miner sealed the names that it has now."""
        if await self.sealed_root(session.session_id) is None:
            stores = self._stores
            with self._fenced() as fence:
                await adopt_old_trie(
                    stores.redis, stores.names, fence, self._supplier, session.session_id, root
                )

    async def create_session(self, info: SessionInfo) -> Session:
        """A new session, or the one on record under this id."""
        with self._fenced() as fence:
            return session_of(await opened(self._stores, fence, self._supplier, info))

    async def mend_record(self, session: Session) -> None:
        """Write a record again that has the old form or is gone."""
        with self._fenced() as fence:
            await written_again(self._stores, fence, self._supplier, session)

    async def set_state(self, session: Session, state: SessionState, **fields: str | bytes) -> None:
        """Change a session's state on record, with further fields of the record."""
        with self._fenced() as fence:

            async def update() -> None:
                await self._stores.sessions.update_state(
                    fence, self._supplier, session.session_id, state.value, fields=fields
                )

            try:
                await update()
            except (LegacySessionError, SessionMissingError):
                await written_again(self._stores, fence, self._supplier, session)
                await update()

    async def save_settlement(self, session: Session) -> None:
        """Note on record how a session ended on chain."""
        await self.set_state(
            session,
            session.state,
            settlement_outcome=session.settlement_outcome,
            settlement_height=str(session.settlement_height),
        )

    async def publish_meter_cleanup(self, session_id: str) -> None:
        """Tell relayers that a session takes no more relays."""
        await self._stores.meter.publish_cleanup(session_id, self._supplier)

    async def served(self, session_id: str) -> Served:
        """What relayers counted for a session."""
        stores = self._stores
        return await read_served(stores.meter, stores.tally, self._supplier, session_id)

    # What was sent.

    async def save_attempt(self, session: Session, phase: Phase, attempt: Attempt) -> None:
        """Note a message that is about to be sent, or what became of it."""
        with self._fenced() as fence:
            await self._stores.rebroadcast.put(
                fence,
                phase.value,
                Group(self._supplier, session.end_height),
                session.session_id,
                Rebroadcast(
                    message=attempt.message,
                    submit_height=attempt.submit_height,
                    tx_hash=attempt.tx_hash,
                    original_tx_hash=attempt.original_tx_hash,
                    service_id=session.info.service_id,
                    resends=attempt.resends,
                ),
            )

    async def drop_attempt(self, session: Session, phase: Phase) -> None:
        """Forget a message: it is on chain, or its window is over."""
        with self._fenced() as fence:
            group = Group(self._supplier, session.end_height)
            await self._stores.rebroadcast.delete(fence, phase.value, group, [session.session_id])

    async def save_submission(
        self, session: Session, phase: Phase, attempt: Attempt, facts: Mapping[str, Value]
    ) -> None:
        """Record a message's fate where the Go fleet's tools look for it."""
        await self.save_attempt(session, phase, attempt)
        info = session.info
        accepted = not attempt.reason
        if phase is Phase.CLAIM:
            if accepted:
                await self.set_state(
                    session,
                    session.state,
                    claim_tx_hash=attempt.tx_hash,
                    claimed_root_hash=session.claimed_root or b"",
                )
            await self._stores.submissions.track_claim(
                Submission(
                    supplier=self._supplier,
                    service=info.service_id,
                    application=info.application_address,
                    session_id=info.session_id,
                    session_start=info.start_height,
                    session_end=info.end_height,
                    claim_hash=(session.claimed_root or b"").hex(),
                    claim_tx_hash=attempt.tx_hash or attempt.original_tx_hash,
                    claim_success=accepted,
                    claim_error_reason=attempt.reason,
                    claim_submit_height=attempt.submit_height,
                    claim_current_height=attempt.last_height,
                    num_relays=session.relay_count,
                    compute_units=session.compute_units,
                )
            )
            return
        if accepted:
            await self.set_state(session, session.state, proof_tx_hash=attempt.tx_hash)
        await self._stores.submissions.track_proof(
            self._supplier,
            info.end_height,
            info.session_id,
            proof_tx_hash=attempt.tx_hash or attempt.original_tx_hash,
            proof_success=accepted,
            proof_error_reason=attempt.reason,
            proof_submit_height=attempt.submit_height,
            proof_current_height=attempt.last_height,
            proof_rebroadcasts=attempt.resends,
            proof_required=True,
            proof_requirement_seed=str(facts.get("seed", "")),
        )

    async def save_outcome(self, session: Session, phase: Phase, height: int) -> None:
        """Record that a claim or proof was found on chain at `height`."""
        name = phase.value
        await self._stores.submissions.set_outcome(
            self._supplier,
            session.end_height,
            session.session_id,
            **{f"{name}_on_chain_outcome": ON_CHAIN_FOUND, f"{name}_inclusion_height": height},
        )

    # The ledger.

    async def append_records(self, records: Sequence[Record]) -> int:
        """Append to the ledger what it does not say yet; returns how many were new."""
        moment = int(self._stores.now())
        added = await self._stores.ledger.append(
            self._supplier, [(one.id, ledger_json(one, moment)) for one in records]
        )
        if added == len(records):
            # Only intents come several at a time, and they move no sum.
            for one in records:
                self._stores.count(self._supplier, one)
        return added

    async def newest_records(self, count: int) -> Sequence[LedgerRecord]:
        """The newest records of the ledger, the newest first."""
        return await self._stores.ledger.newest(self._supplier, count=count)

    async def trim_ledger(self, keep: int) -> None:
        """Drop the oldest records beyond `keep`."""
        await self._stores.ledger.trim(self._supplier, keep=keep)

    async def settled_height(self) -> int:
        """Last block whose settlement events were recorded for the supplier; 0 for none."""
        key = self._stores.settled_heights_key
        text = await self._stores.redis.command("HGET", key, self._supplier)
        try:
            return max(0, int(text or 0))
        except ValueError:
            _log.error("settled height unreadable", supplier=self._supplier, text=text)
            return 0

    async def save_settled_height(self, height: int) -> None:
        """Note that the events of blocks up to `height` are recorded."""
        key = self._stores.settled_heights_key
        await self._stores.redis.command("HSET", key, self._supplier, height)
