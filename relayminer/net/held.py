"""How many bytes of answers a process holds, over all connections: a bound on its memory.

An answer's bytes are counted from the moment they are read until the last one who holds the answer
lets go of it: its `Lease` travels with it and gives the bytes back when it is gone. Nobody has to
remember to do so, neither a transport that fails to write the answer nor a task that is cancelled.
"""

from __future__ import annotations

from typing import Final

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


class Lease:
    """What one answer holds."""

    __slots__ = ("_held", "_size")

    def __init__(self, held: HeldBytes) -> None:
        self._held = held
        self._size = 0

    def grow(self, size: int) -> None:
        """Hold `size` bytes in all.

        Raises:
            TooMuchHeldError: there is no room for them.
        """
        held = self._held
        more = size - self._size
        if more <= 0:
            return
        if held.held_bytes + more > held.limit_bytes:
            raise TooMuchHeldError("the answers in hand have more bytes than accepted")
        held.held_bytes += more
        self._size = size

    def release(self) -> None:
        """Give all of it back."""
        self._held.held_bytes -= self._size
        self._size = 0

    def __del__(self) -> None:
        self.release()


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
