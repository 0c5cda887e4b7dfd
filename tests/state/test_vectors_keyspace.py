"""The keyspace of a real Go fleet, put into a store of ours and taken over (`localnet/`)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from relayminer.protocol.pb import application_pb2, proof_pb2, session_pb2, shared_pb2
from relayminer.smst import Trie
from relayminer.state import json_forms
from relayminer.state.leases import Lease
from relayminer.state.living import LivingMiners
from relayminer.state.log_reader import LogReader
from relayminer.state.meter import MeterStore
from relayminer.state.names import KeyNames
from relayminer.state.sessions import SessionStore
from relayminer.state.submissions import SubmissionStore
from relayminer.state.suppliers import SupplierRegistry, SupplierStates
from relayminer.state.tries import TrieStore
from tests.vector_data import load

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis
    from relayminer.state.snapshots import Snapshot

pytestmark = pytest.mark.vectors

NAMES = KeyNames()
FILES = ("localnet/keyspace_mid_session.json", "localnet/keyspace_after_settlement.json")
MEMBERS_KEPT = 400


def plain(text: str) -> bytes:
    """The bytes of a recorded value."""
    return base64.b64decode(text)


async def restore(redis: Redis, keys: dict[str, dict[str, Any]]) -> None:
    """Writes the recorded keyspace; streams get their group, they were empty."""
    commands: list[tuple[Any, ...]] = []
    for key, one in keys.items():
        if one["type"] == "string":
            commands.append(("SET", key, plain(one["value"])))
        elif one["type"] == "set":
            commands.append(("SADD", key, *map(plain, one["members"])))
        elif one["type"] == "hash":
            words = [plain(word) for pair in one["fields"] for word in pair]
            commands.append(("HSET", key, *words))
        else:
            commands.append(("XGROUP", "CREATE", key, one["groups"][0]["name"], "0", "MKSTREAM"))
        if one["pttl_ms"] >= 0:
            commands.append(("PEXPIRE", key, one["pttl_ms"]))
    await redis.pipeline(commands)


def ids(keys: dict[str, Any], prefix: str) -> list[str]:
    """What follows `prefix` in the recorded names."""
    return sorted(key.removeprefix(prefix) for key in keys if key.startswith(prefix))


async def check_trie(redis: Redis, snapshot: Snapshot, keys: dict[str, Any]) -> int:
    """Loads a session's trie by its root, and by every node that was recorded of it."""
    supplier, session_id = snapshot.supplier_operator_address, snapshot.session_id
    tries = TrieStore(redis, NAMES, ttl_seconds=7200, session_ttl_seconds=7200)
    roots = await tries.roots(supplier, session_id)
    if roots.live is None:
        return 0
    if keys[NAMES.smst_nodes_key(supplier, session_id)]["length"] > MEMBERS_KEPT:
        return 0
    nodes = dict([pair async for pair in tries.all_nodes(supplier, session_id)])
    assert await tries.load_nodes(supplier, session_id, list(nodes)) == nodes
    root = roots.sealed or roots.live
    trie = Trie(root, nodes.get)
    proof = trie.prove_closest(b"\x55" * 32)
    assert proof is not None
    if roots.sealed is not None:
        assert snapshot.claimed_root_hash in (b"", roots.sealed)
        assert await tries.stats(supplier, session_id) == (trie.count, trie.sum)
    assert 0 < trie.count <= snapshot.relay_count
    return 1


@pytest.mark.parametrize("file", FILES)
async def test_a_go_fleet_can_be_taken_over(redis: Redis, file: str) -> None:
    """Every session, trie, supplier, meter and record of the fleet must be readable."""
    keys = load(file)["keys"]
    await restore(redis, keys)
    suppliers = ids(keys, "ha:suppliers:pokt")
    suppliers = [f"pokt{rest}" for rest in suppliers]
    loaded = [
        await SessionStore(redis, NAMES, ttl_seconds=7200).load_all(supplier)
        for supplier in suppliers
    ]
    assert all(not one.missing and not one.unreadable for one in loaded)
    snapshots = [snapshot for one in loaded for snapshot in one.sessions]
    hashes = [key for key, one in keys.items() if one["type"] == "hash" and ":sessions:" in key]
    assert len(snapshots) == len(hashes)
    checked = [await check_trie(redis, snapshot, keys) for snapshot in snapshots]
    assert sum(checked) == len(
        [
            key
            for key, one in keys.items()
            if key.startswith("ha:smst:")
            and key.endswith(":nodes")
            and one["length"] <= MEMBERS_KEPT
        ]
    )
    assert [one.operator_address for one in await SupplierStates(redis, NAMES).all()] == suppliers
    entries = await SupplierRegistry(redis, NAMES).all()
    assert [one.operator_address for one in entries] == suppliers
    records = await SubmissionStore(redis, NAMES, ttl_seconds=1).all()
    assert len(records) == len(ids(keys, "ha:tx:track:"))
    meters = [key.split(":")[2:4] for key in keys if key.endswith(":meta")]
    store = MeterStore(redis, NAMES, ttl_seconds=60)
    for session_id, supplier in meters:
        meta = await store.read(session_id, supplier)
        assert meta is not None
        assert await store.consumed(session_id, supplier) <= meta.max_stake_upokt


@pytest.mark.parametrize("file", FILES)
async def test_leases_and_logs_of_a_go_fleet(redis: Redis, file: str) -> None:
    """A Go miner's lease keeps us off until it ends; then its log is ours."""
    keys = load(file)["keys"]
    await restore(redis, keys)
    supplier = ids(keys, "ha:miner:claim:")[0]
    lease = Lease(redis, NAMES.miner_claim_key(supplier), NAMES, owner="ours", ttl_seconds=5)
    assert not await lease.acquire()
    holder = await lease.holder()
    assert holder is not None
    assert holder.owner == "miner-a"
    living = await LivingMiners(redis, NAMES).meet("ours", 5, [supplier])
    assert living == {"miner-a": None, "ours": {supplier}}
    await redis.command("DEL", NAMES.miner_claim_key(supplier))
    assert await lease.acquire()
    reader = LogReader(redis, NAMES, "ours")
    await reader.ensure_group([supplier])
    assert await redis.command("PTTL", NAMES.stream_key(supplier)) == -1
    assert await reader.take_over(supplier, count=10) == []
    await redis.command("XADD", NAMES.stream_key(supplier), "*", "data", "x")
    async with redis.dedicated() as connection:
        new = await reader.read_new(connection, [supplier], count=5, block_seconds=0.01)
    assert [entry.data for entry in new[supplier]] == [b"x"]


@pytest.mark.parametrize("file", FILES)
def test_cache_entries_of_a_go_fleet(file: str) -> None:
    """Every cached value of the fleet is readable, and the JSON ones come out the same again."""
    keys = load(file)["keys"]
    prefixes: dict[str, tuple[Any, bool]] = {
        "ha:cache:session:": (session_pb2.Session, True),
        "ha:cache:params:shared:": (shared_pb2.Params, True),
        "ha:cache:application:": (application_pb2.Application, False),
        "ha:cache:service:": (shared_pb2.Service, False),
        "ha:cache:proof_params": (proof_pb2.Params, False),
    }
    read = 0
    for key, one in keys.items():
        for prefix, (kind, is_json) in prefixes.items():
            if not key.startswith(prefix):
                continue
            data = plain(one["value"])
            if is_json:
                message = json_forms.parse_message(kind, data)
                assert json_forms.message_json(message) == data, key
            else:
                assert kind.FromString(data).SerializeToString(deterministic=True) == data, key
            read += 1
    text = plain(keys[NAMES.params_supplier_key]["value"])
    assert json_forms.supplier_params_json(json_forms.parse_supplier_params(text)) == text
    assert read > 10
