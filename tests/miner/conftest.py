"""A store for each test and a rig on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relayminer.testing.store import fresh_store
from tests.miner.harness import Rig, rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def store_url() -> AsyncIterator[str]:
    """The URL of an empty store."""
    async with fresh_store() as url:
        yield url


@pytest.fixture
async def mine(store_url: str) -> AsyncIterator[Rig]:
    """A rig on a fresh store."""
    async with rig(store_url) as one:
        yield one
