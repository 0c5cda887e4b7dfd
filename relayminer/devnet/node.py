"""The node: runs the chain on a clock or by command and tells subscribers what happened."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from relayminer.devnet.comet_json import (
    composite_keys,
    header_json,
    hex_upper,
    new_block_events_value,
    new_block_value,
    tx_hash,
    tx_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.devnet.chain import Block, Chain
    from relayminer.devnet.faults import WireFaults
    from relayminer.devnet.subscriptions import EventBus

NANOSECONDS_PER_MILLISECOND = 1_000_000
STEP_POLLS = 500
STEP_POLL_SECONDS = 0.001


class Node:
    """Service that produces blocks and announces them.

    Args:
        chain: the state machine; nobody else calls its `produce_block`.
        bus: where block and transaction events go.
        block_time_seconds: seconds between blocks; None produces blocks only by `step`.
        now_ns: wall clock in nanoseconds since 1970.
        faults: what goes wrong on purpose on the wire.
    """

    name = "devnet.node"

    def __init__(
        self,
        chain: Chain,
        bus: EventBus,
        *,
        block_time_seconds: float | None,
        now_ns: Callable[[], int],
        faults: WireFaults,
    ) -> None:
        self.chain = chain
        self.bus = bus
        self.faults = faults
        self._block_time_seconds = block_time_seconds
        self._now_ns = now_ns
        self._clock_changed = trio.Event()
        self._block_made = trio.Event()

    @property
    def block_time_seconds(self) -> float | None:
        """Seconds between blocks; None when blocks come by `step` only."""
        return self._block_time_seconds

    @property
    def visible_height(self) -> int:
        """The tip that RPC clients are shown: the chain's, less the lag that a fault adds."""
        return max(1, self.chain.height - self.faults.lag_blocks)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Produce blocks until cancelled; the first one before it reports that it has started."""
        if self.chain.height == 0:
            self._produce()
        task_status.started()
        while True:
            self._clock_changed = trio.Event()
            if self._block_time_seconds is None:
                await self._clock_changed.wait()
            else:
                await self._tick(self._block_time_seconds)

    async def _tick(self, block_time_seconds: float) -> None:
        """Produce at a steady pace until the pace is changed."""
        due = trio.current_time() + block_time_seconds
        while True:
            with trio.move_on_at(due):
                await self._clock_changed.wait()
            if self._clock_changed.is_set():  # also when both came at once: stopped is stopped
                return
            if not self.chain.faults.stalled:
                self._produce()
            # A host that was asleep makes the next block, not a burst of all it missed.
            due = max(due + block_time_seconds, trio.current_time())

    def set_block_time(self, block_time_seconds: float | None) -> None:
        """Change the pace; None stops the clock."""
        self._block_time_seconds = block_time_seconds
        self._clock_changed.set()

    async def step(self, blocks: int = 1) -> Block:
        """Produce `blocks` (at least 1) at once; returns the last when all are committed.

        Raises:
            StalledError: the chain is stalled by a fault.
        """
        block = self._produce()
        for _ in range(blocks - 1):
            await self._let_subscribers_read()
            block = self._produce()
        await trio.lowlevel.checkpoint()
        return block

    async def _let_subscribers_read(self) -> None:
        """Give everyone a turn, so that a long step does not cancel those who do read."""
        await trio.lowlevel.checkpoint()
        for _ in range(STEP_POLLS):
            if not self.bus.crowded:
                return
            await trio.sleep(STEP_POLL_SECONDS)

    async def wait_height(self, height: int) -> None:
        """Return when the chain has reached `height`."""
        while self.chain.height < height:
            await self._block_made.wait()

    def _produce(self) -> Block:
        latest = self.chain.latest
        time_ns = self._now_ns()
        if latest is not None:  # header times only rise, also when blocks come faster than time
            time_ns = max(time_ns, latest.time_ns + NANOSECONDS_PER_MILLISECOND)
        block = self.chain.produce_block(time_ns)
        self._block_made.set()
        self._block_made = trio.Event()
        if not self.faults.take_dropped_block():
            self._announce(block)
        return block

    def _announce(self, block: Block) -> None:
        """Publish in CometBFT's order: block, header, block events, transactions."""
        results = self.chain.block_results(block.height)
        keys = composite_keys(results.finalize_block_events)
        self.bus.publish("NewBlock", keys, lambda: new_block_value(block, results))
        self.bus.publish("NewBlockHeader", {}, lambda: {"header": header_json(block.header)})
        self.bus.publish("NewBlockEvents", keys, lambda: new_block_events_value(block, results))
        for index, (tx, result) in enumerate(zip(block.txs, results.tx_results, strict=True)):
            tx_keys = composite_keys(result.events)
            tx_keys["tx.hash"] = [hex_upper(tx_hash(tx))]
            tx_keys["tx.height"] = [str(block.height)]
            self.bus.publish("Tx", tx_keys, partial(tx_value, block.height, index, tx, result))
