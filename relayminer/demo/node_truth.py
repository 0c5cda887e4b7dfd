"""What the node has written down about the relays, read from its store."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from relayminer.config.settings import RedisSettings
from relayminer.demo.children import DemoError
from relayminer.service import ServiceGroup
from relayminer.state.embedded import open_store
from relayminer.state.gateway import Redis
from relayminer.state.ledger import Ledger, record_fields
from relayminer.state.names import KeyNames
from relayminer.state.tally import TallyStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from relayminer.demo.rows import Rows

SKIPPED = "skipped"
UNPROFITABLE = "unprofitable"
COUNT_FIELD = "relay_count"
TALLY_TTL_SECONDS = 7200.0
STOP_SECONDS = 5.0


class NodeTruth:
    """Reads the node's sessions and tallies into the rows."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._names = KeyNames()
        self._ledger = Ledger(redis, self._names)
        self._tallies = TallyStore(redis, self._names, ttl_seconds=TALLY_TTL_SECONDS)

    async def server_pid(self) -> int:
        """Process id of the store's server."""
        info: bytes = await self._redis.command("INFO", "server")
        found = re.search(rb"process_id:(\d+)", info)
        if found is None:
            raise DemoError("the store does not tell its process id")
        return int(found[1])

    async def read(self, rows: Rows) -> None:
        """Fill in what is logged, what is in the tries, and why nothing was claimed."""
        for row in rows.all():
            key = self._names.miner_session_key(row.supplier, row.session_id)
            count = await self._redis.command("HGET", key, COUNT_FIELD)
            row.in_trie = int(count or 0)
            row.logged = await self._tallies.logged(row.supplier, row.session_id)
        for supplier in {row.supplier for row in rows.all()}:
            async for line in self._ledger.iterate(supplier):
                facts = record_fields(line)
                row_of = rows.get(supplier, str(facts.get("session_id")))
                if row_of is not None and facts.get("step") == SKIPPED:
                    row_of.skipped = why_skipped(facts)


def why_skipped(facts: Mapping[str, Any]) -> str:
    """A ledger's line about a claim that was not made, in words."""
    reason, relays = facts.get("reason"), facts.get("relays", 0)
    if reason != UNPROFITABLE:
        return f"no claim was made of {relays} relays: {reason}"
    return (
        f"no claim was made: {relays} relays would earn {facts.get('reward_upokt', 0):,} uPOKT, "
        f"and claim and proof would cost {facts.get('cost_upokt', 0):,} uPOKT in fees; send more "
        "(--relays-per-row)"
    )


@asynccontextmanager
async def open_node_truth(home: Path) -> AsyncIterator[NodeTruth]:
    """Join the embedded store of the node at `home`."""
    settings = RedisSettings()
    async with open_store(settings, home) as url:
        redis = Redis(url, settings)
        async with ServiceGroup(STOP_SECONDS) as group:
            await group.start(redis)
            yield NodeTruth(redis)
