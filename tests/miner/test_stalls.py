"""Loops that hang: nothing else is held back, it is told, and the loop alone is begun again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from relayminer.miner import drive, supplier
from relayminer.miner.accumulate import Accumulator
from tests.miner.harness import session_ids, suppliers, until

if TYPE_CHECKING:
    import pytest

    from relayminer.miner.service import MinerService
    from relayminer.watchdog import Watchdog
    from tests.miner.harness import Rig

A, B = session_ids(2)


def watchdog_of(service: MinerService) -> Watchdog:
    """What looks after a miner's loops."""
    return service._watchdog


async def test_a_claim_that_hangs_holds_back_nothing_else(
    mine: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one session's claim is stuck in a node, a later session's is made and settled."""
    await mine.log(A, 2)
    hanging = 0
    submit = type(mine.chain).submit

    async def hang_for_a(self: Any, messages: Any, key: Any, lifetime_seconds: float) -> Any:
        nonlocal hanging
        if any(one.session_header.session_id == A for one in messages):
            hanging += 1
            await trio.sleep_forever()
        return await submit(self, messages, key, lifetime_seconds)

    monkeypatch.setattr(type(mine.chain), "submit", hang_for_a)
    async with mine.mining():
        await mine.counted(A, 2)
        await mine.step_to(11)
        await mine.log(B, 3, session_start_height=11, session_end_height=20)
        await mine.counted(B, 3)
        while not hanging:
            mine.chain.advance()
            await until(lambda: bool(hanging) or mine.driven() == mine.chain.height)
        # The pass of the block in which the claim hangs does not end; those after it do.
        mine.chain.advance()
        await mine.step_to(33)
        assert hanging == 1
        assert mine.claimed_counts() == {B: 3}


async def test_a_hanging_claim_is_given_up_and_made_again(
    mine: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time is up the work is begun again at once, not at the next block."""
    monkeypatch.setattr(drive, "GROUP_SECONDS", 0.3)
    await mine.log(A, 2)
    hung: list[int] = []

    def hang_once() -> bool | None:
        hung.append(mine.chain.height)
        return True if len(hung) == 1 else None

    mine.chain.before_submit = hang_once
    async with mine.mining():
        await mine.counted(A, 2)
        await mine.step_to(22)
        assert mine.claimed_counts() == mine.sent
    assert len(hung) >= 2


async def test_a_consumer_that_hangs_is_begun_again_alone(
    mine: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its supplier starts over from the store and counts every relay; the others go on."""
    monkeypatch.setattr(supplier, "INGEST_DEADLINE_SECONDS", 0.5)
    keys = suppliers(2)
    mine.keys = keys
    second = keys[1].address
    add = Accumulator.add
    hung: list[str] = []

    async def hang_once(self: Accumulator, entries: Any) -> Any:
        if not hung and self._supplier == mine.supplier:
            hung.append(mine.supplier)
            await trio.sleep_forever()
        return await add(self, entries)

    monkeypatch.setattr(Accumulator, "add", hang_once)
    await mine.log(A, 5)
    async with mine.mining() as service, trio.open_nursery() as nursery:
        watchdog = watchdog_of(service)
        nursery.start_soon(watchdog.run)
        await mine.log(B, 3, supplier_operator_address=second)
        await mine.counted(B, 3, second)
        await until(lambda: watchdog.problem() is not None)
        assert mine.supplier in str(watchdog.problem())
        assert second not in str(watchdog.problem())
        await mine.counted(A, 5)
        await until(lambda: watchdog.problem() is None)
        assert hung == [mine.supplier]
        nursery.cancel_scope.cancel()
