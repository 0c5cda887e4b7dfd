"""Following the chain: every new block, soon, whatever happens to the connection.

Headers come over the node's WebSocket; when it is away or silent the height is polled. The hash of
a block is not in its header, so it is fetched with `/block` and retried until it is had. Who only
needs the newest height gets the newest; who needs every height (settlement) gets every height.

Source: wire.md 8, state.md 6.2 (`pocket-relay-miner: client/block_subscriber.go`).
"""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import structlog
import trio

from relayminer.chain.errors import ChainError, WrongChainError
from relayminer.chain.history import History, is_older_chain
from relayminer.chain.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from relayminer.chain.rpc import Block, BlockRpc, NodeStatus
    from relayminer.config.chain import ChainSettings
    from relayminer.telemetry.metrics import Metrics

EVENTS_KEPT = 32
"""Recent blocks whose events are remembered until they are asked for."""

_EVENTS_GRACE_SECONDS = 1.0
"""How long the events of the newest block may come after its header."""
_LAG_BLOCKS = 10
"""A height so far beyond what the node says of itself is not believed."""
_RETRY_FIRST_SECONDS = 0.1
_RETRY_MAX_SECONDS = 5.0

_PRUNED = re.compile(r"lowest height is (\d+)")

_log = structlog.get_logger("relayminer.chain.blocks")


class BlockFollower:
    """A service that knows the latest block.

    Args:
        rpc: the node, or several.
        settings: poll interval and chain id.
        random: jitter of reconnects.
    """

    name = "blocks"

    def __init__(self, rpc: BlockRpc, settings: ChainSettings, random: Random) -> None:
        self._rpc = rpc
        self._chain_id = settings.chain_id
        self._poll_seconds = settings.poll_interval_seconds
        self._listener = Listener(
            rpc, on_height=self._want, on_events=self._keep_events, random=random
        )
        self._latest: Block | None = None
        self._wanted_height = 0
        self._wanted = trio.Event()
        self._changed = trio.Event()
        self._history = History()
        self._events: OrderedDict[int, list[dict[str, Any]]] = OrderedDict()
        self._events_changed = trio.Event()
        self._node_is_away = False
        self._wrong_chain: WrongChainError | None = None
        self.event_retries = 0
        """How often the events of a block were not to be had, and asked for again."""
        self.set_backs = 0
        """How often the chain turned out to have another past than it had."""
        self.common_height = 0
        """The last block that the chain's two pasts share, at the last set-back."""

    def show(self, metrics: Metrics) -> None:
        """Show how often a node did not have what it should."""
        metrics.counter(
            "ha_miner_block_results_retries", "Blocks whose events were asked for again"
        ).read_all = lambda: {(): self.event_retries}

    @property
    def latest(self) -> Block | None:
        """The newest block known, None before the first."""
        return self._latest

    @property
    def websocket_is_up(self) -> bool:
        """Whether headers come over the WebSocket; else they are polled."""
        return self._listener.is_up

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the chain until cancelled.

        A node that is away, or a chain without a block yet, is waited for.

        Raises:
            WrongChainError: the node belongs to another chain than the settings say.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._poll)
            nursery.start_soon(self._resolve, nursery.cancel_scope)
            nursery.start_soon(self._listener.run)
            task_status.started()
        # Raised here, outside of the nursery, so that it leaves as itself and not in a group.
        if self._wrong_chain is not None:
            raise self._wrong_chain

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[BlockSubscription]:
        """New blocks for a consumer that only cares about the newest: heights may be left out."""
        yield BlockSubscription(self)

    def events(self, from_height: int) -> EventStream:
        """The events of every block from `from_height` on, none left out."""
        self._listener.want_events()
        return EventStream(self, self._rpc, from_height)

    async def wait_for(self, height: int) -> Block:
        """The newest block, once it is at `height` or above."""
        while self._latest is None or self._latest.height < height:
            await self._changed.wait()
        return self._latest

    async def wait_changed(self) -> None:
        """Until there is another newest block."""
        await self._changed.wait()

    async def block_hash(self, height: int) -> bytes:
        """The hash of the block at `height`, 32 bytes.

        Raises:
            HeightNotReachedError: the chain is not there yet.
            ChainUnavailableError, ChainQueryError: the node did not say.
        """
        known = self._history.get(height)
        if known is None:
            block = await self._rpc.block(height)
            self._history.remember(block)
            known = block.hash
        return known

    def _want(self, height: int) -> None:
        """Someone has seen that `height` exists."""
        if height > self._wanted_height:
            self._wanted_height = height
            self._wanted.set()

    async def _resolve(self, all_tasks: trio.CancelScope) -> None:
        """Fetch the newest wanted block, again and again until it is had."""
        retry_seconds = _RETRY_FIRST_SECONDS
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            while self._latest is None or self._wanted_height > self._latest.height:
                try:
                    block = await self._rpc.block(self._wanted_height)
                except WrongChainError as error:
                    self._wrong_chain = error
                    all_tasks.cancel()
                    return
                except ChainError as error:
                    _log.debug("no block yet", height=self._wanted_height, error=str(error))
                    await trio.sleep(retry_seconds)
                    retry_seconds = min(retry_seconds * 2, _RETRY_MAX_SECONDS)
                    await self._doubt()
                else:
                    retry_seconds = _RETRY_FIRST_SECONDS
                    if block.chain_id != self._chain_id:
                        self._wrong_chain = WrongChainError(
                            self._rpc.address, block.chain_id, self._chain_id
                        )
                        all_tasks.cancel()
                        return
                    await self._advance(block)

    async def _doubt(self) -> None:
        """A height that cannot be had may never have been: see what the node says of itself.

        Nodes behind one address may be a few blocks apart; that is waited for.
        """
        with contextlib.suppress(ChainError):
            height = (await self._rpc.status()).latest_height
            if height + _LAG_BLOCKS < self._wanted_height:
                _log.warning(
                    "a block was announced that is far from being there",
                    announced=self._wanted_height,
                    height=height,
                )
                self._wanted_height = height

    async def _advance(self, block: Block) -> None:
        if self._history.is_contradicted(block):
            await self._set_back(block)
        elif self._latest is not None and block.height <= self._latest.height:
            return
        self._latest = block
        self._history.remember(block)
        self._changed.set()
        self._changed = trio.Event()

    async def _set_back(self, block: Block) -> None:
        """The chain has another past than it had: forget what was known of it, and tell."""
        common_height = await self._history.common_height(block, self._rpc.block)
        _log.error(
            "the chain was set back: blocks that were followed are not in it any more. Sessions of "
            "those blocks are compared with the chain anew; if the chain was started over, restart "
            "this process with an empty store",
            height=block.height,
            common_height=common_height,
            followed=None if self._latest is None else self._latest.height,
        )
        self._history.forget_above(common_height)
        self._events.clear()
        self._wanted_height = block.height
        self.common_height = common_height
        self.set_backs += 1

    async def _look_back(self, status: NodeStatus) -> None:
        """See whether a node that is below what was followed has another chain."""
        latest = self._latest
        if latest is None or not 0 < status.latest_height <= latest.height:
            return
        if self._history.get(status.latest_height) == status.latest_hash:
            return
        with contextlib.suppress(ChainError):
            block = await self._rpc.block(status.latest_height)
            if block.chain_id != self._chain_id or self._latest is not latest:
                return
            if self._history.is_contradicted(block):
                await self._advance(block)
            elif is_older_chain(status, latest):
                await self._set_back(block)
                self._latest = None
                await self._advance(block)

    async def _poll(self) -> None:
        """Ask for the height whenever no block has come for a while."""
        while True:
            try:
                status = await self._rpc.status()
            except ChainError as error:
                if not self._node_is_away:
                    _log.warning("the chain's node does not answer", error=str(error))
                self._node_is_away = True
            else:
                if self._node_is_away:
                    _log.info("the chain's node answers again", height=status.latest_height)
                self._node_is_away = False
                if status.latest_height > 0:
                    await self._look_back(status)
                    self._want(status.latest_height)
                    self._listener.expect(status.latest_height)
            await self._silence()

    async def _silence(self) -> None:
        """Return when no block has come for the poll interval."""
        while True:
            with trio.move_on_after(self._poll_seconds) as quiet:
                await self._changed.wait()
            if quiet.cancelled_caught:
                return

    def _keep_events(self, height: int, events: list[dict[str, Any]]) -> None:
        self._events[height] = events
        while len(self._events) > EVENTS_KEPT:
            self._events.popitem(last=False)
        self._events_changed.set()
        self._events_changed = trio.Event()

    async def _pushed_events(self, height: int) -> list[dict[str, Any]] | None:
        """The events of a block as they were pushed; None when they were not."""
        is_newest = self._latest is not None and height == self._latest.height
        if is_newest and self._listener.sends_events:
            with trio.move_on_after(_EVENTS_GRACE_SECONDS):
                while height not in self._events and self._listener.sends_events:
                    await self._events_changed.wait()
        return self._events.get(height)


def pruned_below(text: str) -> int | None:
    """The lowest height that a node still has, when its error says that another is gone."""
    found = _PRUNED.search(text)
    return int(found[1]) if found else None


class BlockSubscription:
    """Iterate over new blocks; after a slow step the next one is the newest, not the oldest."""

    def __init__(self, follower: BlockFollower) -> None:
        self._follower = follower
        self._set_backs = follower.set_backs
        self._seen_height = 0

    async def receive(self) -> Block:
        """The newest block that was not received yet; at first the one that is known already.

        After a set-back of the chain that is one below those that were received.
        """
        while not self._is_new(self._follower.latest):
            await self._follower.wait_changed()
        block = await self._follower.wait_for(0)
        self._seen_height, self._set_backs = block.height, self._follower.set_backs
        await trio.lowlevel.checkpoint_if_cancelled()
        return block

    def _is_new(self, block: Block | None) -> bool:
        if block is None:
            return False
        return block.height > self._seen_height or self._set_backs != self._follower.set_backs

    def __aiter__(self) -> BlockSubscription:
        return self

    async def __anext__(self) -> Block:
        return await self.receive()


class EventStream:
    """Iterate over `(height, finalize_block_events)` of every block, in order.

    After a set-back of the chain heights come again, from the first one that is another block now.

    Heights that a node has pruned cannot be had from it: they are left out, told in the log, and
    counted.

    Attributes:
        skipped_heights: how many were left out.
    """

    def __init__(self, follower: BlockFollower, rpc: BlockRpc, from_height: int) -> None:
        self._follower = follower
        self._rpc = rpc
        self._set_backs = follower.set_backs
        self._next_height = max(from_height, 1)
        self.skipped_heights = 0

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> tuple[int, list[dict[str, Any]]]:
        retry_seconds = _RETRY_FIRST_SECONDS
        while True:
            height = await self._reached()
            events = await self._follower._pushed_events(height)  # noqa: SLF001 - one module
            if events is None:
                try:
                    events = await self._rpc.finalize_block_events(height)
                except ChainError as error:
                    if self._skip_pruned(error):
                        continue
                    self._follower.event_retries += 1
                    _log.warning("no events of a block yet", height=height, error=str(error))
                    await trio.sleep(retry_seconds)
                    retry_seconds = min(retry_seconds * 2, _RETRY_MAX_SECONDS)
                    continue
            if self._set_backs != self._follower.set_backs:
                # They may be of a block that is not in the chain any more.
                continue
            self._next_height = height + 1
            return height, events

    async def _reached(self) -> int:
        """The next height, once it is there; a lower one after the chain was set back."""
        while True:
            if self._set_backs != self._follower.set_backs:
                self._set_backs = self._follower.set_backs
                self._next_height = min(self._next_height, self._follower.common_height + 1)
            latest = self._follower.latest
            if latest is not None and latest.height >= self._next_height:
                return self._next_height
            await self._follower.wait_changed()

    def _skip_pruned(self, error: ChainError) -> bool:
        lowest_height = pruned_below(str(error))
        if lowest_height is None or lowest_height <= self._next_height:
            return False
        self.skipped_heights += lowest_height - self._next_height
        _log.error(
            "the node has pruned blocks whose events were not read",
            from_height=self._next_height,
            to_height=lowest_height - 1,
        )
        self._next_height = lowest_height
        return True
