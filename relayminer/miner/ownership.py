"""Owning suppliers: a lease with a fencing token for each, held as long as the work runs.

For every supplier whose key is loaded one task tries to get the lease. While it has it, the
supplier's work runs under a deadline of our own that lies before the end of the lease and moves
with every renewal: whatever keeps us from renewing stops the work before anybody else can begin.
The fencing token covers what a deadline cannot, a process that was stopped and wakes up late.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.miner.errors import LeaseLostError
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from relayminer.state.leases import Lease
    from relayminer.telemetry.metrics import Gauge

SAFETY: Final = 0.25
"""Part of a lease's life that is left unused: for a clock that runs wrong and a loop that is busy.
"""
RESTART_SECONDS: Final = (0.5, 1.0, 3.0, 10.0)
"""Pauses between restarts of one supplier's work after failures in a row."""
FRESH_START_SECONDS: Final = 60.0
"""Work that ran this long before it failed is restarted without counting earlier failures."""
RELEASE_SECONDS: Final = 2.0
"""How long giving back a lease may take when the process ends."""

_log = structlog.get_logger("relayminer.miner.ownership")


Work = Callable[[str, "Lease"], Awaitable[None]]


class Ownership:
    """Gets and keeps the leases of a set of suppliers and runs their work.

    Args:
        lease_of: Makes the lease of a supplier for this process.
        work: One supplier's work, run while its lease is held.
        ttl_seconds: Life of a lease after each renewal.
        renew_seconds: Time between renewals, and between tries to get a lease.
        owned: Shows how many suppliers are owned.
    """

    def __init__(
        self,
        lease_of: Callable[[str], Lease],
        work: Work,
        *,
        ttl_seconds: float,
        renew_seconds: float,
        owned: Gauge,
    ) -> None:
        self._lease_of = lease_of
        self._work = work
        self._ttl_seconds = ttl_seconds
        self._renew_seconds = renew_seconds
        self._owned = owned
        self._scopes: dict[str, trio.CancelScope] = {}
        self._wanted: frozenset[str] = frozenset()
        self._changed = trio.Event()

    @property
    def suppliers(self) -> frozenset[str]:
        """The suppliers that this process wants to own."""
        return self._wanted

    def want(self, suppliers: Iterable[str]) -> None:
        """Own these suppliers from now on, and no others."""
        wanted = frozenset(suppliers)
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    async def run(self) -> None:
        """Hold leases and run work until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                for supplier in self._wanted - self._scopes.keys():
                    scope = trio.CancelScope()
                    self._scopes[supplier] = scope
                    nursery.start_soon(self._hold, supplier, scope)
                for supplier in self._scopes.keys() - self._wanted:
                    self._scopes[supplier].cancel()
                await self._changed.wait()
                self._changed = trio.Event()

    async def _hold(self, supplier: str, scope: trio.CancelScope) -> None:
        """Try to own one supplier for as long as it is wanted."""
        lease = self._lease_of(supplier)
        try:
            with scope:
                while True:
                    since = trio.current_time()
                    if await self._acquire(supplier, lease):
                        await self._own(supplier, lease, since)
                    await trio.sleep(self._renew_seconds)
        finally:
            del self._scopes[supplier]
            # It may be wanted again by now.
            self._changed.set()

    async def _acquire(self, supplier: str, lease: Lease) -> bool:
        try:
            return await lease.acquire()
        except StateError as error:
            _log.warning("lease not reached", supplier=supplier, error=str(error))
            return False

    async def _own(self, supplier: str, lease: Lease, since: float) -> None:
        """Work under the lease, asked for at `since`, until it is lost or not wanted any more."""
        _log.info("supplier owned", supplier=supplier, owner=lease.owner)
        self._owned.value += 1
        scope = trio.CancelScope(deadline=self._deadline(since))
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._renew, supplier, lease, scope)
                    nursery.start_soon(self._keep_working, supplier, lease, scope)
        finally:
            self._owned.value -= 1
            _log.info("supplier given up", supplier=supplier)
            # Also when cancelled: an open lease would keep the next owner waiting for its end.
            with trio.move_on_after(RELEASE_SECONDS, shield=True):
                await self._release(supplier, lease)

    async def _release(self, supplier: str, lease: Lease) -> None:
        try:
            await lease.release()
        except StateError as error:
            _log.warning("lease not released", supplier=supplier, error=str(error))

    def _deadline(self, since: float) -> float:
        """When the work must have stopped, given that the lease was extended after `since`."""
        return since + self._ttl_seconds * (1 - SAFETY)

    async def _renew(self, supplier: str, lease: Lease, scope: trio.CancelScope) -> None:
        while True:
            await trio.sleep(self._renew_seconds)
            since = trio.current_time()
            try:
                kept = await lease.renew()
            except StateError as error:
                # The deadline decides how long this may go on.
                _log.warning("lease not renewed", supplier=supplier, error=str(error))
                continue
            if not kept:
                _log.error("lease lost", supplier=supplier)
                scope.cancel()
                return
            scope.deadline = self._deadline(since)

    async def _keep_working(self, supplier: str, lease: Lease, scope: trio.CancelScope) -> None:
        """Run the work again when it fails: one supplier's trouble is its own."""
        failures = 0
        while True:
            began = trio.current_time()
            try:
                await self._work(supplier, lease)
            except* LeaseLostError as lost:
                _log.error("fenced off", supplier=supplier, error=str(lost.exceptions[0]))
                scope.cancel()
            except* Exception:  # noqa: BLE001 - the other suppliers must go on, whatever it was
                _log.exception("supplier's work failed", supplier=supplier)
            if trio.current_time() - began > FRESH_START_SECONDS:
                failures = 0
            await trio.sleep(RESTART_SECONDS[min(failures, len(RESTART_SECONDS) - 1)])
            failures += 1
