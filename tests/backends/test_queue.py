"""The fair queue: turns, evictions, estimates, and a count that is always right."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from relayminer.relayer.errors import RefusedError
from relayminer.relayer.queue_fair import FairQueue


def queue_of(limit: int = 1, waiting: int = 10, seconds: float = 100.0) -> FairQueue:
    """A queue on Trio's clock."""
    return FairQueue(
        max_in_flight=limit,
        max_waiting=waiting,
        max_wait_seconds=seconds,
        clock=trio.current_time,
    )


class Party:
    """Relays that want in."""

    def __init__(self, queue: FairQueue, nursery: trio.Nursery) -> None:
        self.queue = queue
        self.nursery = nursery
        self.admitted: list[str] = []
        self.refused: list[str] = []

    async def come(self, name: str) -> None:
        """One more, of the key that its name starts with."""
        self.nursery.start_soon(self._enter, name)
        await trio.testing.wait_all_tasks_blocked()

    async def _enter(self, name: str) -> None:
        try:
            await self.queue.enter(name[0])
        except RefusedError:
            self.refused.append(name)
        else:
            self.admitted.append(name)

    async def leave(self, count: int = 1) -> None:
        """So many are done."""
        for _ in range(count):
            self.queue.leave(trio.current_time())
            await trio.testing.wait_all_tasks_blocked()


async def test_keys_take_turns() -> None:
    """A hundred relays of one application do not make another's single relay wait for all."""
    async with trio.open_nursery() as nursery:
        party = Party(queue_of(), nursery)
        for name in ("a0", "a1", "a2", "a3", "b1", "c1", "b2"):
            await party.come(name)
        await party.leave(6)
        assert party.admitted == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]
        await party.leave()
        assert (party.queue.in_flight, party.queue.waiting) == (0, 0)


async def test_the_longest_queue_gives_way() -> None:
    """When no more may wait, the newest of the greediest is sent away, not the newcomer."""
    async with trio.open_nursery() as nursery:
        party = Party(queue_of(waiting=3), nursery)
        for name in ("a0", "a1", "a2", "a3", "b1", "a4"):
            await party.come(name)
        assert party.refused == ["a3", "a4"]
        await party.leave(3)
        assert party.admitted == ["a0", "a1", "b1", "a2"]


async def test_who_would_wait_too_long_is_refused_at_once(autojump_clock: trio.abc.Clock) -> None:
    """The estimate is the place in line times what one takes."""
    del autojump_clock
    queue = queue_of(limit=2, seconds=1.0)
    for _ in range(100):
        entered_at = await queue.enter("a")
        await trio.sleep(0.5)
        queue.leave(entered_at)
    async with trio.open_nursery() as nursery:
        party = Party(queue, nursery)
        for n in range(8):
            await party.come(f"a{n}")
        # Two are served, four wait at most a second, the rest has no prospect.
        assert len(party.admitted) == 2
        assert party.refused == ["a6", "a7"]
        with pytest.raises(RefusedError):
            queue.check("a")
        queue.check("b")
        await party.leave(6)


async def test_who_was_let_in_is_not_kept_for_ever(autojump_clock: trio.abc.Clock) -> None:
    """When those in front do not end, a waiter is told after one and a half of its time."""
    del autojump_clock
    queue = queue_of(seconds=2.0)
    await queue.enter("a")
    began = trio.current_time()
    with pytest.raises(RefusedError):
        await queue.enter("a")
    assert trio.current_time() - began == pytest.approx(3.0)
    assert (queue.in_flight, queue.waiting, queue.refused) == (1, 0, 1)


async def test_a_cancelled_waiter_leaves_no_trace() -> None:
    """Neither in line, nor when its turn comes in the moment in which it is cancelled."""
    queue = queue_of()
    await queue.enter("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.enter, "a")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert (queue.in_flight, queue.waiting) == (1, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.enter, "a")
        await trio.testing.wait_all_tasks_blocked()
        queue.leave(trio.current_time())
        nursery.cancel_scope.cancel()
    # The turn was taken, or handed back: the queue is free either way after one more leave.
    if queue.in_flight:
        queue.leave(trio.current_time())
    assert (queue.in_flight, queue.waiting) == (0, 0)


async def test_nobody_waits_where_nobody_may() -> None:
    """`max_waiting: 0` is a plain limit."""
    queue = queue_of(waiting=0)
    await queue.enter("a")
    with pytest.raises(RefusedError):
        queue.check("a")
    with pytest.raises(RefusedError):
        await queue.enter("b")
    queue.leave(trio.current_time())
    queue.check("a")
