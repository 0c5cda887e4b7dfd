"""A real store for the relayers and miners of these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relayminer.config.settings import RedisSettings
from relayminer.state.embedded import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def redis_url(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a private store."""
    async with open_store(RedisSettings(), tmp_path) as url:
        yield url
