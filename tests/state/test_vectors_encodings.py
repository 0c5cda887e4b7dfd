"""What we write and read against what the Go components left in Redis (`redis_encodings.json`)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from relayminer.protocol.pb import mined_relay_pb2, session_pb2, shared_pb2, supplier_pb2
from relayminer.smst import EMPTY_ROOT, Trie, root_count
from relayminer.state import gojson, json_forms
from relayminer.state.block_events import BlockEvent, BlockEvents, parse_block_event
from relayminer.state.leases import Lease
from relayminer.state.log_reader import LogReader
from relayminer.state.meter import MeterMeta, MeterStore, parse_cleanup, parse_meter_meta
from relayminer.state.names import KeyNames
from relayminer.state.rebroadcast import (
    Group,
    Rebroadcast,
    RebroadcastStore,
    parse_rebroadcast,
    rebroadcast_json,
)
from relayminer.state.relay_log import RelayLog
from relayminer.state.service_factors import ServiceFactorStore, parse_factor
from relayminer.state.sessions import SessionStore
from relayminer.state.snapshots import Snapshot, read_snapshot
from relayminer.state.submissions import Submission, SubmissionStore, parse_submission
from relayminer.state.subscription import Gap, Message
from relayminer.state.suppliers import (
    SupplierRegistry,
    SupplierState,
    SupplierStates,
    parse_registry_entry,
    parse_supplier_state,
    supplier_state_json,
)
from relayminer.state.tries import TrieStore
from relayminer.testing.store import fresh_store, running_gateway
from tests.vector_data import load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from relayminer.state.fence import Fence
    from relayminer.state.gateway import Redis

pytestmark = pytest.mark.vectors

NAMES = KeyNames()
TTL = 7200
SUPPLIER = "pokt13glg2nyw2s9wp40h2ae6r5akxwjy7sw4vz7lka"
SESSION = "92224f3ef51c275269d1cca73d69a4aa0265c37f26b5fa3464f86d35ca94bd2b"
APPLICATION = "pokt1v42qnwuxat4lkdc6t6tlrgzfjvpmes9mmz6gfh"

# Values of these names are times of the recording.
TIMES = re.compile(
    r"(last_updated_at|last_updated|updated_at|created_at|[a-z_]*_timestamp|[a-z_]*_time_utc)"
)


def cases() -> list[dict[str, Any]]:
    """Every recorded scenario."""
    found: list[dict[str, Any]] = load("redis_encodings.json")["cases"]
    return found


def raw(value: Any) -> bytes:
    """The bytes that a recorded value stands for."""
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value.encode()


def keys_of(case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The keys that a scenario left."""
    return {key["key"]: key for key in case["keys"] or ()}


def masked(data: bytes) -> Any:
    """A JSON text with the recording's times replaced by their form, else the bytes."""
    try:
        pairs = json.loads(data, object_pairs_hook=list)
    except ValueError:
        return data
    return mask(pairs)


def mask(value: Any) -> Any:
    """Replaces times by their types, everywhere; keeps the order of names."""
    if isinstance(value, list):
        return [
            (item[0], type(item[1]).__name__ if item[1] else item[1])
            if isinstance(item, tuple) and isinstance(item[0], str) and TIMES.fullmatch(item[0])
            else (item[0], mask(item[1]))
            if isinstance(item, tuple)
            else mask(item)
            for item in value
        ]
    return value


async def stored(redis: Redis) -> dict[str, dict[str, Any]]:
    """Every key in the store but our own counters of fencing tokens and leases."""
    found: dict[str, dict[str, Any]] = {}
    for name in await redis.command("KEYS", "*"):
        key = name.decode()
        if key.startswith(("ha:fence:", "ha:miner:claim:", "ha:last_block")):
            continue
        kind = (await redis.command("TYPE", key)).decode()
        read = {
            "string": ("GET", key),
            "hash": ("HGETALL", key),
            "set": ("SMEMBERS", key),
            "stream": ("XRANGE", key, "-", "+"),
        }[kind]
        found[key] = {
            "type": kind,
            "ttl_ms": await redis.command("PTTL", key),
            "value": await redis.command(*read),
        }
    return found


def same_value(kind: str, ours: Any, theirs: Any) -> None:
    """Fails unless our value of a key has the recorded form."""
    if kind == "string":
        assert masked(ours) == masked(raw(theirs))
    elif kind == "set":
        assert sorted(ours) == sorted(map(raw, theirs))
    elif kind == "hash":
        fields = dict(zip(ours[::2], ours[1::2], strict=True))
        assert sorted(fields) == sorted(name.encode() for name in theirs)
        for name, value in theirs.items():
            mine = fields[name.encode()]
            if name == "last_updated_at":
                assert gojson.format_time(gojson.parse_time(mine.decode())) == mine.decode()
            else:
                assert masked(mine) == masked(raw(value)), name
    else:
        recorded = [[raw(word) for word in entry["fields"]] for entry in theirs]
        assert [fields for _, fields in ours] == recorded


async def same_store(redis: Redis, case: dict[str, Any], skip: tuple[str, ...] = ()) -> None:
    """Fails unless the store holds what the scenario left."""
    theirs = {key: one for key, one in keys_of(case).items() if not key.startswith(skip or "\0")}
    ours = await stored(redis)
    assert sorted(ours) == sorted(theirs)
    for key, one in theirs.items():
        assert ours[key]["type"] == one["type"]
        same_value(one["type"], ours[key]["value"], one["value"])
        if one["type"] == "stream":
            # Deliberate: the reference lets a log expire with all that nobody has read (9.1 no. 3).
            assert ours[key]["ttl_ms"] == -1
        elif one["ttl_ms"]:
            assert one["ttl_ms"] - 5000 < ours[key]["ttl_ms"] <= one["ttl_ms"], key
        else:
            assert ours[key]["ttl_ms"] == -1, key


@attrs.frozen
class Setting:
    """What a scenario runs in."""

    redis: Redis
    fence: Fence

    @property
    def sessions(self) -> SessionStore:
        """The sessions."""
        return SessionStore(self.redis, NAMES, ttl_seconds=TTL)

    @property
    def tries(self) -> TrieStore:
        """The tries."""
        return TrieStore(self.redis, NAMES, ttl_seconds=TTL, session_ttl_seconds=TTL)


def snapshot_of(inputs: dict[str, Any]) -> Snapshot:
    """The snapshot that a scenario's inputs describe."""
    values = {key: value for key, value in inputs.items() if not key.endswith("_at")}
    values["claimed_root_hash"] = bytes.fromhex(inputs["claimed_root_hash"])
    return Snapshot(created_at_ns=gojson.parse_time(inputs["created_at"]), **values)


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


async def rebroadcast(setting: Setting, case: dict[str, Any]) -> None:
    """Puts the entry, reads it back, deletes it."""
    inputs = case["inputs"]
    store = RebroadcastStore(setting.redis, NAMES)
    entry = Rebroadcast(
        message=bytes.fromhex(inputs["message"]),
        submit_height=inputs["submit_height"],
        tx_hash=inputs["tx_hash"],
        original_tx_hash=inputs["original_tx_hash"],
        service_id=inputs["service_id"],
        resends=inputs["rebroadcasts"],
    )
    group = Group(inputs["supplier"], inputs["session_end"])
    phase, session_id = inputs["phase"], inputs["session_id"]
    await store.put(setting.fence, phase, group, session_id, entry)
    await same_store(setting.redis, case)
    assert parse_rebroadcast(rebroadcast_json(entry)) == entry
    assert await store.groups(phase) == [group]
    assert await store.load(phase, group) == ({session_id: entry}, [])
    await store.delete(setting.fence, phase, group, [session_id])
    assert await stored(setting.redis) == {}


async def service_factors(setting: Setting, case: dict[str, Any]) -> None:
    """Publishes the factors."""
    store = ServiceFactorStore(setting.redis, NAMES, ttl_seconds=TTL)
    await store.publish(case["inputs"]["default"], case["inputs"]["services"])
    await same_store(setting.redis, case)
    assert [await store.read(service) for service in ("svc1", "svc2", "svc3")] == [1.25, 0.5, 3.0]
    for one in keys_of(case).values():
        assert parse_factor(raw(one["value"])) > 0


async def registry(setting: Setting, case: dict[str, Any]) -> None:
    """Does what the label names."""
    store = SupplierRegistry(setting.redis, NAMES)
    action = case["label"].split(": ")[1].split()[0]
    methods = {
        "add": store.add,
        "update": store.update,
        "draining": store.drain,
        "remove": store.remove,
    }
    await methods[action](case["inputs"]["supplier"], case["inputs"].get("services"))
    await same_store(setting.redis, case)
    entries = [
        parse_registry_entry(raw(one["value"]))
        for one in keys_of(case).values()
        if one["type"] == "string"
    ]
    listed = await store.all()
    assert [(one.operator_address, one.services) for one in listed] == [
        (one.operator_address, one.services) for one in entries if action != "draining"
    ]


async def supplier_state(setting: Setting, case: dict[str, Any]) -> None:
    """Writes the state as it was read from the recording."""
    store = SupplierStates(setting.redis, NAMES)
    ((_, one),) = keys_of(case).items()
    state = parse_supplier_state(raw(one["value"]))
    assert supplier_state_json(state) == raw(one["value"])
    written = await store.put(state)
    await same_store(setting.redis, case)
    assert await store.get(state.operator_address) == written
    assert await store.all() == [written]


async def cached_protobuf(setting: Setting, case: dict[str, Any]) -> None:
    """Caches of protobuf or raw bytes: the key, and the value as it is."""
    for key, one in keys_of(case).items():
        words = ("PX", one["ttl_ms"]) if one["ttl_ms"] else ()
        await setting.redis.command("SET", key, raw(one["value"]), *words)
    await same_store(setting.redis, case)
    kind = case["label"].split(" cache")[0]
    known = {
        NAMES.cache_key(kind, APPLICATION),
        NAMES.cache_key(kind, "svc1"),
        NAMES.params_shared_cache_key,
        NAMES.params_proof_key,
    }
    assert set(keys_of(case)) <= known
    if "proto" in case["inputs"]:
        assert next(iter(keys_of(case).values()))["value"] == {"hex": case["inputs"]["proto"]}
    elif "singleton" in case["label"]:
        params = shared_pb2.Params(**case["inputs"])
        assert (
            params.SerializeToString().hex()
            == keys_of(case)[NAMES.params_shared_cache_key]["value"]["hex"]
        )


async def cached_json(_setting: Setting, case: dict[str, Any]) -> None:
    """Caches of JSON: our form is theirs, byte for byte, and theirs is read."""
    keys = keys_of(case)
    if case["label"].startswith("session cache"):
        inputs = case["inputs"]
        value = session_pb2.Session.FromString(bytes.fromhex(inputs["proto"]))
        key = NAMES.session_cache_key(inputs["application"], inputs["service"], inputs["height"])
        assert json_forms.session_json(value) == raw(keys[key]["value"])
        assert json_forms.parse_session(raw(keys[key]["value"])) == value
        assert NAMES.session_rewardable_key(SESSION) in keys
    elif case["label"].startswith("shared params"):
        params = shared_pb2.Params(**case["inputs"])
        text = raw(keys[NAMES.params_shared_at_key(123)]["value"])
        assert json_forms.shared_params_json(params) == text
        assert json_forms.parse_shared_params(text) == params
    else:
        text = raw(keys[NAMES.params_supplier_key]["value"])
        supplier_params = json_forms.parse_supplier_params(text)
        assert supplier_params.min_stake.amount == "1000000"
        assert json_forms.supplier_params_json(supplier_params) == text
        empty = supplier_pb2.Params()
        assert json_forms.supplier_params_json(empty) == b'{"min_stake":null,"staking_fee":null}'
        assert json_forms.parse_supplier_params(b'{"min_stake":null}') == empty


async def meter(setting: Setting, case: dict[str, Any]) -> None:
    """Opens the meter, and announces its end where the recording does."""
    inputs = case["inputs"]
    store = MeterStore(setting.redis, NAMES, ttl_seconds=TTL)
    key = NAMES.meter_meta_key(inputs["session_id"], inputs["supplier"])
    recorded = parse_meter_meta(raw(keys_of(case)[key]["value"]))
    meta = MeterMeta(
        session_id=inputs["session_id"],
        app_address=inputs["application"],
        service_id=inputs["service_id"],
        supplier_address=inputs["supplier"],
        session_end_height=inputs["session_end_height"],
        max_stake_upokt=recorded.max_stake_upokt,
        created_with_factor=inputs.get("service_factor", 0.0),
        created_with_app_stake=inputs["app_stake"],
    )
    opened = await store.open(meta)
    assert await store.open(meta) == opened == await store.read(meta.session_id, SUPPLIER)
    assert attrs.evolve(opened, created_at=recorded.created_at) == recorded
    await same_store(setting.redis, case)
    if case["published"]:
        await store.publish_cleanup(meta.session_id, SUPPLIER)
        payload = case["published"][0]["payload"].encode()
        assert parse_cleanup(payload) == (meta.session_id, SUPPLIER)


async def block_event(setting: Setting, case: dict[str, Any]) -> None:
    """Publishes the block; a time with another offset comes out in UTC."""
    inputs = case["inputs"]
    event = BlockEvent(
        inputs["height"], bytes.fromhex(inputs["hash"]), gojson.parse_time(inputs["timestamp"])
    )
    assert parse_block_event(case["published"][0]["payload"].encode()) == event
    events = BlockEvents(setting.redis, NAMES)
    await events.publish(event)
    assert await events.last() == event
    await same_store(setting.redis, case)


SCENARIOS: list[tuple[str, Callable[[Setting, dict[str, Any]], Awaitable[None]]]] = [
    ("mined relay", mined_relay),
    ("session: ", session),
    ("tree: ", tree),
    ("dedup", dedup),
    ("submission", submission),
    ("rebroadcast", rebroadcast),
    ("service factors", service_factors),
    ("supplier registry", registry),
    ("supplier state", supplier_state),
    ("application cache", cached_protobuf),
    ("service cache", cached_protobuf),
    ("account cache", cached_protobuf),
    ("shared params singleton", cached_protobuf),
    ("proof params", cached_protobuf),
    ("shared params at", cached_json),
    ("supplier params", cached_json),
    ("session cache", cached_json),
    ("session meter", meter),
    ("block event", block_event),
]

# Messages that our caches send, not the store's classes: `relayminer.cache` is where they belong.
SENT_ELSEWHERE = ("application cache", "session cache")


def same_messages(ours: list[Message], case: dict[str, Any]) -> None:
    """Fails unless we published what the recording did, up to order and the form of times."""
    if case["label"].startswith(SENT_ELSEWHERE):
        return
    theirs = [(one["channel"], one["payload"].encode()) for one in case["published"] or ()]
    mine = [(one.channel, one.payload) for one in ours]
    if case["label"].startswith("block event"):
        assert [(c, parse_block_event(p)) for c, p in mine] == [
            (c, parse_block_event(p)) for c, p in theirs
        ]
        return
    assert sorted(mine) == sorted(theirs)


def recorded_channels() -> Iterator[str]:
    """Every channel on which something was recorded."""
    for case in cases():
        for one in case["published"] or ():
            yield one["channel"]


async def test_every_scenario() -> None:
    """Each recorded scenario must come out of our code in the same form and be readable."""
    channels = sorted(set(recorded_channels()))
    done = 0
    async with fresh_store() as url, running_gateway(url) as redis:
        for case in cases():
            await redis.command("FLUSHALL")
            lease = Lease(redis, NAMES.miner_claim_key(SUPPLIER), NAMES, owner="m", ttl_seconds=60)
            assert await lease.acquire()
            run = next(run for label, run in SCENARIOS if case["label"].startswith(label))
            messages: list[Message] = []
            async with redis.subscribe([*channels, "end"]) as events:
                assert await anext(events) == Gap()
                try:
                    await run(Setting(redis, lease.fence), case)
                except AssertionError as error:
                    error.add_note(f"scenario: {case['label']}")
                    raise
                await redis.command("PUBLISH", "end", "")
                with trio.fail_after(5):
                    async for event in events:
                        assert isinstance(event, Message)
                        if event.channel == "end":
                            break
                        messages.append(event)
            same_messages(messages, case)
            done += 1
    assert done == 56


def test_supplier_state_predicates() -> None:
    """What a state means for serving follows from the recorded rules."""
    state = SupplierState(operator_address="a", status="unstaking", staked=True, services=("s",))
    assert state.serves("s")
    assert not state.serves("t")
    assert not attrs.evolve(state, staked=False).serves("s")
    assert attrs.evolve(state, status="active", services=()).is_contaminated
