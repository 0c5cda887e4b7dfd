"""A node to talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chain.comet_node import CometNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def node() -> AsyncIterator[CometNode]:
    """A CometBFT node without blocks, on a free port."""
    async with CometNode().serve() as serving:
        yield serving
