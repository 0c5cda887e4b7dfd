"""A shadow beside a fleet: it sees what the fleet sees, compares, and sends nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.config.chain import ChainSettings
from relayminer.config.settings import Settings
from relayminer.miner.service import MinerService
from relayminer.miner.shadow import (
    Comparison,
    ShadowError,
    ShadowTee,
    Silence,
    Verdict,
    judge,
    shadow_names,
)
from relayminer.state.copied_logs import CopiedLogs
from relayminer.state.leases import owner_id
from relayminer.state.relay_log import RelayLog
from relayminer.telemetry.metrics import Metrics
from tests.miner.harness import Rig, session_ids, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

A, B, C = session_ids(3)


@contextlib.asynccontextmanager
async def haunted(mine: Rig) -> AsyncIterator[Rig]:
    """A shadow of the fleet of `mine`, while the block runs; its rig."""
    ghost = Rig(mine.url, mine.redis, chain=mine.chain, names=shadow_names(mine.names))
    ghost.metrics = Metrics()
    service = MinerService(
        Settings(miner=mine.settings, chain=ChainSettings(block_time_seconds=0.1)),
        {key.address: key for key in mine.keys},
        redis=mine.redis,
        names=ghost.names,
        chain=mine.chain,
        blocks=mine.chain,
        transactions=Silence(),
        metrics=ghost.metrics,
        owner=owner_id("shadow"),
        shadow=Comparison(mine.redis, mine.names, ghost.metrics),
    )
    tee = ShadowTee(mine.redis, mine.names, lambda: [mine.supplier], mine.chain, ghost.metrics)
    async with trio.open_nursery() as nursery:
        await nursery.start(tee.run)
        await nursery.start(service.run)
        yield ghost
        nursery.cancel_scope.cancel()


async def step_both(mine: Rig, ghost: Rig, height: int) -> None:
    """Commit blocks until `height`, each seen by fleet and shadow."""
    while mine.chain.height < height:
        await until(lambda: ghost.driven() == mine.chain.height)
        await mine.step()
    await until(lambda: ghost.driven() == mine.chain.height)


async def comparisons(ghost: Rig) -> dict[str, dict[str, object]]:
    """What the shadow's ledger says, by session."""
    return {
        line["session_id"]: line for line in await ghost.ledger() if line["step"] == "shadow_claim"
    }


async def test_a_shadow_of_an_honest_fleet_finds_the_same_roots(mine: Rig) -> None:
    """Every entry is copied although the fleet deletes it at once; nothing is sent twice."""
    async with haunted(mine) as ghost, mine.mining():
        for burst in range(10):
            await mine.log(A, 20, first=20 * burst)
            await mine.log(B, 1, first=burst)
        await mine.counted(A, 200)
        await ghost.counted(A, 200)
        await ghost.counted(B, 10)
        await step_both(mine, ghost, 21)
        found = await comparisons(ghost)
        assert {one["verdict"] for one in found.values()} == {"same"}
        assert found[A]["our_relays"] == found[A]["their_relays"] == 200
        assert found[A]["our_root"] == found[A]["their_root"]
        assert await mine.state(A) == "proved"
        assert await ghost.state(A) == "claim_skipped"
        assert len(mine.chain.sent) == 2
        assert mine.claimed_counts() == mine.sent


async def test_a_fleet_that_loses_relays_is_told_with_numbers(mine: Rig) -> None:
    """The shadow has more leaves than the claim on chain: how many is said."""
    async with haunted(mine) as ghost:
        mine.chain.advance()
        later = {"session_start_height": mine.chain.height}
        async with mine.mining():
            await mine.log(A, 30, **later)
            await mine.counted(A, 30)
            await ghost.counted(A, 30)
        # The fleet forgets some of what it was given, as one that acknowledges first does.
        log = RelayLog(mine.redis, mine.names)
        lost = [
            await log.append(mine.supplier, mine.relay(A, number, **later))
            for number in range(30, 35)
        ]
        await ghost.counted(A, 35)
        await mine.redis.command("XDEL", mine.names.stream_key(mine.supplier), *lost)
        async with mine.mining():
            await step_both(mine, ghost, 17)
        found = (await comparisons(ghost))[A]
        assert found["verdict"] == "differs"
        assert (found["our_relays"], found["their_relays"]) == (35, 30)
        assert found.get("log_entries_missed", 0) == 0
        page = ghost.metrics.page().decode()
        assert f'relayminer_shadow_leaves_difference{{supplier="{mine.supplier}"}} 5.0' in page


async def test_a_session_that_had_begun_before_is_partial(mine: Rig) -> None:
    """What was acknowledged before the shadow came it cannot know, and says so."""
    async with mine.mining():
        await mine.log(A, 12)
        await mine.counted(A, 12)
        mine.chain.advance()
        async with haunted(mine) as ghost:
            await mine.log(A, 3, first=12)
            await mine.counted(A, 15)
            await ghost.counted(A, 3)
            await step_both(mine, ghost, 17)
            found = (await comparisons(ghost))[A]
            assert found["verdict"] == "partial"
            assert (found["our_relays"], found["their_relays"]) == (3, 15)


async def test_a_shadow_leaves_the_fleets_keys_alone(mine: Rig) -> None:
    """A group at each log is all it leaves there, and ending takes that away too."""
    async with haunted(mine) as ghost:
        await mine.log(A, 5)
        await ghost.counted(A, 5)
        keys = await mine.redis.command("KEYS", f"{mine.names.base}:*")
        assert keys == [mine.names.stream_key(mine.supplier).encode()]
        copied = CopiedLogs(mine.redis, mine.names, ghost.names)
        assert (await copied.copied(mine.supplier)).seen == 5
    await copied.end([mine.supplier])
    groups = await mine.redis.command("XINFO", "GROUPS", mine.names.stream_key(mine.supplier))
    assert groups == []


async def test_a_shadow_is_silent(mine: Rig) -> None:
    """Whatever asks it to send gets an error."""
    with pytest.raises(ShadowError):
        await Silence().submit([], mine.keys[0], 10.0)


def test_roots_are_judged() -> None:
    """Nothing on both sides is the same; the beginning of a session excuses a difference."""
    root, other = b"\x01" * 47 + b"\x05", b"\x02" * 47 + b"\x06"
    empty = bytes(48)
    assert judge(root, root, is_partial=True) is Verdict.SAME
    assert judge(empty, b"", is_partial=False) is Verdict.SAME
    assert judge(root, other, is_partial=True) is Verdict.PARTIAL
    assert judge(root, other, is_partial=False) is Verdict.DIFFERS
    assert judge(root, b"", is_partial=False) is Verdict.NOT_CLAIMED
