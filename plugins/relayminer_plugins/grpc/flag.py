"""What grpclib needs of an `asyncio.Event`, on Trio."""

from __future__ import annotations

import trio


class Flag:
    """An event that can be cleared: grpclib asks no more of asyncio's than these four methods."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        """Wake whoever waits."""
        self._event.set()

    def clear(self) -> None:
        """Let the next one wait."""
        if self._event.is_set():
            self._event = trio.Event()

    def is_set(self) -> bool:
        """Whether nobody needs to wait."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return when it is set; at once when it is."""
        while not self._event.is_set():
            await self._event.wait()
