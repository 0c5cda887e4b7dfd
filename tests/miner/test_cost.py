"""What a relay costs the miner, from its entry in the log to its checkpoint."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from tests.miner.harness import session_ids

if TYPE_CHECKING:
    from tests.miner.harness import Rig

RELAYS = 4_000
PAYLOAD_BYTES = 700
"""With two session headers this makes the usual relay of about 1,200 bytes."""
PER_WRITE = 500
LIMIT_US = 200.0


async def cpu_us_per_relay(mine: Rig, sessions: int, relays: int) -> float:
    """Microseconds of this process's CPU per relay of a log that is full when the miner starts.

    The log is filled with one pipelined write per 500 relays, which is not counted.
    """
    ids = session_ids(sessions)
    commands = []
    for number in range(relays):
        payload = number.to_bytes(8, "big") * (PAYLOAD_BYTES // 8)
        data = mine.relay(ids[number % sessions], number, payload=payload)
        commands.append(("XADD", mine.names.stream_key(mine.supplier), "*", "data", data))
    for start in range(0, relays, PER_WRITE):
        await mine.redis.pipeline(commands[start : start + PER_WRITE])
    began = time.process_time()
    async with mine.mining():
        for session in ids:
            await mine.counted(session, relays // sessions)
        return (time.process_time() - began) / relays * 1e6


async def test_a_relay_stays_within_its_budget(mine: Rig) -> None:
    """A relay of three sessions' worth of backlog costs less CPU than the budget allows."""
    cost = await cpu_us_per_relay(mine, sessions=4, relays=RELAYS)
    assert cost <= LIMIT_US, f"{cost:.0f} us of CPU per relay"


async def test_a_batch_does_not_hold_up_the_loop(mine: Rig) -> None:
    """While a full log is worked off, other tasks of the process get their turn."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        before = trio.current_time()
        while True:
            await trio.lowlevel.checkpoint()
            now = trio.current_time()
            longest = max(longest, now - before)
            before = now
            await trio.sleep(0.001)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await cpu_us_per_relay(mine, sessions=1, relays=RELAYS)
        nursery.cancel_scope.cancel()
    assert longest < 0.25
