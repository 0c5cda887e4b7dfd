"""How many bytes of answers a process holds, over all connections: a bound on its memory.

An answer's bytes are counted from the moment they are read until the last one who holds the answer
lets go of it: its `Lease` travels with it and gives the bytes back when it is gone. Nobody has to
remember to do so, neither a transport that fails to write the answer nor a task that is cancelled.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio
from attrs import field, frozen

from relayminer.net.errors import TooMuchHeldError

FREE_BYTES: Final = 65_536
"""A smaller answer is not counted: the relays at once bound what such answers take."""
_STEP_BYTES: Final = 262_144


class HeldBytes:
    """The bytes of all answers.

    Attributes:
        limit_bytes: of what is counted.
        held_bytes: counted now.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._waiting: deque[_Waiter] = deque()
        # The id of the one lease that may go beyond the limit: a reference would keep it.
        self._beyond: int | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    async def wait_for(self, lease: Lease, size: int) -> None:
        """Let `lease` hold `size` bytes in all, once there is room for them.

        Who waits keeps what he has, so many could wait for each other for ever. One at a time is
        given what he wants beyond the limit: whoever has waited longest.
        """
        if (id(lease) == self._beyond or not self._waiting) and self._give(lease, size):
            return
        waiter = _Waiter(lease, size)
        self._token = trio.lowlevel.current_trio_token()
        self._waiting.append(waiter)
        try:
            await waiter.turn.wait()
        finally:
            if not waiter.turn.is_set():
                self._waiting.remove(waiter)
                self._wake()

    def _give(self, lease: Lease, size: int) -> bool:
        if self.held_bytes + size - lease.size > self.limit_bytes:
            if self._beyond not in (None, id(lease)):
                return False
            self._beyond = id(lease)
        self.held_bytes += size - lease.size
        lease.size = size
        return True

    def given_back(self, lease: Lease) -> None:
        """A lease holds nothing any more. It may go in any thread: whoever waits is told later."""
        if id(lease) == self._beyond:
            self._beyond = None
        if self._waiting and self._token is not None:
            self._token.run_sync_soon(self._wake, idempotent=True)

    def _wake(self) -> None:
        while self._waiting and self._give(self._waiting[0].lease, self._waiting[0].size):
            self._waiting.popleft().turn.set()


class Lease:
    """What one answer holds.

    Attributes:
        size: so many bytes.
    """

    __slots__ = ("_held", "size")

    def __init__(self, held: HeldBytes) -> None:
        self._held = held
        self.size = 0

    def grow(self, size: int) -> None:
        """Hold `size` bytes in all.

        Raises:
            TooMuchHeldError: there is no room for them.
        """
        held = self._held
        more = size - self.size
        if more <= 0:
            return
        if held.held_bytes + more > held.limit_bytes:
            raise TooMuchHeldError("the answers in hand have more bytes than accepted")
        held.held_bytes += more
        self.size = size

    async def wait_for(self, size: int) -> None:
        """As `grow`, a little in advance, but wait until there is room."""
        if size > max(self.size, FREE_BYTES):
            await self._held.wait_for(self, size + _STEP_BYTES)

    def release(self) -> None:
        """Give all of it back."""
        if self.size:
            self._held.held_bytes -= self.size
            self.size = 0
            self._held.given_back(self)

    def __del__(self) -> None:
        self.release()


@frozen(eq=False)
class _Waiter:
    lease: Lease
    size: int
    turn: trio.Event = field(factory=trio.Event)


class Allowance:
    """How many bytes one body may have, within its own limit and that of all.

    Attributes:
        size: bytes that may come before `extend` must be asked.
        lease: on what is counted, None while nothing is.
    """

    __slots__ = ("_held", "_max_bytes", "lease", "size")

    def __init__(self, held: HeldBytes | None) -> None:
        self._held = held
        self._max_bytes = 0
        self.lease: Lease | None = None
        self.size = 0

    def begin(self, max_bytes: int) -> None:
        """A new body, of at most `max_bytes`."""
        self.lease = None
        self._max_bytes = max_bytes
        self.size = max_bytes if self._held is None else min(max_bytes, FREE_BYTES)

    def extend(self, size: int, *, exact: bool = False) -> bool:
        """Make room for a body of `size` bytes; False when that is over its own limit.

        Raises:
            TooMuchHeldError: over the limit of all.
        """
        if size > self._max_bytes:
            return False
        if self._held is not None and size > self.size:
            if self.lease is None:
                self.lease = Lease(self._held)
            wanted = size if exact else min(size + _STEP_BYTES, self._max_bytes)
            self.lease.grow(wanted)
            self.size = wanted
        return True

    def take_lease(self) -> Lease | None:
        """The lease, for the answer that it is of."""
        lease, self.lease = self.lease, None
        return lease

    def count_no_more(self) -> None:
        """The body is passed on piece by piece: nothing of it is held."""
        self.lease = None
        self.size = self._max_bytes
