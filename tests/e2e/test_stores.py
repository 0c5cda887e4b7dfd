"""A whole node on a cluster, and on a primary that is killed under it: relays to settled claims."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.config.settings import RedisSettings
from relayminer.devnet.gateway import Gateway
from relayminer.devnet.http_client import HttpClient
from relayminer.gateway.relays import jsonrpc_payload
from relayminer.miner.records import Step
from relayminer.state.ledger import Ledger
from relayminer.state.names import KeyNames
from relayminer.testing.store import running_gateway
from tests.e2e.hostile import signer
from tests.e2e.node import Node, running_node
from tests.state.servers import HOST, cluster_servers, sentinel_servers

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

RELAYS = 20
MAX_BLOCKS = 60


async def served(node: Node, count: int) -> int:
    """So many relays for one supplier; how many were answered."""
    signing = await signer(node)
    answered = 0
    async with HttpClient() as http:
        gateway = Gateway(signing.key, http)
        for _ in range(count):
            record = await gateway.relay(signing.session, signing.supplier, jsonrpc_payload())
            answered += record.ok
    return answered


async def settled(node: Node, url: str, names: KeyNames, settings: RedisSettings) -> int:
    """Blocks until the session is settled; the relays of its claim, by the ledger."""
    async with running_gateway(url, settings) as redis:
        ledger = Ledger(redis, names)
        for _ in range(MAX_BLOCKS):
            height = await trio.to_thread.run_sync(node.step, 1)
            await trio.to_thread.run_sync(node.catch_up, height)
            await trio.sleep(0.1)
            for supplier in node.info.suppliers:
                lines = [json.loads(one.data) async for one in ledger.iterate(supplier.address)]
                for line in lines:
                    if line["step"] == Step.SETTLED:
                        return int(line["relays"])
    raise AssertionError("nothing was settled")


@pytest.fixture(autouse=True)
def only_in_a_long_run(soak: bool) -> None:
    """Each starts half a dozen processes."""
    if not soak:
        pytest.skip("runs with --soak; in a short run the miner alone does it in tests/state")


def test_a_node_on_a_cluster(tmp_path: Path) -> None:
    """Relayer, miner and leader in one, on three nodes: every answered relay is paid for."""
    with cluster_servers() as servers:
        url = f"redis-cluster://{HOST}:{servers[1].port}"
        settings = RedisSettings(url=url, hash_tags=True)
        sections = {"redis": {"url": url, "hash_tags": True}}
        with running_node(tmp_path, sections=sections) as node:
            answered = trio.run(served, node, RELAYS)
            names = KeyNames(settings.namespace, hash_tags=True)
            paid = trio.run(settled, node, url, names, settings)
    assert paid == answered == RELAYS


async def test_a_node_outlives_its_primary(tmp_path: Path) -> None:
    """`kill -9` of the primary between relays: all are answered, and the session is settled."""
    async with sentinel_servers() as guarded:
        settings = RedisSettings(url=guarded.url)
        sections = {"redis": {"url": guarded.url, "reconnect_backoff_max_seconds": 0.2}}
        context = running_node(tmp_path, sections=sections)
        node = await trio.to_thread.run_sync(context.__enter__)
        try:
            answered = await served(node, RELAYS)
            # What has reached the replica is all there is: this is not about its lag.
            await guarded.servers[0].ask("WAIT", 1, 5_000)
            guarded.servers[0].kill()
            answered += await served(node, RELAYS)
            paid = await settled(node, guarded.url, KeyNames(), settings)
        finally:
            await trio.to_thread.run_sync(partial(context.__exit__, None, None, None))
    assert paid == answered == 2 * RELAYS
