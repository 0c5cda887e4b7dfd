"""Tries under the names of old, which had no supplier in them (state 1.6, miner 5.8).

Two suppliers of a session wrote into one such trie. So it is taken over only by the supplier whose
record has its root, and only when no other supplier's has. What nobody takes over runs out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from relayminer.state.fence import Fence, load_guarded, run_guarded

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

ADOPT: Final = load_guarded("trie_adopt")

_log = structlog.get_logger("relayminer.state")


async def adopt_old_trie(
    redis: Redis, names: KeyNames, fence: Fence, supplier: str, session_id: str, root: bytes
) -> bool:
    """Takes over a sealed trie that is stored under old names; whether there was one.

    Args:
        redis: the store.
        names: its names; with hash tags there are none of old.
        fence: the right to change the supplier's state.
        supplier: whose record says `root`.
        session_id: which session.
        root: the claimed root, 48 bytes.

    Raises:
        FencedError: another owner has the supplier.
        StateError: nothing was changed.
    """
    old = [names.old_smst_key(session_id, part) for part in ("root", "nodes", "live_root", "stats")]
    if names.hash_tags or await redis.command("GET", old[0]) != root:
        return False
    if others := await _others(redis, names, supplier, session_id, root):
        _log.error("an old trie is claimed by several", session_id=session_id, others=others)
        return False
    new = [
        names.smst_root_key(supplier, session_id),
        names.smst_nodes_key(supplier, session_id),
        names.smst_live_root_key(supplier, session_id),
        names.smst_stats_key(supplier, session_id),
    ]
    adopted = bool(await run_guarded(redis, ADOPT, fence, [*new, *old], [root]))
    if adopted:
        _log.info("an old trie was taken over", supplier=supplier, session_id=session_id)
    return adopted


async def _others(
    redis: Redis, names: KeyNames, supplier: str, session_id: str, root: bytes
) -> list[str]:
    """Records of other suppliers that say the same root."""
    own = names.miner_session_key(supplier, session_id)
    found = []
    async for page in redis.scan(names.miner_session_key("*", session_id)):
        for key in page:
            name = key.decode(errors="replace")
            if name == own or await redis.command("TYPE", key) != b"hash":
                continue
            if await redis.command("HGET", key, "claimed_root_hash") == root:
                found.append(name)
    return found
