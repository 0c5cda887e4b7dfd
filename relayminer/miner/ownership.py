"""Owning suppliers: leases with fencing tokens, held as long as the work runs.

One loop looks at the leases of all suppliers with one script: those that are held are prolonged,
of the others it learns who has them. What falls to this miner is taken and its work begun; what
falls to another is given up. Every supplier's work runs under a deadline of our own that lies
before the end of its lease and moves with every renewal: whatever keeps us from renewing stops the
work before anybody else can begin. The fencing token covers what a deadline cannot, a process that
was stopped and wakes up late.

When a miner dies its leases run out within their life; the others look at that very moment. When
one gives a lease up, they hear of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, frozen

from relayminer.miner.errors import LeaseLostError
from relayminer.miner.sharing import Picture, Plan, plan
from relayminer.miner.tenure import Tenure
from relayminer.state.errors import StateError
from relayminer.state.leases import Lease, sweep
from relayminer.state.living import LivingMiners

if TYPE_CHECKING:
    from relayminer.miner.metrics import OwnershipMetrics
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.watchdog import Pulse

SAFETY: Final = 0.25
"""Part of a lease's life that is left unused: for a clock that runs wrong and a loop that is busy.
"""
RESTART_SECONDS: Final = (0.5, 1.0, 3.0, 10.0)
"""Pauses between restarts of one supplier's work after failures in a row."""
FRESH_START_SECONDS: Final = 60.0
"""Work that ran this long before it failed is restarted without counting earlier failures."""
RELEASE_SECONDS: Final = 2.0
"""How long giving back a lease may take when the process ends."""
LOOKS_LEFT_LYING: Final = 2.0
"""A supplier that has been free for so many renewals is taken, whoever it falls to."""
MIN_PAUSE_SECONDS: Final = 0.02
"""Between two looks, whatever the news."""

_log = structlog.get_logger("relayminer.miner.ownership")


Work = Callable[[Tenure], Awaitable[None]]


@frozen
class Times:
    """Seconds.

    Attributes:
        ttl_seconds: life of a lease after each renewal.
        renew_seconds: between renewals.
    """

    ttl_seconds: float
    renew_seconds: float

    @property
    def work_seconds(self) -> float:
        """How long work may go on after the last renewal was asked for."""
        return self.ttl_seconds * (1 - SAFETY)


@define(eq=False)
class _Seat:
    """A supplier's place in this process, with work in it or without."""

    lease: Lease
    scope: trio.CancelScope | None = None
    tenure: Tenure | None = None
    free_since: float | None = None
    """When the lease was first seen free; None while it is not."""

    @property
    def is_free(self) -> bool:
        """Whether nobody has the lease, by the last look.

        What is held in our name although we know of no token was taken by a script whose answer
        was lost.
        """
        other = self.lease.other
        return not self.lease.held and (other is None or other.owner == self.lease.owner)


class Ownership:
    """Gets and keeps the leases of suppliers and runs their work.

    Args:
        redis: Where the leases are.
        names: Key names.
        owner: Id of this process, never the same for two lives of it.
        work: One supplier's work, run while its lease is held.
        times: Of leases.
        metrics: Show which suppliers are owned.
    """

    def __init__(
        self,
        redis: Redis,
        names: KeyNames,
        *,
        owner: str,
        work: Work,
        times: Times,
        metrics: OwnershipMetrics,
    ) -> None:
        self._redis = redis
        self._names = names
        self._owner = owner
        self._work = work
        self._times = times
        self._metrics = metrics
        self._register = LivingMiners(redis, names)
        self._living: Mapping[str, frozenset[str] | None] = {}
        self._wanted: frozenset[str] = frozenset()
        self._seats: dict[str, _Seat] = {}
        self._given_up: set[str] = set()
        self._kept: frozenset[str] = frozenset()
        self._last: tuple[Picture, Plan] | None = None
        self._news = trio.Event()

    @property
    def suppliers(self) -> frozenset[str]:
        """The suppliers that are worked for in this process at this moment."""
        return frozenset(name for name, seat in self._seats.items() if seat.scope is not None)

    def want(self, suppliers: Iterable[str]) -> None:
        """Own these suppliers from now on, or a fair share of them, and no others."""
        self._wanted = frozenset(suppliers)
        self._news.set()

    async def run(self, pulse: Pulse) -> None:
        """Hold leases and run work until cancelled; at the end all leases are given up."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            try:
                while True:
                    pulse.got_on()
                    self._news = trio.Event()
                    began = trio.current_time()
                    await self._look(nursery)
                    with trio.move_on_at(self._next_look(began)):
                        await self._news.wait()
                    await trio.sleep(MIN_PAUSE_SECONDS)
            finally:
                # While the work ends: who shares the suppliers out must not count us any more.
                with trio.move_on_after(RELEASE_SECONDS, shield=True):
                    await self._sign_off()

    async def _listen(self) -> None:
        """Look at once when somebody gives up a lease."""
        async with self._redis.subscribe([self._names.lease_news_channel]) as news:
            async for _ in news:
                self._news.set()

    def _next_look(self, began: float) -> float:
        """At the next renewal, or earlier: when the lease of one who does not renew runs out."""
        now = trio.current_time()
        ends = [
            now + seat.lease.other.remaining_seconds
            for seat in self._seats.values()
            if seat.lease.other is not None and seat.lease.other.remaining_seconds is not None
        ]
        return min([began + self._times.renew_seconds, *ends])

    async def _look(self, nursery: trio.Nursery) -> None:
        self._furnish()
        leases = [seat.lease for seat in self._seats.values()]
        seen = False
        # Side by side: a store that is slow makes renewals late enough.
        async with trio.open_nursery() as both:
            both.start_soon(self._meet)
            seen = await self._sweep(leases)
            self._settle(nursery)
        self._note_free(seen=seen)
        if not seen:
            return
        do = self._plan()
        if do.take:
            taken = [self._seats[supplier].lease for supplier in do.take]
            await self._sweep(taken, take=True)
            self._kept |= self._given_up.intersection(do.take)
            self._settle(nursery)
        for supplier in do.release:
            self._given_up.add(supplier)
            self._give_up(self._seats[supplier], "another miner is to have it")
        self._see_leavers()

    def _furnish(self) -> None:
        """A seat for every supplier that is wanted, and none without a reason."""
        for supplier in self._wanted - self._seats.keys():
            key = self._names.miner_claim_key(supplier)
            self._seats[supplier] = _Seat(
                Lease(
                    self._redis,
                    key,
                    self._names,
                    owner=self._owner,
                    ttl_seconds=self._times.ttl_seconds,
                )
            )
        for supplier in self._seats.keys() - self._wanted:
            if self._seats[supplier].scope is None:
                del self._seats[supplier]

    async def _sweep(self, leases: list[Lease], *, take: bool = False) -> bool:
        seconds = self._times.work_seconds / 2
        reason = "no answer in time"
        # What is taken must be known, or it would be nobody's until its time is up.
        with trio.move_on_after(seconds, shield=take):
            try:
                await sweep(
                    self._redis, leases, take=leases if take else (), timeout_seconds=seconds
                )
            except StateError as error:
                reason = str(error)
            else:
                return True
        # The deadlines decide how long this may go on.
        _log.warning("leases not reached", leases=len(leases), error=reason)
        return False

    def _settle(self, nursery: trio.Nursery) -> None:
        """Begin the work whose lease was got, stop that whose lease was lost."""
        for supplier, seat in self._seats.items():
            if seat.scope is None:
                if seat.lease.held:
                    seat.scope = trio.CancelScope(deadline=self._deadline(seat.lease))
                    seat.tenure = Tenure(supplier, seat.lease)
                    nursery.start_soon(self._own, seat, seat.tenure, seat.scope)
            elif seat.lease.held:
                seat.scope.deadline = self._deadline(seat.lease)
            elif not seat.lease.held_until and not seat.scope.cancel_called:
                _log.error("lease lost", supplier=supplier, holder=str(seat.lease.other))
                seat.scope.cancel()

    def _note_free(self, *, seen: bool) -> None:
        """Since when each supplier is free; nothing is known of what was not looked at."""
        now = trio.current_time()
        for seat in self._seats.values():
            is_free = seen and seat.is_free
            seat.free_since = (seat.free_since or now) if is_free else None

    def _deadline(self, lease: Lease) -> float:
        """When the work must have stopped."""
        return lease.held_until - self._times.ttl_seconds * SAFETY

    async def _meet(self) -> None:
        """Say that we live, and see who else does."""
        with trio.move_on_after(self._times.work_seconds / 2):
            try:
                # Whoever is dead must be off the register before its leases run out.
                living = await self._register.meet(
                    self._owner, self._times.work_seconds, self._wanted
                )
            except StateError as error:
                _log.warning("no heartbeat", error=str(error))
                return
            if living.keys() != self._living.keys():
                _log.info("living miners", miners=sorted(living))
                self._given_up.clear()
                self._kept = frozenset()
            self._living = living

    def _plan(self) -> Plan:
        now = trio.current_time()
        left_lying = self._times.renew_seconds * LOOKS_LEFT_LYING
        owners: dict[str, str | None] = {}
        lying: set[str] = set()
        for supplier in self._wanted & self._seats.keys():
            seat = self._seats[supplier]
            if seat.scope is not None:
                owners[supplier] = self._owner
            elif seat.is_free:
                owners[supplier] = None
                if seat.free_since is not None and now - seat.free_since > left_lying:
                    lying.add(supplier)
            else:
                owners[supplier] = "" if seat.lease.other is None else seat.lease.other.owner
        miners = {**self._living, self._owner: self._wanted}
        self._metrics.fair_share.value = -(-len(self._wanted) // len(miners))
        picture = Picture(self._owner, miners, owners, frozenset(lying), self._kept)
        if self._last is None or self._last[0] != picture:
            self._last = (picture, plan(picture))
        return self._last[1]

    def _see_leavers(self) -> None:
        """Suppliers whose key was removed go to who has it, or stay until all is done."""
        others = [able for owner, able in self._living.items() if owner != self._owner]
        for supplier, seat in self._seats.items():
            if seat.tenure is None:
                continue
            if supplier in self._wanted:
                seat.tenure.stay()
            elif any(able is not None and supplier in able for able in others):
                self._give_up(seat, "its key is with another miner")
            else:
                seat.tenure.leave()

    def _give_up(self, seat: _Seat, reason: str) -> None:
        if seat.scope is not None and seat.tenure is not None and not seat.scope.cancel_called:
            _log.info("supplier handed over", supplier=seat.tenure.supplier, reason=reason)
            seat.scope.cancel()

    async def _own(self, seat: _Seat, tenure: Tenure, scope: trio.CancelScope) -> None:
        """Work under the lease until it is lost or given up."""
        supplier = tenure.supplier
        _log.info("supplier owned", supplier=supplier, owner=self._owner)
        self._metrics.taken(supplier)
        try:
            with scope:
                await self._keep_working(tenure, scope)
        finally:
            self._metrics.left(supplier)
            _log.info("supplier given up", supplier=supplier)
            # Also when cancelled: an open lease would keep the next owner waiting for its end.
            with trio.move_on_after(RELEASE_SECONDS, shield=True):
                try:
                    await seat.lease.release()
                except StateError as error:
                    _log.warning("lease not released", supplier=supplier, error=str(error))
            seat.scope = seat.tenure = None
            self._news.set()

    async def _keep_working(self, tenure: Tenure, scope: trio.CancelScope) -> None:
        """Run the work again when it fails: one supplier's trouble is its own."""
        failures = 0
        while True:
            began = trio.current_time()
            try:
                await self._work(tenure)
            except* LeaseLostError as lost:
                _log.error("fenced off", supplier=tenure.supplier, error=str(_first(lost)))
                scope.cancel()
            except* Exception:  # noqa: BLE001 - the other suppliers must go on, whatever it was
                self._metrics.accidents.value += 1
                _log.exception("supplier's work failed", supplier=tenure.supplier)
            else:
                return
            if trio.current_time() - began > FRESH_START_SECONDS:
                failures = 0
            await trio.sleep(RESTART_SECONDS[min(failures, len(RESTART_SECONDS) - 1)])
            failures += 1

    async def _sign_off(self) -> None:
        try:
            await self._register.leave(self._owner)
        except StateError as error:
            _log.warning("not signed off", error=str(error))


def _first(group: BaseExceptionGroup[LeaseLostError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
