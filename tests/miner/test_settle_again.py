"""Settlement is read again where the chain was set back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio
from attrs import define, field

from relayminer.miner.metrics import MinerMetrics
from relayminer.miner.settle import Settlement
from relayminer.telemetry.metrics import Metrics
from relayminer.watchdog import Pulse
from tests.miner.harness import rig, session_ids

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


(A,) = session_ids(1)


@define
class Blocks:
    """Heights as an event stream gives them: 8 and 9 come twice."""

    heights: Sequence[int] = (7, 8, 9, 8, 9, 10)
    done: trio.Event = field(factory=trio.Event)

    async def events(self, from_height: int) -> AsyncIterator[tuple[int, Sequence[Any]]]:
        """All heights, then nothing more."""
        for height in self.heights:
            if height >= from_height:
                yield height, []
        self.done.set()
        await trio.sleep_forever()


@define
class Supplier:
    """What settlement asks of a supplier; its own store."""

    saved: list[int] = field(factory=list)
    address: str = "pokt1supplier"
    book: Any = None

    @property
    def store(self) -> Supplier:
        """Itself."""
        return self

    async def save_settled_height(self, height: int) -> None:
        """Keeps every height."""
        await trio.lowlevel.checkpoint()
        self.saved.append(height)


async def test_heights_that_come_again_are_recorded_again() -> None:
    """What was read of blocks that the chain took back does not count as read."""
    blocks, supplier = Blocks(), Supplier()
    settlement = Settlement(blocks, MinerMetrics(Metrics()))  # type: ignore[arg-type]  # as much of it as is used
    settlement.add(supplier, 6)  # type: ignore[arg-type]  # as above
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(settlement.run, Pulse())
            await blocks.done.wait()
            nursery.cancel_scope.cancel()
    assert supplier.saved == [7, 8, 9, 8, 9, 10]
    assert settlement.through(supplier.address) == 10


async def test_the_ledger_keeps_its_newest_records(store_url: str) -> None:
    """After sessions have ended the oldest records go; those of the last sessions stay."""
    async with rig(store_url) as mine:
        mine.settings = attrs.evolve(mine.settings, ledger_records_max=10)
        await mine.log(A, 5)
        async with mine.mining():
            await mine.counted(A, 5)
            await mine.step_to(21)
            lines = await mine.ledger()
            assert len(lines) >= 10
            await mine.step(45)
        kept = await mine.ledger()
        assert [line["step"] for line in kept] == [line["step"] for line in lines[-10:]]
