"""Death at every command and every broadcast: whoever comes next brings it to the right end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from tests.miner.harness import Rig, rig, session_ids

if TYPE_CHECKING:
    from tests.miner.harness import CrashingRedis

A, B = session_ids(2)
END_HEIGHT = 22
AT_ONCE = 24
"""Histories that run side by side, each with a chain and a namespace of its own."""


async def play(mine: Rig) -> None:
    """The rest of the history from the present height: relays, windows, settlement."""
    plan = [(1, A, 0, 4), (1, B, 0, 2), (5, A, 4, 3), (11, B, 2, 1)]
    while mine.chain.height < END_HEIGHT:
        for height, session, first, count in plan:
            # The log is the relayers' business: they answer for it when they answer a client.
            if height <= mine.chain.height <= 11 and mine.sent.get(session, 0) == first:
                with trio.CancelScope(shield=True):
                    await mine.log(session, count, first=first)
        await mine.step()


async def play_until_death(mine: Rig, redis: CrashingRedis) -> None:
    """Play, but stop when the miner dies."""
    async with trio.open_nursery() as nursery:

        async def stop_on_death() -> None:
            await redis.crashed.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(stop_on_death)
        await play(mine)
        nursery.cancel_scope.cancel()


async def check(mine: Rig) -> None:
    """Every relay is settled exactly once, nothing was slashed, and the ledger agrees."""
    assert mine.claimed_counts() == mine.sent
    assert mine.chain.slashed == []
    for session in (A, B):
        steps = await mine.steps(session)
        assert steps.count("settled") == 1
        assert steps.count("mined") == 1
        assert steps.index("claim_intent") < steps.index("settled")


async def commands_of_a_life(url: str) -> int:
    """How many commands a miner sends that nothing happens to."""
    async with rig(url) as mine, mine.mortal() as redis:
        redis.arm(0, after=False)
        await play(mine)
        await check(mine)
        return redis.commands


async def die_at(url: str, command: int, *, after: bool) -> None:
    """A history in which the miner dies at a command and another one takes over."""
    async with rig(url) as mine:
        mine.settings = attrs.evolve(mine.settings, lease_ttl_seconds=0.8)
        async with mine.mortal() as redis:
            redis.arm(command, after=after)
            await play_until_death(mine, redis)
        async with mine.mining():
            await play(mine)
        try:
            await check(mine)
        except AssertionError as error:
            where = "after" if after else "before"
            raise AssertionError(f"died {where} command {command}: {error}") from error


async def test_death_at_every_command(store_url: str) -> None:
    """Before or after whichever write a miner dies, the next one settles every relay once."""
    count = await commands_of_a_life(store_url)
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def one(command: int, *, after: bool) -> None:
        async with limiter:
            await die_at(store_url, command, after=after)

    async with trio.open_nursery() as nursery:
        for command in range(1, count + 1):
            for after in (False, True):
                nursery.start_soon(lambda c=command, a=after: one(c, after=a))  # type: ignore[misc]  # bound now


@pytest.mark.parametrize("broadcast", [1, 2])
async def test_death_between_broadcast_and_record(store_url: str, broadcast: int) -> None:
    """A transaction whose sender died before noting it is found on chain and not sent again."""
    async with rig(store_url) as mine:
        async with mine.mortal() as redis:

            def die() -> None:
                if len(mine.chain.sent) == broadcast:
                    redis.die()

            mine.chain.on_submit = die
            await play_until_death(mine, redis)
        assert len(mine.chain.sent) == broadcast
        async with mine.mining():
            await play(mine)
        await check(mine)
        assert len(mine.chain.sent) == 2
