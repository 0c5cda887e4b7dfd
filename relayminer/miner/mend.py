"""Tries that are not what they should be: found before anything is claimed, rebuilt, told.

A stored trie can lose nodes or have bits flipped, and the store itself can be set back by a
failover. Every node is named by its hash, so damage shows; and a leaf holds its whole relay, whose
hash is its place in the trie. So a trie is rebuilt from the leaves that are left, wherever they
hang: when only nodes above leaves were damaged the very same root comes out. What cannot be had
back is written into the ledger with its worth. The damaged trie is kept aside.
"""

from __future__ import annotations

from contextlib import aclosing
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.chain.errors import ChainError
from relayminer.miner.entries import session_in
from relayminer.miner.records import Step, record
from relayminer.miner.sessions import Look, Missing, Session
from relayminer.protocol.errors import AmountError
from relayminer.protocol.reward import claimed_upokt
from relayminer.smst import (
    EMPTY_ROOT,
    CorruptNodeError,
    Trie,
    children_of,
    is_intact,
    read_leaf,
    root_count,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.miner.facts import ChainFacts
    from relayminer.miner.metrics import MinerMetrics
    from relayminer.miner.store import SupplierStore
    from relayminer.smst import Commit
    from relayminer.state.tries import Roots

NODES_PER_LOOK: Final = 256
"""Nodes that are fetched and checked between two turns of the loop."""
LEAVES_PER_COMMIT: Final = 1000
WORTH_WAIT_SECONDS: Final = 2.0

_log = structlog.get_logger("relayminer.miner.mend")


class Mender:
    """Checks and rebuilds the tries of one supplier."""

    def __init__(
        self, supplier: str, store: SupplierStore, facts: ChainFacts, metrics: MinerMetrics
    ) -> None:
        self._supplier = supplier
        self._store = store
        self._facts = facts
        self._metrics = metrics

    async def damage(self, session: Session, root: bytes) -> str:
        """Why what is stored is not the whole trie of `root` (48 bytes); empty when it is.

        Every node is fetched and hashed once: about 15 us a leaf. When it is cancelled, the next
        call for the same root goes on where it was.
        """
        load = self._store.loader(session.session_id)
        if session.look is None or session.look.root != root:
            session.look = Look(root, [] if root == EMPTY_ROOT else [(root, 0)])
        waiting = session.look.waiting
        while waiting:
            some = waiting[-NODES_PER_LOOK:]
            found = await load([digest for digest, _ in some])
            del waiting[-NODES_PER_LOOK:]
            for digest, depth in some:
                preimage = found.get(digest)
                if not preimage:
                    session.look = None
                    return f"node {digest.hex()} is missing"
                try:
                    waiting += children_of(digest, preimage, depth)
                except CorruptNodeError as error:
                    session.look = None
                    return str(error)
        session.look = None
        return ""

    async def rebuild(
        self, session: Session, found: Roots, reason: str, *, more_than: int = -1
    ) -> bytes | None:
        """Replace a trie by one of the leaves that are left; returns its root.

        What the session had before and has no more is left to the caller to tell.

        Args:
            session: whose trie.
            found: the roots that are stored.
            reason: what is wrong.
            more_than: with no more leaves than these nothing is replaced, and None returned.

        Raises:
            LeaseLostError, StateError: nothing was replaced.
        """
        root = await self._collect(session)
        if root_count(root) <= more_than:
            await self._discard(session.session_id)
            return None
        await self._install(session, found, root, reason)
        return root

    async def restore(self, session: Session, found: Roots, root: bytes, reason: str) -> bool:
        """Bring back a sealed trie, if the leaves that are left are those of `root`.

        Raises:
            LeaseLostError, StateError: nothing was replaced.
        """
        if await self._collect(session) != root:
            await self._discard(session.session_id)
            return False
        await self._install(session, found, root, reason)
        return True

    async def correct(self, session: Session, found: Roots, root: bytes, reason: str) -> None:
        """Put the `root` of a sound trie where another one stands.

        Raises:
            LeaseLostError, StateError: nothing was replaced.
        """
        await self._discard(session.session_id)
        await self._install(session, found, root, reason)

    async def note(self, session: Session, missing: Missing) -> None:
        """Write down that a trie holds less than it did; some of it may come back from the log."""
        _log.error(
            "the store was set back",
            supplier=self._supplier,
            session_id=session.session_id,
            relays=missing.relays,
        )
        worth = await self._worth_upokt(session, missing)
        await self._store.append_records(
            [
                record(
                    Step.SET_BACK,
                    session.info,
                    missing.relays,
                    relays=missing.relays,
                    compute_units=missing.compute_units,
                    reward_upokt=worth,
                    relays_before=session.relay_count,
                )
            ]
        )

    async def tell(self, session: Session, missing: Missing) -> None:
        """Write down relays that were counted and are gone, with what they would have earned."""
        info = session.info
        worth = await self._worth_upokt(session, missing)
        await self._store.append_records(
            [
                record(
                    Step.RELAYS_LOST,
                    info,
                    missing.relays,
                    relays=missing.relays,
                    compute_units=missing.compute_units,
                    reward_upokt=worth,
                    reason="the store lost them after it had confirmed them",
                )
            ]
        )
        rejected = self._metrics.relays_rejected
        service = info.service_id
        rejected.bind(self._supplier, "store_lost", service).value += missing.relays
        lost = self._metrics.lost_upokt.bind(self._supplier, info.service_id, "store_lost")
        lost.value += worth
        _log.error(
            "relays that were counted are lost",
            supplier=self._supplier,
            session_id=info.session_id,
            relays=missing.relays,
            reward_upokt=worth,
        )

    async def _collect(self, session: Session) -> bytes:
        """Stage a trie of all the leaves that are left; returns its root."""
        session_id = session.session_id
        await self._discard(session_id)
        trie, fresh = Trie(), 0
        async with aclosing(self._store.node_pages(session_id)) as pages:
            async for page in pages:
                for digest, preimage in page:
                    leaf = usable_leaf(session, self._supplier, digest, preimage)
                    if leaf is None:
                        continue
                    key, value, weight = leaf
                    trie.update(key, value, weight)
                    fresh += 1
                    if fresh >= LEAVES_PER_COMMIT:
                        await self._stage(session_id, trie.commit())
                        fresh = 0
                await trio.lowlevel.checkpoint()
        if fresh:
            await self._stage(session_id, trie.commit())
        return trie.root

    async def _install(self, session: Session, found: Roots, root: bytes, reason: str) -> None:
        # Told first: when we die in between, the trie is still to be seen as damaged.
        info = session.info
        await self._store.append_records(
            [
                record(
                    Step.TRIE_REBUILT,
                    info,
                    root.hex()[:16],
                    (found.live or b"").hex()[:16],
                    reason=reason,
                    relays_before=session.relay_count,
                    relays=root_count(root),
                    root=root.hex(),
                )
            ]
        )
        supplier = self._supplier
        await self._store.repair(
            lambda repairs, fence: repairs.install(
                fence, supplier, info.session_id, found=found, root=root
            )
        )
        self._metrics.tries_rebuilt.bind(self._supplier).value += 1
        _log.error(
            "a damaged trie was set aside and rebuilt",
            supplier=self._supplier,
            session_id=info.session_id,
            reason=reason,
            relays_before=session.relay_count,
            relays=root_count(root),
        )

    async def _discard(self, session_id: str) -> None:
        await self._store.repair(
            lambda repairs, fence: repairs.discard(fence, self._supplier, session_id)
        )

    async def _stage(self, session_id: str, commit: Commit) -> None:
        await self._store.repair(
            lambda repairs, fence: repairs.stage(fence, self._supplier, session_id, commit)
        )

    async def _worth_upokt(self, session: Session, missing: Missing) -> int:
        """What the missing relays would have earned, uPOKT; 0 when nobody can say."""
        info = session.info
        sums = missing.compute_units.to_bytes(8, "big") + missing.relays.to_bytes(8, "big")
        with trio.move_on_after(WORTH_WAIT_SECONDS):
            try:
                return claimed_upokt(
                    bytes(32) + sums,
                    await self._facts.target(info.service_id, info.start_height),
                    await self._facts.shared_params(info.start_height, info.start_height + 1),
                )
            except (ChainError, AmountError) as error:
                _log.warning("reward is not known", session_id=info.session_id, error=str(error))
        return 0


def usable_leaf(
    session: Session, supplier: str, digest: bytes, preimage: bytes
) -> tuple[bytes, bytes, int] | None:
    """Key, value and weight of a stored leaf of a session; None for whatever else is stored.

    The leaf's path is the hash of its relay's hash, so a relay that fits its path is whole; its
    weight is what the service's relays weigh or, where that is not known, what the node's digest
    vouches for.
    """
    leaf = read_leaf(preimage)
    if leaf is None:
        return None
    key = sha256(leaf.value).digest()
    if sha256(key).digest() != leaf.path:
        return None
    expected = session.compute_units_per_relay
    if leaf.weight != expected if expected else not is_intact(digest, preimage):
        return None
    if session_in(leaf.value, supplier) != session.info:
        return None
    return key, leaf.value, leaf.weight


def shortfall(session: Session, relays: int, compute_units: int) -> Missing | None:
    """What a session lacks of what it had, when its trie holds so much; None: nothing.

    Both counters must say so: one of them alone is a damaged record.
    """
    if relays >= session.relay_count or compute_units >= session.compute_units:
        return None
    return Missing(session.relay_count - relays, session.compute_units - compute_units)


def roots_of(found: Sequence[bytes | None]) -> list[bytes]:
    """The roots among `found`, each once."""
    return list(dict.fromkeys(root for root in found if root))
