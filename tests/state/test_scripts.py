"""Leases, fences and the invariants that the scripts keep, each tried from the wrong side."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import attrs
import pytest

from relayminer.smst import EMPTY_ROOT, Commit, Trie
from relayminer.state.errors import (
    FencedError,
    LegacySessionError,
    SessionMissingError,
    SessionSealedError,
    StaleCommitError,
    StateError,
    UnreadableValueError,
)
from relayminer.state.leases import Lease
from relayminer.state.names import CLAIM_PHASE, KeyNames
from relayminer.state.rebroadcast import Group, Rebroadcast, RebroadcastStore
from relayminer.state.sessions import SessionStore
from relayminer.state.snapshots import Snapshot
from relayminer.state.tries import TrieStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.state.fence import Fence
    from relayminer.state.gateway import Redis

NAMES = KeyNames()
SUPPLIER, SESSION = "supplier", "session"
SNAPSHOT = Snapshot(
    session_id=SESSION,
    supplier_operator_address=SUPPLIER,
    service_id="service",
    application_address="application",
    session_start_height=1,
    session_end_height=10,
)


def lease_of(redis: Redis, owner: str, ttl_seconds: float = 60.0) -> Lease:
    """A lease of the supplier for `owner`, not yet acquired."""
    key = NAMES.miner_claim_key(SUPPLIER)
    return Lease(redis, key, NAMES, owner=owner, ttl_seconds=ttl_seconds)


async def fence_of(redis: Redis) -> Fence:
    """The right to change the supplier's state."""
    lease = lease_of(redis, "owner")
    assert await lease.acquire()
    return lease.fence


def stores(redis: Redis) -> tuple[SessionStore, TrieStore]:
    """Sessions and tries."""
    return (
        SessionStore(redis, NAMES, ttl_seconds=100),
        TrieStore(redis, NAMES, ttl_seconds=100, session_ttl_seconds=100),
    )


def grown(trie: Trie, first: int, count: int) -> Commit:
    """A commit of `count` more relays."""
    for number in range(first, first + count):
        trie.update(hashlib.sha256(b"%d" % number).digest(), b"value", 7)
    return trie.commit()


async def test_a_fenced_owner_changes_nothing(redis: Redis) -> None:
    """With an old token, or when a Go miner has the lease, every changing script refuses."""
    sessions, tries = stores(redis)
    old = await fence_of(redis)
    await sessions.create_if_absent(old, SNAPSHOT)
    trie = Trie()
    commit = grown(trie, 0, 3)
    await tries.checkpoint(
        old, SUPPLIER, SESSION, commit, base_root=EMPTY_ROOT, relays=3, compute_units=21
    )
    root = trie.root
    new = await fence_of(redis)
    await redis.command("SET", NAMES.miner_claim_key(SUPPLIER), "go-miner")
    before = sorted(await redis.command("KEYS", "*"))
    rebroadcasts = RebroadcastStore(redis, NAMES)
    entry, group = Rebroadcast(message=b"m", submit_height=1), Group(SUPPLIER, 10)
    more = grown(trie, 3, 3)

    def attempts(fence: Fence) -> list[Callable[[], Awaitable[object]]]:
        return [
            lambda: sessions.create_if_absent(fence, attrs.evolve(SNAPSHOT, session_id="other")),
            lambda: sessions.save(fence, attrs.evolve(SNAPSHOT, state="claimed")),
            lambda: sessions.update_state(fence, SUPPLIER, SESSION, "claimed"),
            lambda: sessions.increment(fence, SUPPLIER, SESSION, relays=1, compute_units=1),
            lambda: sessions.delete(fence, SUPPLIER, [SESSION]),
            lambda: tries.checkpoint(
                fence, SUPPLIER, SESSION, more, base_root=root, relays=3, compute_units=21
            ),
            lambda: tries.seal(fence, SUPPLIER, SESSION, root),
            lambda: tries.delete(fence, SUPPLIER, SESSION),
            lambda: tries.keep_alive(fence, SUPPLIER, SESSION, 1),
            lambda: rebroadcasts.put(fence, CLAIM_PHASE, group, SESSION, entry),
            lambda: rebroadcasts.delete(fence, CLAIM_PHASE, group, [SESSION]),
        ]

    for attempt in (*attempts(old), *attempts(new)):
        with pytest.raises(FencedError):
            await attempt()
    assert sorted(await redis.command("KEYS", "*")) == before
    loaded = await sessions.load(SUPPLIER, SESSION)
    assert loaded is not None
    assert (loaded.state, loaded.relay_count) == ("active", 3)
    assert (await tries.roots(SUPPLIER, SESSION)).live == root


async def test_a_commit_is_applied_once_and_only_to_its_base(redis: Redis) -> None:
    """A repeated or late checkpoint is refused and counts nothing twice."""
    sessions, tries = stores(redis)
    fence = await fence_of(redis)
    await sessions.create_if_absent(fence, SNAPSHOT)
    trie = Trie()
    first = grown(trie, 0, 10)

    async def write(commit: Commit, base: bytes) -> None:
        await tries.checkpoint(
            fence, SUPPLIER, SESSION, commit, base_root=base, relays=10, compute_units=70
        )

    await write(first, EMPTY_ROOT)
    second = grown(trie, 10, 10)
    for commit, base in ((first, EMPTY_ROOT), (second, EMPTY_ROOT), (second, b"\x01" * 48)):
        with pytest.raises(StaleCommitError):
            await write(commit, base)
    await write(second, first.root)
    loaded = await sessions.load(SUPPLIER, SESSION)
    assert loaded is not None
    assert (loaded.relay_count, loaded.total_compute_units) == (20, 140)
    nodes = dict([pair async for pair in tries.all_nodes(SUPPLIER, SESSION)])
    whole = Trie(second.root, nodes.get)
    for number in range(20):
        assert whole.get(hashlib.sha256(b"%d" % number).digest()) == (b"value", 7)
    # Orphans are gone: what is stored is exactly what the root needs.
    fresh = Trie()
    assert set(grown(fresh, 0, 20).writes) == set(nodes)
    digest = next(iter(nodes))
    assert await tries.load_node(SUPPLIER, SESSION, digest) == nodes[digest]
    assert await tries.load_node(SUPPLIER, SESSION, b"\0" * 48) is None


async def test_a_sealed_trie_never_changes(redis: Redis) -> None:
    """After the seal no relay is added, and sealing again returns the first root."""
    sessions, tries = stores(redis)
    fence = await fence_of(redis)
    await sessions.create_if_absent(fence, SNAPSHOT)
    trie = Trie()
    first = grown(trie, 0, 5)
    await tries.checkpoint(
        fence, SUPPLIER, SESSION, first, base_root=EMPTY_ROOT, relays=5, compute_units=35
    )
    with pytest.raises(StaleCommitError):
        await tries.seal(fence, SUPPLIER, SESSION, b"\x01" * 48)
    with pytest.raises(StateError):
        await tries.seal(fence, SUPPLIER, SESSION, b"short")
    assert await tries.seal(fence, SUPPLIER, SESSION, first.root) == first.root
    assert await tries.seal(fence, SUPPLIER, SESSION, b"\x01" * 48) == first.root
    second = grown(trie, 5, 5)
    with pytest.raises(SessionSealedError):
        await tries.checkpoint(
            fence, SUPPLIER, SESSION, second, base_root=first.root, relays=5, compute_units=35
        )
    assert await tries.stats(SUPPLIER, SESSION) == (5, 35)
    await tries.delete(fence, SUPPLIER, SESSION)
    assert await redis.command("KEYS", NAMES.smst_session_all_pattern(SUPPLIER, SESSION)) == []


async def test_a_big_commit_passes(redis: Redis) -> None:
    """A commit of many more values than Lua can unpack at once is written whole."""
    sessions, tries = stores(redis)
    fence = await fence_of(redis)
    await sessions.create_if_absent(fence, SNAPSHOT)
    changes = [("set", n.to_bytes(48, "big"), b"node") for n in range(1, 9001)]
    await tries.checkpoint(
        fence,
        SUPPLIER,
        SESSION,
        Commit(b"\x01" * 48, changes),  # type: ignore[arg-type]  # literals lose their type here
        base_root=EMPTY_ROOT,
        relays=1,
        compute_units=1,
    )
    found = await tries.load_nodes(SUPPLIER, SESSION, [change[1] for change in changes])
    assert len(found) == 9000
    removed = [("delete", n.to_bytes(48, "big"), None) for n in range(1, 9001)]
    await tries.checkpoint(
        fence,
        SUPPLIER,
        SESSION,
        Commit(b"\x02" * 48, removed),  # type: ignore[arg-type]  # the same
        base_root=b"\x01" * 48,
        relays=0,
        compute_units=0,
    )
    assert [pair async for pair in tries.all_nodes(SUPPLIER, SESSION)] == []


async def test_a_checkpoint_needs_its_session(redis: Redis) -> None:
    """Relays are never put where no session would ever claim them."""
    sessions, tries = stores(redis)
    fence = await fence_of(redis)
    commit = grown(Trie(), 0, 1)

    async def write() -> None:
        await tries.checkpoint(
            fence, SUPPLIER, SESSION, commit, base_root=EMPTY_ROOT, relays=1, compute_units=7
        )

    with pytest.raises(SessionMissingError):
        await write()
    key = NAMES.miner_session_key(SUPPLIER, SESSION)
    await redis.command(
        "SET",
        key,
        b'{"session_id":"session","supplier_operator_address":"supplier","service_id":"s",'
        b'"application_address":"a","session_start_height":1,"session_end_height":10,'
        b'"state":"active","relay_count":3,"total_compute_units":21,'
        b'"created_at":"2026-03-04T05:06:07Z","last_updated_at":"2026-03-04T05:06:07+02:00",'
        b'"claimed_root_hash":"' + b"AAAA" * 16 + b'"}',
    )
    await redis.command("SADD", NAMES.miner_sessions_index_key(SUPPLIER), SESSION)
    for attempt in (
        write,
        lambda: sessions.update_state(fence, SUPPLIER, SESSION, "claiming"),
        lambda: sessions.increment(fence, SUPPLIER, SESSION, relays=1, compute_units=1),
    ):
        with pytest.raises(LegacySessionError):
            await attempt()
    (legacy,) = (await sessions.load_all(SUPPLIER)).sessions
    assert (legacy.relay_count, legacy.claimed_root_hash) == (3, b"\0" * 48)
    await sessions.save(fence, legacy)
    await write()
    loaded = await sessions.load(SUPPLIER, SESSION)
    assert loaded is not None
    assert loaded.relay_count == 4
    assert (await tries.roots(SUPPLIER, SESSION)).sealed is None


async def test_session_states_move_atomically(redis: Redis) -> None:
    """A change from the wrong state does nothing; a session is in one state index at a time."""
    sessions, _ = stores(redis)
    fence = await fence_of(redis)
    with pytest.raises(SessionMissingError):
        await sessions.update_state(fence, SUPPLIER, SESSION, "claiming")
    await sessions.create_if_absent(fence, SNAPSHOT)
    with pytest.raises(StateError, match="not a session state"):
        await sessions.update_state(fence, SUPPLIER, SESSION, "closed")
    change = await sessions.update_state(
        fence, SUPPLIER, SESSION, "claimed", only_from=["claiming"]
    )
    assert (change.before, change.changed) == ("active", False)
    change = await sessions.update_state(
        fence,
        SUPPLIER,
        SESSION,
        "claimed",
        only_from=["claiming", "active"],
        fields={"claim_tx_hash": "AB", "claimed_root_hash": b"\xff" * 48},
    )
    assert (change.before, change.changed) == ("active", True)
    loaded = await sessions.load(SUPPLIER, SESSION)
    assert loaded is not None
    assert (loaded.claim_tx_hash, loaded.claimed_root_hash) == ("AB", b"\xff" * 48)
    indexes = await redis.command("KEYS", NAMES.miner_session_state_index_key(SUPPLIER, "*"))
    assert indexes == [NAMES.miner_session_state_index_key(SUPPLIER, "claimed").encode()]
    await sessions.update_state(fence, SUPPLIER, SESSION, "proved")
    assert not await sessions.increment(fence, SUPPLIER, SESSION, relays=1, compute_units=1)


async def test_one_bad_session_does_not_hide_the_others(redis: Redis) -> None:
    """Missing and unreadable records are named, and the rest is loaded."""
    sessions, _ = stores(redis)
    fence = await fence_of(redis)
    await sessions.create_if_absent(fence, SNAPSHOT)
    index = NAMES.miner_sessions_index_key(SUPPLIER)
    await redis.command("SADD", index, "gone", "bad", "list", "text")
    await redis.command("HSET", NAMES.miner_session_key(SUPPLIER, "bad"), "session_id", "bad")
    await redis.command("RPUSH", NAMES.miner_session_key(SUPPLIER, "list"), "x")
    await redis.command("SET", NAMES.miner_session_key(SUPPLIER, "text"), "[]")
    loaded = await sessions.load_all(SUPPLIER)
    assert [one.session_id for one in loaded.sessions] == [SESSION]
    assert loaded.missing == ["gone"]
    assert sorted(loaded.unreadable) == ["bad", "list", "text"]
    await sessions.delete(fence, SUPPLIER, ["gone", "bad", "list", "text", SESSION])
    assert await redis.command("EXISTS", index) == 0
    with pytest.raises(UnreadableValueError):
        await redis.command("RPUSH", NAMES.miner_session_key(SUPPLIER, "list"), "x")
        await sessions.load(SUPPLIER, "list")


async def test_rebroadcast_index_names_what_there_is(redis: Redis) -> None:
    """A group leaves the index with its last message; unreadable ones are named."""
    store = RebroadcastStore(redis, NAMES)
    fence = await fence_of(redis)
    group = Group(SUPPLIER, 10)
    entry = Rebroadcast(message=b"m", submit_height=1)
    await store.put(fence, CLAIM_PHASE, group, "a", entry)
    await store.put(fence, CLAIM_PHASE, group, "b", entry)
    await redis.command("HSET", NAMES.rebroadcast_key(CLAIM_PHASE, SUPPLIER, 10), "c", "{")
    assert await store.load(CLAIM_PHASE, group) == ({"a": entry, "b": entry}, ["c"])
    await store.delete(fence, CLAIM_PHASE, group, ["a", "c"])
    assert await store.groups(CLAIM_PHASE) == [group]
    await store.delete(fence, CLAIM_PHASE, group, ["b"])
    assert await store.groups(CLAIM_PHASE) == []
    await redis.command("SADD", NAMES.rebroadcast_index_key(CLAIM_PHASE), group.member, "junk")
    await store.delete(fence, CLAIM_PHASE, group, [])
    assert await redis.command("SMEMBERS", NAMES.rebroadcast_index_key(CLAIM_PHASE)) == [b"junk"]
    assert await store.groups(CLAIM_PHASE) == []
