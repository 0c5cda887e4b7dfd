"""One supplier's time with one owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define, field

if TYPE_CHECKING:
    from relayminer.state.leases import Lease


@define(eq=False)
class Tenure:
    """What a supplier's work knows of its ownership.

    A tenure ends in one of three ways. Another one is to have the supplier, or the process stops:
    the work is cancelled, and what it has not made durable is still in the log. The lease is lost:
    the same, before anybody else can begin. Its key was removed and nobody else has it: the work
    is asked to `leave`, and returns when no session is in flight any more.
    """

    supplier: str
    lease: Lease
    is_leaving: bool = False
    """Whether the work is to return as soon as nothing is in flight."""
    _changed: trio.Event = field(factory=trio.Event)

    def leave(self) -> None:
        """Finish what is in flight, begin nothing, return."""
        self._set(leaving=True)

    def stay(self) -> None:
        """The supplier is wanted again."""
        self._set(leaving=False)

    def _set(self, *, leaving: bool) -> None:
        if self.is_leaving != leaving:
            self.is_leaving = leaving
            self._changed.set()
            self._changed = trio.Event()

    async def wait_leaving(self) -> None:
        """Return when the work is to end."""
        while not self.is_leaving:
            await self._changed.wait()

    async def wait_staying(self) -> None:
        """Return when the work is not to end."""
        while self.is_leaving:
            await self._changed.wait()
