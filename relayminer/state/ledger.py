"""The ledger: what happened to a supplier's sessions and money, appended, never changed.

A record's id says what it is about, so recording the same fact twice leaves one record, whoever
does it and whenever.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import attrs

from relayminer.state.scripting import chunks, load_script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import Any

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

APPEND: Final = load_script("ledger_append")
TRIM: Final = load_script("ledger_trim")
APPEND_CHUNK: Final = 500
READ_CHUNK: Final = 500
TRIM_CHUNK: Final = 1000


@attrs.frozen
class LedgerRecord:
    """One record.

    Attributes:
        entry_id: its place, such as `1795225579999-0`; the first number is milliseconds since 1970.
        id: what it is about.
        data: its content, JSON by convention.
    """

    entry_id: str
    id: str
    data: bytes


def record_fields(record: LedgerRecord) -> dict[str, Any]:
    """The content of a record; empty when it is no JSON object."""
    try:
        value = json.loads(record.data)
    except (TypeError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


class Ledger:
    """The ledgers of all suppliers."""

    def __init__(self, redis: Redis, names: KeyNames) -> None:
        self._redis = redis
        self._names = names

    async def append(self, supplier: str, records: Sequence[tuple[str, bytes]]) -> int:
        """Appends records (id, content), each once ever; returns how many were new.

        No lease is asked for: a fact stays a fact, whoever wrote it down.
        """
        added = 0
        for some in chunks(records, APPEND_CHUNK):
            words = [word for pair in some for word in pair]
            added += int(await self._redis.script(APPEND, self._keys(supplier), words))
        return added

    async def read(
        self, supplier: str, *, after: str = "", count: int = READ_CHUNK
    ) -> list[LedgerRecord]:
        """Up to `count` records in order, those after the entry id `after`."""
        start = f"({after}" if after else "-"
        key = self._names.ledger_key(supplier)
        return _records(await self._redis.command("XRANGE", key, start, "+", "COUNT", count))

    async def newest(
        self, supplier: str, *, before: str = "", count: int = READ_CHUNK
    ) -> list[LedgerRecord]:
        """Up to `count` records, the newest first, those before the entry id `before`."""
        end = f"({before}" if before else "+"
        key = self._names.ledger_key(supplier)
        return _records(await self._redis.command("XREVRANGE", key, end, "-", "COUNT", count))

    async def iterate(self, supplier: str, *, after: str = "") -> AsyncIterator[LedgerRecord]:
        """Every record in order, after the entry id `after`."""
        while records := await self.read(supplier, after=after):
            for record in records:
                yield record
            after = records[-1].entry_id

    async def length(self, supplier: str) -> int:
        """How many records there are."""
        return int(await self._redis.command("XLEN", self._names.ledger_key(supplier)))

    async def trim(self, supplier: str, *, keep: int) -> int:
        """Drops the oldest records beyond `keep`, with their ids; returns how many."""
        dropped = 0
        while some := int(await self._redis.script(TRIM, self._keys(supplier), (keep, TRIM_CHUNK))):
            dropped += some
        return dropped

    def _keys(self, supplier: str) -> tuple[str, str]:
        return self._names.ledger_key(supplier), self._names.ledger_ids_key(supplier)


def _records(rows: Sequence[Any]) -> list[LedgerRecord]:
    records = []
    for entry_id, words in rows:
        fields = dict(zip(words[::2], words[1::2], strict=True))
        records.append(
            LedgerRecord(entry_id.decode(), fields[b"id"].decode(), fields.get(b"data", b""))
        )
    return records
