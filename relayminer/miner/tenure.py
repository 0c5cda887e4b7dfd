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
    _leaving: trio.Event = field(factory=trio.Event)

    @property
    def is_leaving(self) -> bool:
        """Whether the work is to return as soon as nothing is in flight."""
        return self._leaving.is_set()

    def leave(self) -> None:
        """Finish what is in flight, begin nothing, return."""
        self._leaving.set()

    def stay(self) -> None:
        """The supplier is wanted again."""
        if self._leaving.is_set():
            self._leaving = trio.Event()

    async def wait_leaving(self) -> None:
        """Return when the work is to end."""
        while not self.is_leaving:
            await self._leaving.wait()
