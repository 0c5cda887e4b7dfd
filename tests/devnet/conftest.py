"""A running devnet on free ports, its blocks made by command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relayminer.devnet.http_client import HttpClient
from relayminer.devnet.options import DevnetOptions
from relayminer.devnet.server import Devnet, run_devnet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import trio


def options(home: Path) -> DevnetOptions:
    """Free ports, no clock."""
    return DevnetOptions(
        home=home,
        block_time_seconds=None,
        rpc_port=0,
        grpc_port=0,
        control_port=0,
        backend_port=0,
        with_backend=True,
        subscription_buffer=20,
        write_buffer=5,
    )


@pytest.fixture
async def devnet(tmp_path: Path, nursery: trio.Nursery) -> Devnet:
    """A devnet at height 1; the test's nursery ends it."""
    running: Devnet = await nursery.start(run_devnet, options(tmp_path))
    return running


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """An HTTP client."""
    async with HttpClient() as client:
        yield client
