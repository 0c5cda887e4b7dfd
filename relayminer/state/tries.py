"""Tries in the store: nodes, live root, claimed root; each commit one atomic step under a fence.

The node hash, the two roots and the stats are the Go implementation's (state 1.6, crypto 6). What
differs is when: nodes, orphans and live root change together at each commit, so the live root is
complete at every moment.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio

from relayminer.smst import EMPTY_ROOT, root_count, root_sum
from relayminer.state.errors import StateError
from relayminer.state.fence import Fence, load_guarded, run_guarded
from relayminer.state.gojson import format_time
from relayminer.state.scripting import chunks
from relayminer.state.snapshots import ROOT_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    from relayminer.smst import Change, Commit
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.telemetry.metrics import Metrics

CHECKPOINT: Final = load_guarded("trie_checkpoint")
SEAL: Final = load_guarded("trie_seal")
DELETE: Final = load_guarded("guarded_delete")
EXPIRE: Final = load_guarded("guarded_expire")
SCAN_COUNT: Final = 1000
GET, SET, REMOVE, FLUSH = "get", "set", "delete", "flush_pipeline"
SUCCESS, NOT_FOUND, ERROR = "success", "not_found", "error"
"""Operations and their results, as the Go miner's metrics call them."""


@attrs.frozen
class Roots:
    """The stored roots of a trie, 48 bytes each; None where there is none."""

    live: bytes | None
    sealed: bytes | None


class TrieMetrics:
    """What tries cost in the store, by the names of the Go miner."""

    def __init__(self, metrics: Metrics) -> None:
        prefix = "ha_smst_redis_"
        self._operations = metrics.counter(
            prefix + "operations",
            "Of tries in the store: get reads nodes, set seals, flush_pipeline is a checkpoint",
            ("operation", "result"),
        )
        self._errors = metrics.counter(
            prefix + "errors", "Operations that failed, by error", ("operation", "error_type")
        )
        self._seconds = metrics.histogram(
            prefix + "operation_duration_seconds",
            "Until the store has answered",
            ("operation",),
            (1e-05, 5e-05, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1),
        )

    @contextmanager
    def watched(self, operation: str) -> Iterator[None]:
        """Counts and times one operation."""
        began, result = trio.current_time(), SUCCESS
        try:
            yield
        except StateError as error:
            self._errors.bind(operation, type(error).__name__).value += 1
            result = ERROR
            raise
        finally:
            self._operations.bind(operation, result).value += 1
            self._seconds.bind(operation).observe(trio.current_time() - began)

    def missed(self, nodes: int) -> None:
        """So many nodes were asked for and are not there."""
        self._operations.bind(GET, NOT_FOUND).value += nodes


class TrieStore:
    """The tries of all suppliers.

    Args:
        redis: where they are.
        names: key names.
        ttl_seconds: of a trie, from each change of it.
        session_ttl_seconds: of the session's record, likewise.
        metrics: where operations are counted; None counts nothing.
        now_ns: nanoseconds since 1970.
    """

    def __init__(
        self,
        redis: Redis,
        names: KeyNames,
        *,
        ttl_seconds: int,
        session_ttl_seconds: int,
        metrics: TrieMetrics | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._redis = redis
        self._names = names
        self._ttl_seconds = ttl_seconds
        self._session_ttl_seconds = session_ttl_seconds
        self._now_ns = now_ns
        self._watched = _unwatched if metrics is None else metrics.watched
        self._metrics = metrics

    async def checkpoint(
        self,
        fence: Fence,
        supplier: str,
        session_id: str,
        commit: Commit,
        *,
        base_root: bytes,
        relays: int,
        compute_units: int,
    ) -> None:
        """Makes a commit durable: nodes, live root and the session's counters, or nothing.

        Args:
            fence: the right to do so.
            supplier: operator address.
            session_id: which session.
            commit: what `Trie.commit` returned.
            base_root: the trie's root before the updates of this commit, as it was loaded from the
                store or left by the checkpoint before (`EMPTY_ROOT`: nothing was stored).
            relays: how many relays the commit adds to the trie.
            compute_units: how many compute units it adds.

        Raises:
            FencedError: another owner has the supplier.
            StaleCommitError: the stored live root is not `base_root`; load the trie again.
            SessionSealedError: the trie is sealed.
            SessionMissingError: there is no session record to count in; create it first.
            LegacySessionError: the record has the old form.
            StoreAwayError: perhaps it was done, perhaps not; load the trie again to know.
        """
        keys = [
            *self._keys(supplier, session_id)[:3],
            self._names.miner_session_key(supplier, session_id),
        ]
        arguments = [
            b"" if base_root == EMPTY_ROOT else base_root,
            commit.root,
            self._ttl_seconds,
            self._session_ttl_seconds,
            relays,
            compute_units,
            format_time(self._now_ns()),
            *change_words(commit.changes),
        ]
        with self._watched(FLUSH):
            await run_guarded(self._redis, CHECKPOINT, fence, keys, arguments)

    async def seal(self, fence: Fence, supplier: str, session_id: str, root: bytes) -> bytes:
        """Closes the trie whose live root is `root`; returns the claimed root.

        The session's counters say what the root holds from then on. Sealing again changes nothing
        and returns the root that was sealed first.

        Raises:
            FencedError: another owner has the supplier.
            StaleCommitError: the stored live root is another one.
        """
        if len(root) != ROOT_BYTES:
            raise StateError(f"a root has {ROOT_BYTES} bytes, not {len(root)}")
        nodes, live, sealed, stats = self._keys(supplier, session_id)
        with self._watched(SET):
            reply: bytes = await run_guarded(
                self._redis,
                SEAL,
                fence,
                [
                    *(nodes, live, sealed, stats),
                    self._names.miner_session_key(supplier, session_id),
                ],
                [
                    root,
                    f"{root_count(root)}:{root_sum(root)}",
                    self._ttl_seconds,
                    root_count(root),
                    root_sum(root),
                ],
            )
        return reply

    async def delete(self, fence: Fence, supplier: str, session_id: str) -> None:
        """Removes all that is stored of a trie."""
        with self._watched(REMOVE):
            await run_guarded(self._redis, DELETE, fence, self._keys(supplier, session_id))

    async def keep_alive(
        self, fence: Fence, supplier: str, session_id: str, ttl_seconds: int
    ) -> None:
        """Lets a trie and its session's record live for `ttl_seconds` from now."""
        keys = [
            *self._keys(supplier, session_id),
            self._names.miner_session_key(supplier, session_id),
            self._names.miner_sessions_index_key(supplier),
        ]
        await run_guarded(self._redis, EXPIRE, fence, keys, [ttl_seconds])

    async def roots(self, supplier: str, session_id: str) -> Roots:
        """The stored roots; one of another length than 48 bytes counts as none."""
        _, live, sealed, _ = self._keys(supplier, session_id)
        found = await self._redis.command("MGET", live, sealed)
        usable = [root if root and len(root) == ROOT_BYTES else None for root in found]
        return Roots(live=usable[0], sealed=usable[1])

    async def stats(self, supplier: str, session_id: str) -> tuple[int, int] | None:
        """Count and sum noted when the trie was sealed."""
        text = await self._redis.command("GET", self._keys(supplier, session_id)[3])
        try:
            count, total = (text or b"").split(b":")
            return int(count), int(total)
        except ValueError:
            return None

    async def load_nodes(
        self, supplier: str, session_id: str, digests: Sequence[bytes]
    ) -> dict[bytes, bytes]:
        """Preimages by digest (48 bytes); those that are missing or empty are left out."""
        nodes = self._keys(supplier, session_id)[0]
        found: dict[bytes, bytes] = {}
        for some in chunks(digests):
            with self._watched(GET):
                replies = await self._redis.command("HMGET", nodes, *[one.hex() for one in some])
            found.update({d: data for d, data in zip(some, replies, strict=True) if data})
        if self._metrics is not None and len(found) < len(digests):
            self._metrics.missed(len(set(digests)) - len(found))
        return found

    async def load_node(self, supplier: str, session_id: str, digest: bytes) -> bytes | None:
        """One preimage; None when it is missing or empty."""
        nodes = self._keys(supplier, session_id)[0]
        data: bytes | None = await self._redis.command("HGET", nodes, digest.hex())
        return data or None

    async def all_nodes(self, supplier: str, session_id: str) -> AsyncIterator[tuple[bytes, bytes]]:
        """Digest and preimage of every stored node, some perhaps twice, in no order."""
        nodes = self._keys(supplier, session_id)[0]
        cursor: bytes | int = 0
        while True:
            cursor, reply = await self._redis.command("HSCAN", nodes, cursor, "COUNT", SCAN_COUNT)
            for digest, data in zip(reply[::2], reply[1::2], strict=True):
                yield bytes.fromhex(digest.decode("ascii")), data
            if int(cursor) == 0:
                return

    def _keys(self, supplier: str, session_id: str) -> list[str]:
        """Nodes, live root, claimed root, stats."""
        names = self._names
        return [
            names.smst_nodes_key(supplier, session_id),
            names.smst_live_root_key(supplier, session_id),
            names.smst_root_key(supplier, session_id),
            names.smst_stats_key(supplier, session_id),
        ]


@contextmanager
def _unwatched(_operation: str) -> Iterator[None]:
    yield


def change_words(changes: Iterable[Change]) -> list[bytes | str | int]:
    """Changes as scripts take them: how many nodes to write, these, and what to remove."""
    writes, removals = split_changes(changes)
    words: list[bytes | str | int] = [len(writes)]
    for digest, preimage in writes.items():
        words += (digest.hex(), preimage)
    return words + [digest.hex() for digest in removals]


def split_changes(changes: Iterable[Change]) -> tuple[dict[bytes, bytes], list[bytes]]:
    """What ordered changes come to: nodes to write, and digests to remove after that."""
    final = {digest: preimage for _, digest, preimage in changes}
    writes = {digest: data for digest, data in final.items() if data is not None}
    return writes, [digest for digest, data in final.items() if data is None]
