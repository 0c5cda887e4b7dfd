"""Damaged tries in the store: reading what is left of one, and putting a rebuilt one in its place.

What is replaced is kept aside for an operator, for a day.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from relayminer.smst import EMPTY_ROOT, root_count, root_sum
from relayminer.state.fence import Fence, load_guarded, run_guarded
from relayminer.state.gojson import format_time
from relayminer.state.tries import Roots, change_words

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from relayminer.smst import Commit
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

STAGE: Final = load_guarded("trie_stage")
INSTALL: Final = load_guarded("trie_install")
DELETE: Final = load_guarded("guarded_delete")
STAGED_SECONDS: Final = 3600
"""Life of nodes that nobody has installed yet."""
QUARANTINE_SECONDS: Final = 86_400
SCAN_COUNT: Final = 500
DIGEST_BYTES: Final = 48


class TrieRepair:
    """The damaged tries of all suppliers."""

    def __init__(
        self,
        redis: Redis,
        names: KeyNames,
        *,
        ttl_seconds: int,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._redis = redis
        self._names = names
        self._ttl_seconds = ttl_seconds
        self._now_ns = now_ns

    async def pages(
        self, supplier: str, session_id: str
    ) -> AsyncGenerator[list[tuple[bytes, bytes]], None]:
        """Everything that is stored as a node: digest (empty: unreadable) and preimage.

        In no order, some perhaps twice. To be closed by who does not read it to the end.
        """
        key = self._names.smst_nodes_key(supplier, session_id)
        cursor: bytes | int = 0
        while True:
            cursor, reply = await self._redis.command("HSCAN", key, cursor, "COUNT", SCAN_COUNT)
            yield [
                (_digest(name), data) for name, data in zip(reply[::2], reply[1::2], strict=True)
            ]
            if int(cursor) == 0:
                return

    async def discard(self, fence: Fence, supplier: str, session_id: str) -> None:
        """Removes what was staged and not installed."""
        key = self._names.smst_damage_key(supplier, session_id, "rebuilt")
        await run_guarded(self._redis, DELETE, fence, [key])

    async def stage(self, fence: Fence, supplier: str, session_id: str, commit: Commit) -> None:
        """Adds a commit of the trie that is being rebuilt to the staged nodes."""
        await run_guarded(
            self._redis,
            STAGE,
            fence,
            [self._names.smst_damage_key(supplier, session_id, "rebuilt")],
            [STAGED_SECONDS, *change_words(commit.changes)],
        )

    async def install(
        self, fence: Fence, supplier: str, session_id: str, *, found: Roots, root: bytes
    ) -> None:
        """Puts the staged nodes and their `root` (48 bytes) in the place of the trie `found`.

        Raises:
            FencedError: another owner has the supplier.
            StaleCommitError: the stored roots are not those any more.
        """
        names = self._names
        await run_guarded(
            self._redis,
            INSTALL,
            fence,
            [
                names.smst_nodes_key(supplier, session_id),
                names.smst_live_root_key(supplier, session_id),
                names.smst_root_key(supplier, session_id),
                names.smst_stats_key(supplier, session_id),
                names.smst_damage_key(supplier, session_id, "rebuilt"),
                names.smst_damage_key(supplier, session_id, "nodes"),
                names.smst_damage_key(supplier, session_id, "roots"),
            ],
            [
                found.live or b"",
                found.sealed or b"",
                b"" if root == EMPTY_ROOT else root,
                f"{root_count(root)}:{root_sum(root)}",
                self._ttl_seconds,
                QUARANTINE_SECONDS,
                format_time(self._now_ns()),
            ],
        )


def _digest(name: bytes) -> bytes:
    """The digest that a field's name stands for; empty when it is none."""
    try:
        digest = bytes.fromhex(name.decode("ascii"))
    except ValueError:
        return b""
    return digest if len(digest) == DIGEST_BYTES else b""
