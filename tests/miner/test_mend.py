"""Damage in the store: found before anything is claimed, repaired where that can be, told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from relayminer.protocol.pb.proof_pb2 import MsgSubmitProof
from relayminer.state.relay_log import RelayLog
from tests.miner.chain import COMPUTE_UNITS
from tests.miner.harness import WAIT_SECONDS, Rig, rig, session_ids, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

A, B = session_ids(2)
RELAYS = 20
LEAF, INNER = b"\x00", b"\x01"


def flipped(data: bytes, bit: int = 13) -> bytes:
    """The same with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


async def nodes_of(mine: Rig, kind: bytes) -> list[tuple[bytes, bytes]]:
    """Names and bytes of the stored nodes of a kind."""
    rows = await mine.redis.command("HGETALL", mine.names.smst_nodes_key(mine.supplier, A))
    pairs = sorted(zip(rows[::2], rows[1::2], strict=True))
    return [(name, data) for name, data in pairs if data[:1] == kind]


async def damage_node(mine: Rig, kind: bytes) -> None:
    """Flip a bit of a stored node."""
    name, data = (await nodes_of(mine, kind))[3]
    key = mine.names.smst_nodes_key(mine.supplier, A)
    await mine.redis.command("HSET", key, name, flipped(data, 8 * 40))


async def lose_nodes(mine: Rig) -> None:
    """Delete the whole hash of nodes."""
    await mine.redis.command("DEL", mine.names.smst_nodes_key(mine.supplier, A))


async def damage_live_root(mine: Rig) -> None:
    """Flip a bit of the live root."""
    key = mine.names.smst_live_root_key(mine.supplier, A)
    await mine.redis.command("SET", key, flipped(await mine.redis.command("GET", key)))


async def lose_live_root(mine: Rig) -> None:
    """Delete the live root."""
    await mine.redis.command("DEL", mine.names.smst_live_root_key(mine.supplier, A))


async def spoil_a_leaf(mine: Rig) -> None:
    """Flip a bit of a relay in a leaf."""
    await damage_node(mine, LEAF)


async def spoil_an_inner_node(mine: Rig) -> None:
    """Flip a bit above the leaves."""
    await damage_node(mine, INNER)


async def steps(mine: Rig, step: str) -> list[dict[str, Any]]:
    """Ledger lines of a step."""
    return [line for line in await mine.ledger() if line["step"] == step]


async def log_is_empty(mine: Rig) -> None:
    """Wait until every entry was acknowledged."""
    log = RelayLog(mine.redis, mine.names)
    with trio.fail_after(WAIT_SECONDS):
        while True:
            if not await log.length(mine.supplier):
                return
            await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (spoil_an_inner_node, RELAYS),
        (spoil_a_leaf, RELAYS - 1),
        (damage_live_root, RELAYS),
        (lose_live_root, RELAYS),
        (lose_nodes, 0),
    ],
)
@pytest.mark.parametrize("resumed", [True, False])
async def test_damage_is_mended_before_the_claim(
    mine: Rig, damage: Callable[[Rig], Awaitable[None]], left: int, *, resumed: bool
) -> None:
    """What is left is claimed and proven, what is gone is told with its worth, nothing is wrong."""
    await mine.log(A, RELAYS)
    async with mine.mining():
        await mine.counted(A, RELAYS)
        await log_is_empty(mine)
        if not resumed:
            await damage(mine)
            await mine.step_to(22)
    if resumed:
        await damage(mine)
        async with mine.mining():
            await mine.step_to(22)
    assert mine.claimed_counts() == ({A: left} if left else {})
    assert mine.chain.slashed == []
    assert len(await steps(mine, "trie_rebuilt")) == 1
    lost = await steps(mine, "relays_lost")
    assert sum(line["relays"] for line in lost) == RELAYS - left
    assert sum(line["compute_units"] for line in lost) == (RELAYS - left) * COMPUTE_UNITS
    assert all(line["reward_upokt"] > 0 for line in lost)


@pytest.mark.parametrize("damage", [spoil_an_inner_node, spoil_a_leaf, lose_live_root])
async def test_relays_go_on_after_damage(
    mine: Rig, damage: Callable[[Rig], Awaitable[None]]
) -> None:
    """A damaged trie takes further relays after it was rebuilt; none of them is held up."""
    await mine.log(A, RELAYS)
    async with mine.mining():
        await mine.counted(A, RELAYS)
        await log_is_empty(mine)
    await damage(mine)
    async with mine.mining():
        await mine.log(A, 3 * RELAYS, first=RELAYS)
        await log_is_empty(mine)
        await mine.step_to(22)
    lost = sum(line["relays"] for line in await steps(mine, "relays_lost"))
    assert lost == (damage is spoil_a_leaf)
    assert mine.claimed_counts() == {A: 4 * RELAYS - lost}
    assert mine.chain.slashed == []


async def test_lost_nodes_are_told_and_new_relays_are_counted(mine: Rig) -> None:
    """When a trie has vanished it is not taken for an empty one: its loss is in the ledger."""
    await mine.log(A, 10)
    async with mine.mining():
        await mine.counted(A, 10)
        await log_is_empty(mine)
    await lose_nodes(mine)
    await mine.log(A, 5, first=10)
    async with mine.mining():
        await log_is_empty(mine)
        (set_back,) = await steps(mine, "set_back")
        assert (set_back["relays"], set_back["relays_before"]) == (10, 10)
        await mine.step_to(22)
        assert mine.claimed_counts() == {A: 5}


async def test_what_is_damaged_is_kept_aside(mine: Rig) -> None:
    """The nodes and roots of a damaged trie can be looked at for a day."""
    await mine.log(A, RELAYS)
    async with mine.mining():
        await mine.counted(A, RELAYS)
    root = await mine.redis.command("GET", mine.names.smst_live_root_key(mine.supplier, A))
    await spoil_a_leaf(mine)
    count = await mine.redis.command("HLEN", mine.names.smst_nodes_key(mine.supplier, A))
    async with mine.mining():
        await mine.step_to(13)
    nodes = mine.names.smst_damage_key(mine.supplier, A, "nodes")
    roots = mine.names.smst_damage_key(mine.supplier, A, "roots")
    assert await mine.redis.command("HLEN", nodes) == count
    assert await mine.redis.command("HGET", roots, "live_root") == root
    assert 80_000 < await mine.redis.command("TTL", nodes) <= 86_400
    assert not await mine.redis.command(
        "EXISTS", mine.names.smst_damage_key(mine.supplier, A, "rebuilt")
    )


async def test_a_damaged_sealed_root_is_not_claimed(mine: Rig) -> None:
    """The root of the whole trie is claimed though the key that says so has a bit flipped."""
    await mine.log(A, RELAYS)
    mine.chain.refuse = lambda _: "not now"
    async with mine.mining():
        await mine.step_to(12)
        await until(lambda: mine.driven() == 12)
    key = mine.names.smst_root_key(mine.supplier, A)
    sealed = await mine.redis.command("GET", key)
    await mine.redis.command("SET", key, flipped(sealed))
    mine.chain.refuse = lambda _: ""
    async with mine.mining():
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: RELAYS}
    assert mine.chain.slashed == []
    assert await mine.redis.command("GET", key) in {sealed, None}


@pytest.mark.parametrize("field", ["root", "record"])
async def test_a_damaged_root_does_not_cost_the_proof(mine: Rig, field: str) -> None:
    """Where the sealed root and the record differ, the claim on chain says which one is right."""
    await mine.log(A, RELAYS)
    async with mine.mining():
        await mine.step_to(13)
    if field == "root":
        key = mine.names.smst_root_key(mine.supplier, A)
        await mine.redis.command("SET", key, flipped(await mine.redis.command("GET", key)))
    else:
        key = mine.names.miner_session_key(mine.supplier, A)
        root = await mine.redis.command("HGET", key, "claimed_root_hash")
        await mine.redis.command("HSET", key, "claimed_root_hash", flipped(root))
    async with mine.mining():
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: RELAYS}
    assert mine.chain.slashed == []


async def test_a_sealed_trie_is_brought_back_for_its_proof(mine: Rig) -> None:
    """Nodes above the leaves that vanish after the claim are made again from the leaves."""
    await mine.log(A, RELAYS)
    async with mine.mining():
        await mine.step_to(13)
        for name, _ in await nodes_of(mine, INNER):
            await mine.redis.command("HDEL", mine.names.smst_nodes_key(mine.supplier, A), name)
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: RELAYS}
    assert mine.chain.slashed == []
    assert len(await steps(mine, "trie_rebuilt")) == 1


async def test_a_proof_that_cannot_be_built_is_not_sent(mine: Rig) -> None:
    """With its leaves gone a claim is not proven, and nothing wrong is sent for it."""
    await mine.log(A, RELAYS)
    async with mine.mining():
        await mine.step_to(13)
        await lose_nodes(mine)
        await mine.step_to(22)
    proofs = [
        one for sent in mine.chain.sent for one in sent.messages if isinstance(one, MsgSubmitProof)
    ]
    assert proofs == []
    assert mine.claimed_counts() == {}


async def test_leaves_that_the_go_miner_left_unreached_are_counted(mine: Rig) -> None:
    """It writes nodes at once and the root now and then; what hangs in the air is found."""
    await mine.log(A, 7)
    async with mine.mining():
        await mine.counted(A, 7)
        await log_is_empty(mine)
        before = await mine.redis.command("GET", mine.names.smst_live_root_key(mine.supplier, A))
        nodes = (
            await nodes_of(mine, LEAF) + await nodes_of(mine, INNER) + await nodes_of(mine, b"\x02")
        )
        await mine.log(A, 3, first=7)
        await mine.counted(A, 10)
        await log_is_empty(mine)
    # The root of seven relays, and the nodes of ten beside those of seven.
    await mine.redis.command("SET", mine.names.smst_live_root_key(mine.supplier, A), before)
    key = mine.names.smst_nodes_key(mine.supplier, A)
    for name, data in nodes:
        await mine.redis.command("HSET", key, name, data)
    async with mine.mining():
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: 10}
    assert await steps(mine, "relays_lost") == []


async def die_while_mending(url: str, command: int, *, after: bool) -> int:
    """A miner dies at a command while it mends, another one goes on; commands of its life."""
    async with rig(url) as mine:
        await mine.log(A, RELAYS)
        async with mine.mining():
            await mine.counted(A, RELAYS)
            await log_is_empty(mine)
        await spoil_a_leaf(mine)
        await damage_live_root(mine)
        await mine.log(A, 3, first=RELAYS)
        async with mine.mortal() as redis:
            redis.arm(command, after=after)
            async with trio.open_nursery() as nursery:

                async def stop_on_death() -> None:
                    await redis.crashed.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(stop_on_death)
                await mine.step_to(14)
                nursery.cancel_scope.cancel()
        async with mine.mining():
            await mine.step_to(22)
        where = f"died at command {command}, after: {after}"
        assert mine.claimed_counts() == {A: RELAYS + 2}, where
        assert mine.chain.slashed == [], where
        assert [line["relays"] for line in await steps(mine, "relays_lost")] == [1], where
        return redis.commands


async def test_death_while_mending(store_url: str, *, soak: bool) -> None:
    """Whenever a miner dies over a damaged trie, the next one claims the rest, tells the loss."""
    count = await die_while_mending(store_url, 0, after=False)
    limiter = trio.CapacityLimiter(8)

    async def one(command: int, after: bool) -> None:
        async with limiter:
            await die_while_mending(store_url, command, after=after)

    async with trio.open_nursery() as nursery:
        for command in range(1, count + 1, 1 if soak else 12):
            for after in (False, True):
                nursery.start_soon(one, command, after)
