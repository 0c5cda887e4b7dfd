"""The relay log, reading side: one consumer group of all miners, entries deleted once durable.

An entry is this consumer's from the moment it is read until it is acknowledged. What a consumer
left behind is never lost: its next life reads its own pending entries, and the next owner of the
supplier takes over those of all consumers but itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from relayminer.state.errors import StoreReplyError
from relayminer.state.relay_log import FIELD
from relayminer.state.scripting import chunks, load_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.state.connection import DedicatedConnection
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

DROP_CONSUMER: Final = load_script("consumer_drop")
DEAD_LETTERS_MAX: Final = 10_000
"""Entries that a dead-letter stream keeps, roughly."""
DEAD_LETTER_BYTES_MAX: Final = 262_144
"""A larger entry is named there, but not kept."""
ACKNOWLEDGE_CHUNK: Final = 1000
POLL_SECONDS: Final = 0.1
"""How often the logs are looked at in a cluster, where a read cannot wait for several of them."""
ANSWER_SECONDS: Final = 5.0
"""Time for the answer of a blocking read beyond its own wait."""


@attrs.frozen
class LogEntry:
    """One entry of a relay log.

    Attributes:
        id: such as `1795225579999-0`.
        data: the bytes of the mined relay; None when the entry has no such field or was deleted
            while it was pending. Such an entry can only be acknowledged.
        deliveries: how often it was handed out, where that is known.
    """

    id: bytes
    data: bytes | None = attrs.field(repr=False)
    deliveries: int = 1


@attrs.frozen
class Backlog:
    """How much of a log is waiting: entries in all, and those handed out but not acknowledged."""

    entries: int
    pending: int
    oldest_unix_ms: int = 0
    """When the oldest of them was logged; 0 without one."""


class LogReader:
    """Reads relay logs as one consumer."""

    def __init__(self, redis: Redis, names: KeyNames, consumer: str) -> None:
        self._redis = redis
        self._names = names
        self._group = names.consumer_group
        self.consumer = consumer

    async def ensure_group(self, suppliers: Sequence[str]) -> None:
        """Creates the group, and the stream if need be, from the log's beginning.

        A Go relayer gives a stream an end of life that it never prolongs; that is taken away here,
        so call this now and then.
        """
        for supplier in suppliers:
            key = self._names.stream_key(supplier)
            try:
                await self._redis.command("XGROUP", "CREATE", key, self._group, "0", "MKSTREAM")
            except StoreReplyError as error:
                if error.code != "BUSYGROUP":
                    raise
            await self._redis.command("PERSIST", key)

    async def read_new(
        self,
        connection: DedicatedConnection,
        suppliers: Sequence[str],
        *,
        count: int,
        block_seconds: float,
    ) -> dict[str, list[LogEntry]]:
        """Entries that no consumer has had, at most `count` of each supplier's log.

        Args:
            connection: one of the caller's own (`Redis.dedicated`): the read blocks.
            suppliers: whose logs.
            count: of each log.
            block_seconds: how long to wait when there is nothing; then the result is empty.

        Raises:
            StoreAwayError: entries may have been handed out; they are pending then.
        """
        if not suppliers:
            return {}
        keys = [self._names.stream_key(supplier) for supplier in suppliers]
        if self._redis.is_cluster:
            return await self._poll_new(suppliers, count=count, wait_seconds=block_seconds)
        try:
            # BLOCK 0 would mean for ever.
            block_ms = max(1, int(block_seconds * 1000))
            reply = await connection.command(
                *("XREADGROUP", "GROUP", self._group, self.consumer, "COUNT", str(count)),
                *("BLOCK", str(block_ms), "STREAMS", *keys, *([">"] * len(keys))),
                timeout_seconds=block_seconds + ANSWER_SECONDS,
            )
        except StoreReplyError as error:
            if error.code != "NOGROUP":
                raise
            # Somebody deleted a stream, or it reached the end that a Go relayer had set.
            await self.ensure_group(suppliers)
            return {}
        by_key = dict(zip(keys, suppliers, strict=True))
        return {by_key[key.decode()]: _entries(rows) for key, rows in reply or ()}

    async def _poll_new(
        self, suppliers: Sequence[str], *, count: int, wait_seconds: float
    ) -> dict[str, list[LogEntry]]:
        """As `read_new` in a cluster, where one command cannot read logs of several slots."""
        head = ("XREADGROUP", "GROUP", self._group, self.consumer, "COUNT", str(count), "STREAMS")
        commands = [(*head, self._names.stream_key(supplier), ">") for supplier in suppliers]
        deadline = trio.current_time() + wait_seconds
        while True:
            try:
                replies = await self._redis.pipeline(commands)
            except StoreReplyError as error:
                if error.code != "NOGROUP":
                    raise
                await self.ensure_group(suppliers)
                return {}
            found = {
                supplier: _entries(reply[0][1])
                for supplier, reply in zip(suppliers, replies, strict=True)
                if reply
            }
            if found or trio.current_time() + POLL_SECONDS >= deadline:
                return found
            await trio.sleep(POLL_SECONDS)

    async def read_own_pending(
        self, supplier: str, *, count: int, after: bytes = b"0"
    ) -> list[LogEntry]:
        """Entries handed to this consumer before and not acknowledged, after the id `after`."""
        reply = await self._redis.command(
            *("XREADGROUP", "GROUP", self._group, self.consumer, "COUNT", count),
            *("STREAMS", self._names.stream_key(supplier), after),
        )
        return _entries(reply[0][1]) if reply else []

    async def take_over(
        self, supplier: str, *, count: int, idle_seconds: float = 0.0
    ) -> list[LogEntry]:
        """Makes pending entries of other consumers ours, at most `count`.

        Who holds the supplier's lease is the only one who may read its log, so whatever another
        consumer holds is left over. Call it until it returns nothing. Consumers without pending
        entries are removed on the way.

        Args:
            supplier: operator address.
            count: at most so many.
            idle_seconds: leave alone what was handed out later than this ago.
        """
        key = self._names.stream_key(supplier)
        idle_ms = int(idle_seconds * 1000)
        taken: list[LogEntry] = []
        for consumer, pending in await self._other_consumers(key):
            if not pending:
                await self._redis.script(DROP_CONSUMER, (key,), (self._group, consumer))
                continue
            wanted = count - len(taken)
            if wanted <= 0:
                break
            rows = await self._redis.command(
                "XPENDING", key, self._group, "IDLE", idle_ms, "-", "+", wanted, consumer
            )
            deliveries = {row[0]: row[3] for row in rows}
            for ids in chunks(list(deliveries)):
                reply = await self._redis.command(
                    "XCLAIM", key, self._group, self.consumer, idle_ms, *ids
                )
                # A server of version 6 reports an entry that was deleted while pending as nil; it
                # stays pending and comes back from `read_own_pending` without data.
                taken += [
                    attrs.evolve(entry, deliveries=deliveries.get(entry.id, 0) + 1)
                    for entry in _entries([row for row in reply if row is not None])
                ]
        return taken

    async def acknowledge(self, supplier: str, ids: Sequence[bytes]) -> None:
        """Deletes entries from the log for good; call it after they are durable elsewhere."""
        key = self._names.stream_key(supplier)
        for some in chunks(ids, ACKNOWLEDGE_CHUNK):
            if self._redis.has_xackdel:
                await self._redis.command(
                    "XACKDEL", key, self._group, "DELREF", "IDS", len(some), *some
                )
            else:
                await self._redis.transaction(
                    [("XACK", key, self._group, *some), ("XDEL", key, *some)]
                )

    async def dead_letter(self, supplier: str, entries: Sequence[tuple[LogEntry, str]]) -> None:
        """Moves entries that cannot be used to the dead-letter stream, each with its reason."""
        key = self._names.stream_key(supplier)
        dead = self._names.dead_letter_key(supplier)
        for some in chunks(entries, ACKNOWLEDGE_CHUNK):
            ids = [entry.id for entry, _ in some]
            head = ("XADD", dead, "MAXLEN", "~", DEAD_LETTERS_MAX, "*")
            letters = [
                (*head, "entry", entry.id, "reason", reason, FIELD, _kept(entry))
                for entry, reason in some
            ]
            await self._redis.transaction(
                [
                    *letters,
                    ("XACK", key, self._group, *ids),
                    ("XDEL", key, *ids),
                ]
            )

    async def backlog(self, supplier: str) -> Backlog:
        """How much is waiting in the supplier's log."""
        key = self._names.stream_key(supplier)
        length = await self._redis.command("XLEN", key)
        try:
            summary = await self._redis.command("XPENDING", key, self._group)
        except StoreReplyError as error:
            if error.code != "NOGROUP":
                raise
            summary = [0, None]
        first = summary[1]
        if first is None and int(length):
            entries = await self._redis.command("XRANGE", key, "-", "+", "COUNT", 1)
            first = entries[0][0] if entries else None
        oldest = int(first.partition(b"-")[0]) if first is not None else 0
        return Backlog(int(length), int(summary[0]), oldest)

    async def trim(self, supplier: str, *, older_than_unix_ms: int) -> int:
        """Drops entries older than a moment, read or not; returns how many. For an operator."""
        return int(
            await self._redis.command(
                "XTRIM", self._names.stream_key(supplier), "MINID", f"{older_than_unix_ms}-0"
            )
        )

    async def _other_consumers(self, key: str) -> list[tuple[bytes, int]]:
        """Name and number of pending entries of every consumer but ourselves."""
        rows = await self._redis.command("XINFO", "CONSUMERS", key, self._group)
        facts = [dict(zip(row[::2], row[1::2], strict=True)) for row in rows]
        own = self.consumer.encode()
        return [(one[b"name"], one[b"pending"]) for one in facts if one[b"name"] != own]


def _kept(entry: LogEntry) -> bytes:
    data = entry.data or b""
    return data if len(data) <= DEAD_LETTER_BYTES_MAX else b""


def _entries(rows: Sequence[Any]) -> list[LogEntry]:
    entries = []
    for entry_id, words in rows:
        fields = dict(zip(words[::2], words[1::2], strict=True)) if words else {}
        entries.append(LogEntry(entry_id, fields.get(FIELD.encode())))
    return entries
