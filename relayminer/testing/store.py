"""A store of one's own for a test: a real server in a directory that goes away with it."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from relayminer.config.settings import RedisSettings
from relayminer.state.background import background
from relayminer.state.embedded import open_store
from relayminer.state.gateway import Redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def fresh_store(settings: RedisSettings | None = None) -> AsyncIterator[str]:
    """The URL of an empty embedded store that lives as long as the block."""
    with tempfile.TemporaryDirectory(prefix="relayminer-store-") as home:
        async with open_store(settings or RedisSettings(), Path(home)) as url:
            yield url


@asynccontextmanager
async def running_gateway(url: str, settings: RedisSettings | None = None) -> AsyncIterator[Redis]:
    """A connected gateway to the store at `url` that runs as long as the block."""
    redis = Redis(url, settings)
    async with background(redis.run):
        with trio.fail_after(10):
            await redis.wait_connected()
        yield redis
