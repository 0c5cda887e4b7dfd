"""How recorded scenarios of `redis_encodings.json` are compared with what is in a store."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs

from relayminer.state import gojson
from relayminer.state.names import KeyNames
from relayminer.state.sessions import SessionStore
from relayminer.state.snapshots import Snapshot
from relayminer.state.tries import TrieStore
from tests.vector_data import load

if TYPE_CHECKING:
    from relayminer.state.fence import Fence
    from relayminer.state.gateway import Redis


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
