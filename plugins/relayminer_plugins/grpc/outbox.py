"""What a connection has to say, on its way to the wire."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import trio

from relayminer.plugin import WireError, WireTimeoutError
from relayminer_plugins.grpc.flag import Flag

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.plugin import Wire

_FULL_BYTES: Final = 262_144
"""While more than this waits, no stream writes and nothing is read: a peer that does not read its
answers gets no further ones."""


class Outbox:
    """What grpclib takes for an asyncio transport: it collects; whoever has written flushes.

    No task of its own: mostly the socket takes an answer at once, and a switch of tasks would cost
    more than that.

    Args:
        wire: to the client.
        timeout_seconds: for the client to take what the socket's buffer cannot hold.
        on_change: called when `expires_at` has changed.
        on_break: called once, when the wire has failed.

    Attributes:
        room: set while more may be written.
        expires_at: when the client must have taken what is being sent; infinite when nothing is.
        closing: nothing more is taken.
    """

    def __init__(
        self,
        wire: Wire,
        timeout_seconds: float,
        *,
        on_change: Callable[[], None],
        on_break: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._timeout_seconds = timeout_seconds
        self._on_change = on_change
        self._on_break = on_break
        self._waiting = bytearray()
        self._sending = False
        self.room = Flag()
        self.room.set()
        self.expires_at = math.inf
        self.closing = False

    def write(self, data: bytes) -> None:
        """Keep `data` until somebody flushes. grpclib calls it, and so do we."""
        if self.closing:
            return
        self._waiting += data
        if len(self._waiting) > _FULL_BYTES:
            self.room.clear()

    async def flush(self) -> None:
        """Send what waits; at once when somebody is at it already, who takes it along.

        Never raises for what the client does. Cancelling the caller waits for the end of this:
        half a frame on the wire would be the end of the connection.
        """
        if self._waiting and not self._sending:
            with trio.CancelScope(shield=True):
                await self.flush_exposed()

    async def flush_exposed(self) -> None:
        """As `flush`, for the one whose cancellation is the end of the connection anyway."""
        if self._sending or not self._waiting:
            return
        self._sending = True
        try:
            while self._waiting:
                data = bytes(self._waiting)
                self._waiting.clear()
                self.expires_at = trio.current_time() + self._timeout_seconds
                self._on_change()
                await self._wire.send(data)
                self.room.set()
        except (WireError, WireTimeoutError):
            self._waiting.clear()
            self.close()
            self._on_break()
        finally:
            self._sending = False
            self.expires_at = math.inf
            self._on_change()

    def close(self) -> None:
        """Take nothing more; what waits may still be flushed."""
        self.closing = True
        # Whoever waits for room need not wait for ever.
        self.room.set()

    def is_closing(self) -> bool:
        """What grpclib calls `closing`."""
        return self.closing

    def get_extra_info(self, name: str) -> Any:  # noqa: ARG002 - asyncio's interface
        """Nothing is known of the peer here."""
        return None
