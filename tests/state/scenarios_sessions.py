"""Recorded scenarios of relays, sessions, trees and submissions, done again by our code."""

from __future__ import annotations

from typing import Any

import attrs

from relayminer.protocol.pb import mined_relay_pb2
from relayminer.smst import EMPTY_ROOT, Trie, root_count
from relayminer.state.log_reader import LogReader
from relayminer.state.relay_log import RelayLog
from relayminer.state.snapshots import Snapshot, read_snapshot
from relayminer.state.submissions import Submission, SubmissionStore, parse_submission
from tests.state.encodings import (
    APPLICATION,
    NAMES,
    SESSION,
    SUPPLIER,
    TIMES,
    Setting,
    keys_of,
    raw,
    same_store,
    same_value,
    snapshot_of,
    stored,
)


async def mined_relay(setting: Setting, case: dict[str, Any]) -> None:
    """Logs the relay, reads it back as a consumer."""
    inputs = dict(case["inputs"])
    for name in ("relay_hash", "relay_bytes"):
        inputs[name] = bytes.fromhex(inputs[name])
    inputs["published_at_unix_nano"] = int(inputs["published_at_unix_nano"])
    message = mined_relay_pb2.MinedRelayMessage(**inputs)
    supplier = inputs["supplier_operator_address"]
    await RelayLog(setting.redis, NAMES).append(supplier, message.SerializeToString())
    await same_store(setting.redis, case)
    reader = LogReader(setting.redis, NAMES, "c")
    await reader.ensure_group([supplier])
    async with setting.redis.dedicated() as connection:
        found = await reader.read_new(connection, [supplier], count=10, block_seconds=0.01)
    (entry,) = found[supplier]
    assert entry.data is not None
    assert mined_relay_pb2.MinedRelayMessage.FromString(entry.data) == message


async def session(setting: Setting, case: dict[str, Any]) -> None:
    """Repeats the operations that the label names."""
    label, sessions, fence = case["label"], setting.sessions, setting.fence
    snapshot = snapshot_of(case["inputs"])
    blank = attrs.evolve(
        snapshot,
        state="active",
        relay_count=0,
        total_compute_units=0,
        claimed_root_hash=b"",
        claim_tx_hash="",
    )
    if "CreateIfAbsent" in label:
        assert await sessions.create_if_absent(fence, snapshot)
        assert not await sessions.create_if_absent(fence, snapshot)
        if "increments" in label:
            for _ in range(3):
                assert await sessions.increment(
                    fence, SUPPLIER, SESSION, relays=1, compute_units=1000
                )
            change = await sessions.update_state(fence, SUPPLIER, SESSION, "claiming")
            assert change.before == "active"
    elif "then Save with claim fields" in label:
        await sessions.save(fence, blank)
        await sessions.save(fence, snapshot)
    elif "optional fields removed" in label:
        claimed = attrs.evolve(
            snapshot,
            state="claimed",
            relay_count=42,
            total_compute_units=42000,
            claimed_root_hash=b"\xff" * 48,
            claim_tx_hash="ABCDEF0123",
        )
        await sessions.save(fence, claimed)
        await sessions.save(fence, snapshot)
    else:
        await sessions.save(fence, snapshot)
    await same_store(setting.redis, case)
    theirs = next(one for one in keys_of(case).values() if one["type"] == "hash")["value"]
    read = read_snapshot({name.encode(): raw(value) for name, value in theirs.items()})
    mine = await sessions.load(SUPPLIER, SESSION)
    assert mine is not None
    assert attrs.evolve(mine, last_updated_at_ns=read.last_updated_at_ns) == read
    assert (await sessions.load_all(SUPPLIER)).sessions == [mine]


async def tree(setting: Setting, case: dict[str, Any]) -> None:
    """Commits each update; then takes over the Go miner's tree and checks it."""
    inputs, tries, fence = case["inputs"], setting.tries, setting.fence
    await setting.sessions.create_if_absent(
        fence,
        Snapshot(
            session_id=SESSION,
            supplier_operator_address=SUPPLIER,
            service_id="svc1",
            application_address=APPLICATION,
            session_start_height=11,
            session_end_height=20,
        ),
    )
    trie = Trie(keep_values=True)
    base = EMPTY_ROOT
    for op in inputs["ops"]:
        trie.update(bytes.fromhex(op["key"]), bytes.fromhex(op["value"]), int(op["weight"]))
        commit = trie.commit()
        await tries.checkpoint(
            fence,
            SUPPLIER,
            SESSION,
            commit,
            base_root=base,
            relays=1,
            compute_units=int(op["weight"]),
        )
        base = commit.root
    keys = keys_of(case)
    nodes = {
        bytes.fromhex(digest): raw(value)
        for digest, value in keys[NAMES.smst_nodes_key(SUPPLIER, SESSION)]["value"].items()
    }
    live = raw(keys[NAMES.smst_live_root_key(SUPPLIER, SESSION)]["value"])
    if "claimed_root" in case:
        assert (await tries.seal(fence, SUPPLIER, SESSION, trie.root)).hex() == case["claimed_root"]
        assert await tries.seal(fence, SUPPLIER, SESSION, trie.root) == trie.root
        found = await stored(setting.redis)
        for key in (NAMES.smst_root_key, NAMES.smst_stats_key):
            name = key(SUPPLIER, SESSION)
            same_value("string", found[name]["value"], keys[name]["value"])
            assert abs(found[name]["ttl_ms"] - keys[name]["ttl_ms"]) < 5000
        assert await tries.stats(SUPPLIER, SESSION) == (12, 6292581)
    if inputs["interval"] == 1:
        await same_store_of_tree(setting, case)
    # All that our trie consists of is in the nodes that the Go miner stored, whatever its interval.
    ours = dict([pair async for pair in tries.all_nodes(SUPPLIER, SESSION)])
    assert ours.items() <= nodes.items()
    # And its last checkpoint is a tree that we can go on with.
    resumed = Trie(live, nodes.get)
    for op in inputs["ops"][: root_count(live)]:
        value, weight = resumed.get(bytes.fromhex(op["key"]))
        assert (value.hex(), weight) == (op["value"], int(op["weight"]))
    if root_count(live) == len(inputs["ops"]):
        assert resumed.root == trie.root


async def same_store_of_tree(setting: Setting, case: dict[str, Any]) -> None:
    """Compares what a tree left, apart from the session that our checkpoints count in."""
    ours = await stored(setting.redis)
    for key, one in keys_of(case).items():
        same_value(one["type"], ours[key]["value"], one["value"])
        assert abs(ours[key]["ttl_ms"] - one["ttl_ms"]) < 5000


async def dedup(setting: Setting, case: dict[str, Any]) -> None:
    """The set of relay hashes: we only name it, nothing of ours depends on it."""
    ((key, one),) = keys_of(case).items()
    assert key == NAMES.miner_dedup_session_key(case["inputs"]["session_id"])
    assert sorted(raw(item).hex() for item in one["value"]) == sorted(
        case["inputs"]["relay_hashes"]
    )
    assert await setting.redis.command("EXISTS", key) == 0


async def submission(setting: Setting, case: dict[str, Any]) -> None:
    """Writes the record in the steps that the label names."""
    store = SubmissionStore(setting.redis, NAMES, ttl_seconds=86400)
    ((_, one),) = keys_of(case).items()
    record = parse_submission(raw(one["value"]))
    proof = {
        name: value
        for name, value in attrs.asdict(record).items()
        if name.startswith("proof_")
        and name not in {"proof_required", "proof_requirement_seed"}
        and not TIMES.fullmatch(name)
        and value
    }
    if "without claim" not in case["label"]:
        defaults: dict[str, Any] = {
            name: attrs.fields_dict(Submission)[name].default for name in proof
        }
        blank = attrs.evolve(record, **defaults, proof_submit_timestamp=0, proof_submit_time_utc="")
        await store.track_claim(blank)
    if proof:
        await store.track_proof(record.supplier, record.session_end, record.session_id, **proof)
    await same_store(setting.redis, case)
    read = await store.load(record.supplier, record.session_end, record.session_id)
    assert read is not None
    assert read.proof_hash == record.proof_hash
    assert await store.all() == await store.all(record.supplier) == [read]
