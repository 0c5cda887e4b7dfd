"""A limit on what is done at once, with a fair queue in front of it.

Past its capacity a queue cannot serve more, only later: whoever would wait too long is refused at
once, so that those who wait are served soon. Relays of different keys (applications, suppliers)
take turns, and when the queue is full it is the longest one that gives way.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from relayminer.relayer.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

OVERLOADED = "overloaded"
_WEIGHT = 0.05
_FIRST_GUESS_SECONDS = 0.05
_LEAST_WAIT_SECONDS = 0.005
_PATIENCE = 1.5
"""Who was let in by an estimate may wait this much longer before being told."""


class _Waiter:
    __slots__ = ("decided", "key", "was_admitted")

    def __init__(self, key: str) -> None:
        self.key = key
        self.decided = trio.Event()
        self.was_admitted = False


class FairQueue:
    """At most `max_in_flight` at once, `max_waiting` behind them.

    Args:
        max_in_flight: more than 0.
        max_waiting: 0 refuses whoever cannot go at once.
        max_wait_seconds: 0: as long as one takes on average.
        clock: monotonic seconds.

    Attributes:
        in_flight: entered, not left.
        waiting: in the queue.
        refused: how many were refused.
    """

    def __init__(
        self,
        *,
        max_in_flight: int,
        max_waiting: int,
        max_wait_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self.max_in_flight = max_in_flight
        self._max_waiting = max_waiting
        self._max_wait_seconds = max_wait_seconds
        self._clock = clock
        self._queues: dict[str, deque[_Waiter]] = {}
        self._average_seconds = 0.0
        self.in_flight = 0
        self.waiting = 0
        self.refused = 0

    @property
    def longest_wait_seconds(self) -> float:
        """Who would wait longer is refused."""
        if self._max_wait_seconds:
            return self._max_wait_seconds
        return max(self._average_seconds or _FIRST_GUESS_SECONDS, _LEAST_WAIT_SECONDS)

    @property
    def has_room(self) -> bool:
        """Whether one more could go at once."""
        return self.in_flight < self.max_in_flight and not self.waiting

    def check(self, key: str) -> None:
        """Refuse early who has no prospect of being served in time.

        Raises:
            RefusedError: 503.
        """
        if self.in_flight >= self.max_in_flight and not self._has_prospect(key):
            raise self._refusal()

    async def enter(self, key: str) -> float:
        """Wait for a turn; the clock's time at which it came, for `leave`.

        Raises:
            RefusedError: 503, there is none in time.
        """
        if self.has_room:
            self.in_flight += 1
            return self._clock()
        if not self._has_prospect(key):
            raise self._refusal()
        if self.waiting >= self._max_waiting:
            self._evict()
        await self._wait(key)
        return self._clock()

    async def _wait(self, key: str) -> None:
        waiter = _Waiter(key)
        self._queues.setdefault(key, deque()).append(waiter)
        self.waiting += 1
        try:
            with trio.move_on_after(self.longest_wait_seconds * _PATIENCE):
                await waiter.decided.wait()
        except BaseException:
            if waiter.was_admitted:
                self._next()
            raise
        finally:
            if not waiter.decided.is_set():
                self._remove(waiter)
        if not waiter.was_admitted:
            raise self._refusal()

    def leave(self, entered_at: float) -> None:
        """Done: the next one may go."""
        seconds = self._clock() - entered_at
        if self._average_seconds:
            self._average_seconds += _WEIGHT * (seconds - self._average_seconds)
        else:
            self._average_seconds = seconds
        self._next()

    def _next(self) -> None:
        if not self.waiting:
            self.in_flight -= 1
            return
        # The first key's first: then it goes behind the others.
        key = next(iter(self._queues))
        queue = self._queues.pop(key)
        waiter = queue.popleft()
        if queue:
            self._queues[key] = queue
        self.waiting -= 1
        waiter.was_admitted = True
        waiter.decided.set()

    def _has_prospect(self, key: str) -> bool:
        own = self._queues.get(key)
        ahead_of_its_kind = len(own) if own is not None else 0
        if self.waiting >= self._max_waiting and (
            not self._max_waiting or ahead_of_its_kind + 1 >= self._longest()
        ):
            return False
        rivals = len(self._queues) + (own is None)
        ahead = min(self.waiting, (ahead_of_its_kind + 1) * rivals - 1)
        average = self._average_seconds or _FIRST_GUESS_SECONDS
        return (ahead + 1) * average / self.max_in_flight <= self.longest_wait_seconds

    def _longest(self) -> int:
        return max(map(len, self._queues.values()), default=0)

    def _evict(self) -> None:
        """The newest of the longest queue makes room."""
        queue = max(self._queues.values(), key=len)
        waiter = queue[-1]
        self._remove(waiter)
        waiter.decided.set()

    def _remove(self, waiter: _Waiter) -> None:
        queue = self._queues[waiter.key]
        queue.remove(waiter)
        if not queue:
            del self._queues[waiter.key]
        self.waiting -= 1

    def _refusal(self) -> RefusedError:
        self.refused += 1
        return RefusedError(503, "service is at capacity", OVERLOADED)
