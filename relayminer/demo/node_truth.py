"""What the node has written down about the relays, read from its store."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from relayminer.config.settings import RedisSettings
from relayminer.demo.children import DemoError
from relayminer.service import ServiceGroup
from relayminer.state.embedded import open_store
from relayminer.state.gateway import Redis
from relayminer.state.names import KeyNames
from relayminer.state.tally import TallyStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relayminer.demo.rows import Rows

COUNT_FIELD = "relay_count"
TALLY_TTL_SECONDS = 7200.0
STOP_SECONDS = 5.0


class NodeTruth:
    """Reads the node's sessions and tallies into the rows."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._names = KeyNames()
        self._tallies = TallyStore(redis, self._names, ttl_seconds=TALLY_TTL_SECONDS)

    async def server_pid(self) -> int:
        """Process id of the store's server."""
        info: bytes = await self._redis.command("INFO", "server")
        found = re.search(rb"process_id:(\d+)", info)
        if found is None:
            raise DemoError("the store does not tell its process id")
        return int(found[1])

    async def read(self, rows: Rows) -> None:
        """Fill in what is logged and what is in the tries."""
        for row in rows.all():
            key = self._names.miner_session_key(row.supplier, row.session_id)
            count = await self._redis.command("HGET", key, COUNT_FIELD)
            row.in_trie = int(count or 0)
            row.logged = await self._tallies.logged(row.supplier, row.session_id)


@asynccontextmanager
async def open_node_truth(home: Path) -> AsyncIterator[NodeTruth]:
    """Join the embedded store of the node at `home`."""
    settings = RedisSettings()
    async with open_store(settings, home) as url:
        redis = Redis(url, settings)
        async with ServiceGroup(STOP_SECONDS) as group:
            await group.start(redis)
            yield NodeTruth(redis)
