"""What changes the store: cache entries that go, keys that go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from relayminer.cli.store.looks import NothingThereError
from relayminer.cli.store.shown import Look
from relayminer.state.suppliers import SupplierStates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from relayminer.cli.reading import Reading
    from relayminer.state.names import KeyNames

DELETE_CHUNK: Final = 100
ASK_BEYOND: Final = 100
"""More keys than this are not deleted without a word from somebody."""

FIELDS: Final = {
    "application": "address",
    "account": "address",
    "service": "service_id",
    "supplier": "operator_address",
}
"""Cache type -> what its messages call the key."""
SINGLE: Final = ("shared_params", "session_params", "proof_params")
TYPES: Final = (*FIELDS, *SINGLE, "all")


def cache_key(names: KeyNames, kind: str, key: str) -> str:
    """The key of one entry."""
    own = {
        "supplier": lambda: names.supplier_state_key(key),
        "shared_params": lambda: names.params_shared_cache_key,
        "session_params": lambda: names.params_session_key,
        "proof_params": lambda: names.params_proof_key,
    }
    return own[kind]() if kind in own else names.cache_key(kind, key)


async def cache_keys(store: Reading, kind: str) -> list[bytes]:
    """The keys of all entries of a type; of `all`, everything below the cache's prefix."""
    names = store.names
    if kind in SINGLE:
        key = cache_key(names, kind, "").encode()
        return [key] if await store.redis.command("EXISTS", key) else []
    pattern = f"{names.cache_prefix}:*" if kind == "all" else cache_key(names, kind, "*")
    found: list[bytes] = []
    async for some in store.redis.scan(pattern):
        # Whoever fills an entry holds its lock: that is not for us to take.
        found.extend(key for key in some if b":lock:" not in key)
    return sorted(found)


async def list_cache(store: Reading, kind: str, limit: int) -> Look:
    """Entries of a type with how long they live."""
    rows = []
    found = await cache_keys(store, kind)
    for key in found[: limit or None]:
        ttl = await store.redis.command("PTTL", key)
        rows.append(
            {
                "key": key.decode(errors="replace"),
                "seconds_to_live": "for ever" if ttl < 0 else round(ttl / 1000, 1),
            }
        )
    return Look("entries", rows, notes=(f"{len(found)} in all",))


async def show_cache(store: Reading, kind: str, key: str) -> Look:
    """One entry."""
    name = cache_key(store.names, kind, key)
    data = await store.redis.command("GET", name)
    if data is None:
        raise NothingThereError(f"{name} is not there")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.hex()
    return Look("entries", [{"key": name, "value": text, "bytes": len(data)}])


def keys_of_file(path: Path) -> list[str]:
    """One key a line; `#` begins a comment."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [text for line in lines if (text := line.partition("#")[0].strip())]


async def invalidate(store: Reading, kind: str, keys: Sequence[str]) -> int:
    """Delete entries and tell every process; how many there were."""
    names = store.names
    gone = 0
    for key in keys:
        gone += int(await store.redis.command("DEL", cache_key(names, kind, key)))
        field = FIELDS.get(kind)
        payload = {"key": key, field: key} if field else {}
        channel = names.event_channel(kind, "invalidate")
        await store.redis.pipeline(
            [
                ("PUBLISH", channel, json.dumps(payload)),
                ("SREM", names.cache_known_key(kind), key),
            ]
        )
    return gone


async def invalidate_all(store: Reading, kind: str) -> int:
    """Delete every entry of a type, and tell every process; how many there were.

    `all` also takes registry entries that say nothing: staked, active, without a service.
    """
    names = store.names
    found = await cache_keys(store, kind)
    if kind == "all":
        states = SupplierStates(store.redis, names)
        spoilt = [one for one in await states.all() if one.is_contaminated]
        found += [names.supplier_state_key(one.operator_address).encode() for one in spoilt]
    gone = await delete(store, found)
    kinds = [*FIELDS, *SINGLE] if kind == "all" else [kind]
    messages = [("PUBLISH", names.event_channel(one, "invalidate"), "{}") for one in kinds]
    if kind == "all":
        messages.append(("PUBLISH", names.supplier_params_invalidate_channel, "{}"))
    # Also when nothing was there: what is in the memory of a process goes, too.
    await store.redis.pipeline(messages)
    return gone


async def delete(store: Reading, keys: Sequence[bytes]) -> int:
    """Delete keys, some at a time; how many there were."""
    gone = 0
    for at in range(0, len(keys), DELETE_CHUNK):
        # One by one: in a cluster they are on different servers.
        replies = await store.redis.pipeline([("DEL", key) for key in keys[at : at + DELETE_CHUNK]])
        gone += sum(replies)
    return gone
