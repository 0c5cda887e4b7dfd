"""A fresh embedded store for each test that asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relayminer.testing.store import fresh_store, running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relayminer.state.gateway import Redis


@pytest.fixture
async def store_url() -> AsyncIterator[str]:
    """The URL of an empty store."""
    async with fresh_store() as url:
        yield url


@pytest.fixture
async def redis(store_url: str) -> AsyncIterator[Redis]:
    """A connected gateway to an empty store."""
    async with running_gateway(store_url) as gateway:
        yield gateway
