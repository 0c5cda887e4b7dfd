"""Session records that are not there, or not as they should be: made, converted, made again.

A record says of which session a trie is, and how far it has come. The first is in every relay of
the trie, the second on the chain: so a lost record is made again, and the next pass over the
sessions compares it with the chain as it does with every other.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import structlog
from attrs import evolve

from relayminer.miner.entries import session_in
from relayminer.miner.lifecycle import SessionState
from relayminer.smst import EMPTY_ROOT, read_leaf, root_count, root_sum
from relayminer.state.errors import UnreadableValueError
from relayminer.state.snapshots import Snapshot

if TYPE_CHECKING:
    from relayminer.miner.entries import SessionInfo
    from relayminer.miner.sessions import Session
    from relayminer.miner.store import Stores
    from relayminer.state.fence import Fence

NANOSECONDS: Final = 1_000_000_000

_log = structlog.get_logger("relayminer.miner.session_records")


async def opened(stores: Stores, fence: Fence, supplier: str, info: SessionInfo) -> Snapshot:
    """The record of a session: the one that is there, or a new one with what its trie holds."""
    fresh = await _fresh(stores, supplier, info)
    if await stores.sessions.create_if_absent(fence, fresh):
        return fresh
    try:
        stored = await stores.sessions.load(supplier, info.session_id)
    except UnreadableValueError as error:
        _log.error("session record replaced", session_id=info.session_id, reason=str(error))
        await stores.sessions.delete(fence, supplier, [info.session_id])
        await stores.sessions.create_if_absent(fence, fresh)
        return fresh
    return stored if stored is not None else fresh


async def written_again(stores: Stores, fence: Fence, supplier: str, session: Session) -> None:
    """Bring a record into the form in which it can be changed: it has the old one, or is gone."""
    old = await stores.sessions.load(supplier, session.session_id)
    if old is not None:
        await stores.sessions.save(fence, old)
        return
    _log.error("session record made again", supplier=supplier, session_id=session.session_id)
    fresh = await _fresh(stores, supplier, session.info)
    await stores.sessions.create_if_absent(fence, evolve(fresh, state=session.state.value))


async def revived(stores: Stores, fence: Fence, supplier: str, session_id: str) -> Snapshot | None:
    """A new record for a trie whose own cannot be read; None when there is no such trie."""
    roots = await stores.tries.roots(supplier, session_id)
    if roots.live is None and roots.sealed is None:
        return None
    async with aclosing(stores.repairs.pages(supplier, session_id)) as pages:
        async for page in pages:
            for _, preimage in page:
                leaf = read_leaf(preimage)
                info = None if leaf is None else session_in(leaf.value, supplier)
                if info is not None and info.session_id == session_id:
                    await stores.sessions.delete(fence, supplier, [session_id])
                    _log.error(
                        "session record made again", supplier=supplier, session_id=session_id
                    )
                    return await opened(stores, fence, supplier, info)
    return None


async def _fresh(stores: Stores, supplier: str, info: SessionInfo) -> Snapshot:
    """A first record of a session that may have a trie all the same."""
    roots = await stores.tries.roots(supplier, info.session_id)
    root = roots.sealed or roots.live or EMPTY_ROOT
    state = SessionState.ACTIVE if roots.sealed is None else SessionState.CLAIMING
    return Snapshot(
        session_id=info.session_id,
        supplier_operator_address=supplier,
        service_id=info.service_id,
        application_address=info.application_address,
        session_start_height=info.start_height,
        session_end_height=info.end_height,
        state=state.value,
        relay_count=root_count(root),
        total_compute_units=root_sum(root),
        created_at_ns=int(stores.now() * NANOSECONDS),
        claimed_root_hash=roots.sealed or b"",
    )
