"""A real store for these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relayminer.testing.store import fresh_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def redis_url() -> AsyncIterator[str]:
    """The URL of a private store."""
    async with fresh_store() as url:
        yield url
