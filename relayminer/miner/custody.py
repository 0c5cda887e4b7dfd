"""What the store holds of a session's trie: opened, compared with what it confirmed, sealed.

The store is believed in nothing that can be checked. A trie that cannot be read is rebuilt from
what is left of it; one that holds less than it did is told; the root of a sealed trie is claimed
only after the whole trie was read back.

Not safe for concurrent use: its caller has a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.miner.entries import entry_order
from relayminer.miner.errors import TrieUnavailableError
from relayminer.miner.lifecycle import SessionState
from relayminer.miner.mend import Mender, roots_of, shortfall
from relayminer.miner.sessions import Missing
from relayminer.smst import EMPTY_ROOT, Trie, root_count, root_sum
from relayminer.state.errors import SessionSealedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.miner.sessions import Session
    from relayminer.miner.store import SupplierStore
    from relayminer.miner.tries import OpenTries
    from relayminer.miner.witness import Testimony
    from relayminer.state.tries import Roots


class Custody:
    """The stored tries of one supplier."""

    def __init__(
        self,
        supplier: str,
        store: SupplierStore,
        tries: OpenTries,
        mender: Mender,
        testimony: Testimony,
    ) -> None:
        self._supplier = supplier
        self._store = store
        self._tries = tries
        self._mender = mender
        self._testimony = testimony

    def counted(self, entry_ids: Sequence[bytes]) -> None:
        """Take notice of log entries that were counted and acknowledged."""
        self._testimony.counted(max(map(entry_order, entry_ids)))

    def holds(self, session: Session) -> None:
        """Take notice of what a trie holds that was made durable."""
        self._testimony.holds(session)

    async def open_trie(self, session: Session) -> Trie:
        """A trie of the last durable root, or of what is left when that cannot be read."""
        roots = await self._store.roots(session.session_id)
        if roots.sealed is not None:
            raise SessionSealedError("the trie of this session is sealed")
        root = roots.live
        reason = session.unreadable
        if root is None and session.relay_count:
            reason = reason or "its root is gone"
        if reason:
            root = await self._mender.rebuild(session, roots, reason)
        return Trie(await self._take_stock(session, roots, root, rebuilt=bool(reason)))

    async def seal(self, session: Session) -> bytes:
        """Close a session's trie for good and return its root (48 bytes). Repeatable.

        The whole trie is read back before that, once in the life of this process: what is claimed
        can be proven. A damaged one is rebuilt, and what is lost of it is told.

        Raises:
            LeaseLostError, StateError, TrieUnavailableError: nothing was sealed.
        """
        roots = await self._store.roots(session.session_id)
        if roots.sealed is not None:
            return await self._sealed_root(session, roots, roots.sealed)
        root = await self._sound_root(session, roots)
        await self._tell_missing(session)
        if root == EMPTY_ROOT:
            # There is nothing to seal.
            session.verified_root = root
            return root
        # From here on the trie is read by its sealed root only.
        self._tries.drop(self._supplier, session.session_id)
        session.verified_root = await self._store.seal(session.session_id, root)
        self._testimony.forget(session.session_id)
        return session.verified_root

    async def restore(self, session: Session, root: bytes, reason: str) -> bool:
        """Bring a sealed trie back that cannot be read; whether it is that of `root` again.

        Raises:
            LeaseLostError, StateError: it is as it was.
        """
        if session.beyond_repair:
            return False
        roots = await self._store.roots(session.session_id)
        if await self._mender.restore(session, roots, root, reason):
            session.verified_root = root
            return True
        # Leaves that are gone do not come back by the next block.
        session.beyond_repair = True
        return False

    async def _sound_root(self, session: Session, roots: Roots) -> bytes:
        """The root of an open trie that is there as a whole, rebuilt if it was not."""
        session_id = session.session_id
        root = roots.live
        if root is None and not session.relay_count:
            return EMPTY_ROOT
        reason = session.unreadable or "its root is gone"
        if root is not None:
            reason = await self._mender.damage(session, root)
        working = self._tries.get(self._supplier, session_id)
        if reason or (working is not None and working.root != root):
            self._tries.drop(self._supplier, session_id)
        if reason:
            root = await self._mender.rebuild(session, roots, reason)
        return await self._take_stock(session, roots, root, rebuilt=bool(reason))

    async def _sealed_root(self, session: Session, roots: Roots, sealed: bytes) -> bytes:
        """The root of a sealed trie that is there as a whole."""
        if session.verified_root == sealed:
            return sealed
        reason = await self._mender.damage(session, sealed)
        if not reason:
            session.verified_root = sealed
            return sealed
        # Three places hold the root. One that is the root of a sound trie is right.
        for root in roots_of([session.claimed_root, roots.live]):
            if root != sealed and not await self._mender.damage(session, root):
                await self._mender.correct(session, roots, root, reason)
                session.verified_root = root
                return root
        if session.claim_attempt is not None or session.state is not SessionState.CLAIMING:
            # A claim of the sealed root may be on chain, and only that very trie can prove it.
            raise TrieUnavailableError(f"the sealed trie is damaged: {reason}")
        rebuilt = await self._mender.rebuild(session, roots, reason)
        session.claimed_root = None
        session.verified_root = await self._take_stock(session, roots, rebuilt, rebuilt=True)
        await self._tell_missing(session)
        return session.verified_root

    async def _take_stock(
        self, session: Session, roots: Roots, stored: bytes | None, *, rebuilt: bool
    ) -> bytes:
        """Believe what the store holds, and remember what is missing of what it held before.

        A trie that its record is ahead of may have leaves that its root does not reach: so the Go
        miner leaves it. Returns the root, another one if there were such.
        """
        root = stored or EMPTY_ROOT
        missing = shortfall(session, root_count(root), root_sum(root))
        if missing is not None and not rebuilt:
            reason = "the store holds less than it confirmed"
            better = await self._mender.rebuild(session, roots, reason, more_than=root_count(root))
            root = better or root
            missing = shortfall(session, root_count(root), root_sum(root))
        if missing is not None:
            before = session.missing or Missing(0, 0)
            session.missing = Missing(
                before.relays + missing.relays, before.compute_units + missing.compute_units
            )
            session.missing_through = self._testimony.through
            await self._mender.note(session, missing)
        session.relay_count, session.compute_units = root_count(root), root_sum(root)
        session.unreadable = ""
        self._testimony.holds(session)
        return root

    async def _tell_missing(self, session: Session) -> None:
        if session.missing is not None:
            await self._mender.tell(session, session.missing)
            session.missing = None
