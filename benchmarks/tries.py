"""Trie updates with everything that makes them durable, in a real store."""

from __future__ import annotations

import time

import trio

from benchmarks.figures import Figure, at_most
from benchmarks.micro import LEAVES, leaf_key, leaf_value
from relayminer.config.settings import NamespaceSettings
from relayminer.smst import Trie
from relayminer.state.leases import Lease, owner_id
from relayminer.state.names import KeyNames
from relayminer.state.sessions import SessionStore
from relayminer.state.snapshots import Snapshot
from relayminer.state.tries import TrieStore
from relayminer.testing.store import fresh_store, running_gateway

BATCH = 100
WEIGHT = 100
TTL_SECONDS = 7200
SUPPLIER = "pokt1benchmark"
SESSION = "benchmark"


def trie_figures() -> list[Figure]:
    """What an update costs when a batch of 100 is checkpointed into the embedded store."""
    return trio.run(_measure)


async def _measure() -> list[Figure]:
    relays = [(leaf_key(number), leaf_value(number)) for number in range(LEAVES)]
    async with fresh_store() as url, running_gateway(url) as redis:
        names = KeyNames(NamespaceSettings())
        tries = TrieStore(redis, names, ttl_seconds=TTL_SECONDS, session_ttl_seconds=TTL_SECONDS)
        sessions = SessionStore(redis, names, ttl_seconds=TTL_SECONDS)
        lease = Lease(
            redis, names.fence_key(SUPPLIER), names, owner=owner_id("bench"), ttl_seconds=600
        )
        await lease.acquire()
        await sessions.create_if_absent(
            lease.fence,
            Snapshot(
                session_id=SESSION,
                supplier_operator_address=SUPPLIER,
                service_id="develop-http",
                application_address="pokt1application",
                session_start_height=1,
                session_end_height=10,
            ),
        )
        started, cpu_started = time.perf_counter(), time.process_time()
        trie = Trie()
        for first in range(0, LEAVES, BATCH):
            base_root = trie.root
            for key, value in relays[first : first + BATCH]:
                trie.update(key, value, WEIGHT)
            await tries.checkpoint(
                lease.fence,
                SUPPLIER,
                SESSION,
                trie.commit(),
                base_root=base_root,
                relays=BATCH,
                compute_units=BATCH * WEIGHT,
            )
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu_started
        if (await tries.roots(SUPPLIER, SESSION)).live != trie.root:
            raise RuntimeError("the store has another root than the trie")
    return [
        at_most("trie_update_us", elapsed / LEAVES * 1e6, "us", 100),
        Figure("trie_update_cpu_us", cpu / LEAVES * 1e6, "us"),
    ]
