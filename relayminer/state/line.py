"""The line of commands that wait for their replies: pure bookkeeping, no I/O.

A waiter stays in its place from `enqueue` until its last reply has come, whether or not a task
still waits for it; that is what keeps replies and commands matched.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import outcome
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule

from relayminer.state.errors import StoreAwayError, StoreFullError


class Waiter:
    """One write and the replies that it expects: one, or as many as a pipeline has commands."""

    __slots__ = ("deadline", "expected", "packed", "replies", "reply", "sent", "task")

    def __init__(self, packed: bytes, expected: int, deadline: float) -> None:
        self.packed = packed
        self.expected = expected
        self.deadline = deadline
        self.sent = False
        self.reply: Any = None
        self.replies: list[Any] = []
        # The task to wake. None once it was woken or went away: replies then fall on the floor.
        self.task: Task | None = current_task()

    def abandon(self, _raise_cancel: RaiseCancelT) -> Abort:
        """Trio's abort function: the task leaves, the waiter keeps its place."""
        self.task = None
        return Abort.SUCCEEDED

    def wake(self) -> None:
        """Lets the task go on with `reply`."""
        task, self.task = self.task, None
        if task is not None:
            reschedule(task)

    def fail(self, reason: str) -> None:
        """Lets the task go on with StoreAwayError."""
        task, self.task = self.task, None
        if task is not None:
            error = StoreAwayError(reason, maybe_executed=self.sent)
            reschedule(task, outcome.Error(error))


class Line:
    """Waiters not yet sent, then waiters in flight, both in order."""

    def __init__(self, max_waiting: int, max_unsent_bytes: int) -> None:
        self._max_waiting = max_waiting
        self._max_unsent_bytes = max_unsent_bytes
        self._unsent: list[Waiter] = []
        self._unsent_bytes = 0
        self._in_flight: deque[Waiter] = deque()

    def __len__(self) -> int:
        return len(self._unsent) + len(self._in_flight)

    @property
    def has_unsent(self) -> bool:
        """Whether there is something to write."""
        return bool(self._unsent)

    def enqueue(self, packed: bytes, expected: int, deadline: float) -> Waiter:
        """A waiter for the current task at the end of the line; it must then wait at once.

        Raises:
            StoreFullError: the line has reached its bound.
        """
        if len(self._unsent) + len(self._in_flight) >= self._max_waiting:
            self._forget_abandoned()
            if len(self) >= self._max_waiting:
                raise StoreFullError(
                    f"{self._max_waiting} commands wait for the store already "
                    "(redis.max_queued_commands)"
                )
        size = self._unsent_bytes + len(packed)
        if size > self._max_unsent_bytes and self._unsent_bytes:
            self._forget_abandoned()
            size = self._unsent_bytes + len(packed)
            if size > self._max_unsent_bytes and self._unsent_bytes:
                raise StoreFullError(
                    f"{self._unsent_bytes} bytes wait for the store already "
                    "(redis.max_queued_bytes)"
                )
        self._unsent_bytes = size
        waiter = Waiter(packed, expected, deadline)
        self._unsent.append(waiter)
        return waiter

    def take_unsent(self) -> bytes:
        """Everything to write now; its waiters are in flight from here on."""
        batch = [waiter for waiter in self._unsent if waiter.task is not None]
        self._unsent.clear()
        self._unsent_bytes = 0
        data = b"".join([waiter.packed for waiter in batch])
        for waiter in batch:
            waiter.sent = True
            # Never sent twice, so not needed any more.
            waiter.packed = b""
        self._in_flight.extend(batch)
        return data

    def answer(self, reply: Any) -> None:
        """Hands the next reply to the first waiter in flight.

        Raises:
            StoreAwayError: nobody is in flight, so the two sides have lost step.
        """
        if not self._in_flight:
            raise StoreAwayError("the server sent a reply that nobody asked for")
        waiter = self._in_flight[0]
        if waiter.expected > 1:
            waiter.replies.append(reply)
            if len(waiter.replies) < waiter.expected:
                return
            reply = waiter.replies
        self._in_flight.popleft()
        waiter.reply = reply
        waiter.wake()

    def fail_in_flight(self, reason: str) -> None:
        """The connection is gone: nobody knows whether these were executed, so none is repeated."""
        failed, self._in_flight = self._in_flight, deque()
        for waiter in failed:
            waiter.fail(reason)

    def fail_all(self, reason: str) -> None:
        """There will be no other connection."""
        self.fail_in_flight(reason)
        unsent, self._unsent = self._unsent, []
        self._unsent_bytes = 0
        for waiter in unsent:
            waiter.fail(reason)

    def expire(self, now: float, reason: str) -> float | None:
        """Fails every waiter whose deadline has passed; returns the next deadline, if any."""
        following: float | None = None
        expired = False
        for waiter in (*self._in_flight, *self._unsent):
            if waiter.task is None:
                continue
            if waiter.deadline <= now:
                waiter.fail(reason)
                expired = True
            elif following is None or waiter.deadline < following:
                following = waiter.deadline
        if expired:
            self._forget_abandoned()
        return following

    def oldest_deadline(self) -> float | None:
        """Deadline of the first waiter in flight: long past means that the server is stuck."""
        return self._in_flight[0].deadline if self._in_flight else None

    def _forget_abandoned(self) -> None:
        # Only those not sent: the others keep their places until their replies have come.
        self._unsent = [waiter for waiter in self._unsent if waiter.task is not None]
        self._unsent_bytes = sum(len(waiter.packed) for waiter in self._unsent)
