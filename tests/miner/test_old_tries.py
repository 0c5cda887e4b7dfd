"""Tries of an older Go miner, whose names had no supplier in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.miner.harness import Rig, session_ids

if TYPE_CHECKING:
    from relayminer.state.names import KeyNames

(A,) = session_ids(1)
OTHER = "pokt1other"
PARTS = ("root", "nodes", "live_root", "stats")


def names_of(names: KeyNames, supplier: str) -> list[str]:
    """The names that a trie has now, in the order of `PARTS`."""
    return [
        names.smst_root_key(supplier, A),
        names.smst_nodes_key(supplier, A),
        names.smst_live_root_key(supplier, A),
        names.smst_stats_key(supplier, A),
    ]


async def make_old(mine: Rig) -> None:
    """Seal and claim a session, and give its trie the names of old."""
    await mine.log(A, 5)
    async with mine.mining():
        await mine.step_to(13)
        assert await mine.state(A) == "claimed"
    for part, name in zip(PARTS, names_of(mine.names, mine.supplier), strict=True):
        if await mine.redis.command("EXISTS", name):
            await mine.redis.command("RENAME", name, mine.names.old_smst_key(A, part))


async def test_an_old_trie_is_proven_by_its_supplier(mine: Rig) -> None:
    """The supplier whose record has the root takes the trie over, and proves its claim."""
    await make_old(mine)
    async with mine.mining():
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: 5}
    assert mine.chain.slashed == []
    old = [mine.names.old_smst_key(A, part) for part in PARTS]
    assert await mine.redis.command("EXISTS", *old) == 0


async def test_an_old_trie_of_two_suppliers_is_left_alone(mine: Rig) -> None:
    """A trie that two suppliers wrote into proves neither's claim; nothing is sent from it."""
    await make_old(mine)
    root = await mine.redis.command("GET", mine.names.old_smst_key(A, "root"))
    key = mine.names.miner_session_key(OTHER, A)
    await mine.redis.command("HSET", key, "claimed_root_hash", root)
    sent = len(mine.chain.sent)
    async with mine.mining():
        await mine.step_to(20)
    assert len(mine.chain.sent) == sent
    assert await mine.redis.command("GET", mine.names.old_smst_key(A, "root")) == root


async def test_a_trie_under_the_new_names_stays(mine: Rig) -> None:
    """Where both are there the new one is the supplier's."""
    await mine.log(A, 5)
    async with mine.mining():
        await mine.step_to(13)
    root = await mine.redis.command("GET", mine.names.smst_root_key(mine.supplier, A))
    await mine.redis.command("SET", mine.names.old_smst_key(A, "root"), root)
    await mine.redis.command("SET", mine.names.old_smst_key(A, "nodes"), "nothing")
    async with mine.mining():
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: 5}
    assert await mine.redis.command("GET", mine.names.old_smst_key(A, "root")) == root
