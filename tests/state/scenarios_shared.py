"""Recorded scenarios of suppliers, factors, caches, meters and blocks, done again by our code."""

from __future__ import annotations

from typing import Any

import attrs

from relayminer.protocol.pb import session_pb2, shared_pb2, supplier_pb2
from relayminer.state import gojson, json_forms
from relayminer.state.block_events import BlockEvent, BlockEvents, parse_block_event
from relayminer.state.leases import Lease
from relayminer.state.meter import MeterMeta, MeterStore, parse_cleanup, parse_meter_meta
from relayminer.state.rebroadcast import (
    Group,
    Rebroadcast,
    RebroadcastStore,
    parse_rebroadcast,
    rebroadcast_json,
)
from relayminer.state.service_factors import ServiceFactorStore, parse_factor
from relayminer.state.suppliers import (
    SupplierRegistry,
    SupplierStates,
    parse_registry_entry,
    parse_supplier_state,
    supplier_state_json,
)
from tests.state.encodings import (
    APPLICATION,
    NAMES,
    SESSION,
    SUPPLIER,
    TTL,
    Setting,
    keys_of,
    raw,
    same_store,
    stored,
)


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
    leader = Lease(setting.redis, NAMES.global_leader_key, NAMES, owner="leader", ttl_seconds=60)
    assert await leader.acquire()
    await events.publish(event, leader.fence)
    await setting.redis.command("DEL", *leader.keys)
    assert await events.last() == event
    await same_store(setting.redis, case)
