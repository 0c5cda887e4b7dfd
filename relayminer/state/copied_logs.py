"""A shadow's view of the relay logs of a running fleet: copied as they come, into logs of its own.

The fleet deletes an entry as soon as its relay is durable, milliseconds after it was written, and
deleting takes it away from every consumer group. What saves the shadow is that a server serves all
readers that wait for a log before it executes the next command: who waits when an entry is written
gets it, whatever the fleet does with it afterwards. So there is always a reader of ours that
waits, and each of them copies what it got before it waits again. Entries that were gone before can
be counted where the server tells how many were ever added (Redis 7, Valkey).

In the fleet's keys the shadow leaves a consumer group and nothing else; without acknowledgement,
so it holds nothing back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from relayminer.state.errors import StoreReplyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relayminer.state.connection import DedicatedConnection
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

ANSWER_SECONDS: Final = 5.0
_SEEN: Final = "seen"
_BEFORE: Final = "before"
_SINCE_HEIGHT: Final = "since_height"


@frozen
class Copied:
    """What was copied of one supplier's log.

    Attributes:
        since_height: last committed block when copying began; sessions that were open then may
            lack relays.
        seen: entries that were copied.
        missed: entries that were gone before they could be; None when the server does not tell.
    """

    since_height: int
    seen: int
    missed: int | None


class CopiedLogs:
    """Copies logs of `theirs` into logs of `own` names.

    Args:
        redis: the running gateway.
        theirs: the fleet's names.
        own: names of the shadow, another base prefix.
    """

    def __init__(self, redis: Redis, theirs: KeyNames, own: KeyNames) -> None:
        self._redis = redis
        self._theirs = theirs
        self._own = own
        self._group = own.consumer_group

    async def begin(self, supplier: str, height: int) -> None:
        """Make sure that a log can be read, from what is still in it on; harmless when repeated."""
        key = self._theirs.stream_key(supplier)
        try:
            await self._redis.command("XGROUP", "CREATE", key, self._group, "0", "MKSTREAM")
        except StoreReplyError as error:
            if error.code != "BUSYGROUP":
                raise
        counts = self._own.shadow_counts_key(supplier)
        added, length = await self._added(key)
        await self._redis.pipeline(
            [
                ("HSETNX", counts, _BEFORE, added - length),
                ("HSETNX", counts, _SINCE_HEIGHT, height),
            ]
        )

    async def read(
        self,
        connection: DedicatedConnection,
        suppliers: Sequence[str],
        *,
        consumer: str,
        count: int,
        block_seconds: float,
    ) -> Mapping[str, Sequence[bytes]]:
        """New entries by supplier, waiting for the first one; they are in no pending list.

        Raises:
            StoreReplyError: `NOGROUP` when a log was deleted; begin it again.
        """
        keys = [self._theirs.stream_key(supplier) for supplier in suppliers]
        reply = await connection.command(
            *("XREADGROUP", "GROUP", self._group, consumer, "COUNT", str(count)),
            *("BLOCK", str(max(1, int(block_seconds * 1000))), "NOACK"),
            *("STREAMS", *keys, *([">"] * len(keys))),
            timeout_seconds=block_seconds + ANSWER_SECONDS,
        )
        by_key = dict(zip(keys, suppliers, strict=True))
        return {by_key[key.decode()]: _data(rows) for key, rows in reply or ()}

    async def write(self, entries: Mapping[str, Sequence[bytes]]) -> None:
        """Append entries to the shadow's logs and count them."""
        commands: list[tuple[Any, ...]] = []
        for supplier, some in entries.items():
            key = self._own.stream_key(supplier)
            commands += [("XADD", key, "*", "data", data) for data in some]
            counts = self._own.shadow_counts_key(supplier)
            commands.append(("HINCRBY", counts, _SEEN, len(some)))
        await self._redis.pipeline(commands)

    async def copied(self, supplier: str) -> Copied:
        """How complete the copy of a log is; entries on their way count as missed."""
        counts = self._own.shadow_counts_key(supplier)
        seen, before, since = await self._redis.command(
            "HMGET", counts, _SEEN, _BEFORE, _SINCE_HEIGHT
        )
        added, _ = await self._added(self._theirs.stream_key(supplier))
        missed = None
        if added and before is not None:
            missed = max(0, added - int(before) - int(seen or 0))
        return Copied(int(since or 0), int(seen or 0), missed)

    async def end(self, suppliers: Sequence[str]) -> None:
        """Take the consumer groups out of the fleet's logs, and begin to count anew next time."""
        for supplier in suppliers:
            key = self._theirs.stream_key(supplier)
            await self._redis.command("XGROUP", "DESTROY", key, self._group)
            await self._redis.command("DEL", self._own.shadow_counts_key(supplier))

    async def _added(self, key: str) -> tuple[int, int]:
        """How many entries were ever added (0: the server does not tell), and how many are left."""
        try:
            reply = await self._redis.command("XINFO", "STREAM", key)
        except StoreReplyError:
            return 0, 0
        facts = dict(zip(reply[::2], reply[1::2], strict=True))
        return int(facts.get(b"entries-added") or 0), int(facts.get(b"length") or 0)


def _data(rows: Sequence[Any]) -> list[bytes]:
    found = []
    for _, words in rows:
        fields = dict(zip(words[::2], words[1::2], strict=True)) if words else {}
        found.append(fields.get(b"data", b""))
    return found
