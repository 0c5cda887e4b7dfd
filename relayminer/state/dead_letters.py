"""Log entries that could not be used: to be looked at, and to be tried again.

What was refused for a reason that has gone (a chain that was misread, an older miner) goes back
into the log and is counted as if it had just been logged; a relay that is in its trie already
changes nothing there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from relayminer.state.scripting import chunks, load_script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

REPLAY: Final = load_script("dead_letter_replay")
READ_CHUNK: Final = 200
REPLAY_CHUNK: Final = 100


@frozen
class DeadLetter:
    """One of them.

    Attributes:
        id: its own, such as `1795225579999-0`; the first number is when it was refused, in
            milliseconds since 1970.
        entry_id: the one that it had in the log.
        reason: why it was refused.
        data: the entry; empty when it had none, or was too large to be kept.
    """

    id: str
    entry_id: str
    reason: str
    data: bytes = field(repr=False)


class DeadLetters:
    """The dead letters of all suppliers."""

    def __init__(self, redis: Redis, names: KeyNames) -> None:
        self._redis = redis
        self._names = names

    async def suppliers(self) -> list[str]:
        """Every supplier that has dead letters, sorted."""
        head, _, tail = self._names.dead_letter_key("*").partition("*")
        found: set[str] = set()
        async for page in self._redis.scan(f"{head}*{tail}"):
            keys = [key.decode() for key in page]
            found.update(key.removeprefix(head).removesuffix(tail) for key in keys)
        return sorted(found)

    async def count(self, supplier: str) -> int:
        """How many a supplier has."""
        return int(await self._redis.command("XLEN", self._names.dead_letter_key(supplier)))

    async def read(self, supplier: str) -> AsyncIterator[DeadLetter]:
        """A supplier's letters, the oldest first."""
        key, start = self._names.dead_letter_key(supplier), "-"
        while True:
            rows = await self._redis.command("XRANGE", key, start, "+", "COUNT", READ_CHUNK)
            for entry_id, words in rows:
                fields = dict(zip(words[::2], words[1::2], strict=True))
                yield DeadLetter(
                    entry_id.decode(),
                    fields.get(b"entry", b"").decode(errors="replace"),
                    fields.get(b"reason", b"").decode(errors="replace"),
                    fields.get(b"data", b""),
                )
            if len(rows) < READ_CHUNK:
                return
            start = f"({rows[-1][0].decode()}"

    async def replay(self, supplier: str, ids: Sequence[str]) -> int:
        """Puts letters back into the supplier's log; returns how many.

        Those that are gone, or have no data, are left out.
        """
        keys = (self._names.dead_letter_key(supplier), self._names.stream_key(supplier))
        replayed = 0
        for some in chunks(ids, REPLAY_CHUNK):
            replayed += int(await self._redis.script(REPLAY, keys, some))
        return replayed
