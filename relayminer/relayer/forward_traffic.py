"""What stands between a verified relay and its backend: the response cache, a lane, a queue.

A service without any of them has no `Traffic` at all, and its relays pass for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.relayer.errors import RefusedError
from relayminer.relayer.lanes_calls import Calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.net.response import Response
    from relayminer.relayer.lanes import Lane, Lanes
    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.queue_fair import FairQueue
    from relayminer.relayer.relay import Relay
    from relayminer.relayer.response_cache import ResponseCache

SUPPLIER = "supplier"


class Plan:
    """What was found out about one relay's body."""

    __slots__ = ("cache_key", "calls", "lane")

    def __init__(self, calls: Calls | None, lane: Lane | None, cache_key: bytes | None) -> None:
        self.calls = calls
        self.lane = lane
        self.cache_key = cache_key


_PLAIN = Plan(None, None, None)
"""Of a body that needs no reading."""


class Permit:
    """A place at the backend; give it back with `leave`."""

    __slots__ = ("_lane", "_lane_entered_at", "_queue", "_queue_entered_at")

    def __init__(self) -> None:
        self._lane: FairQueue | None = None
        self._lane_entered_at = 0.0
        self._queue: FairQueue | None = None
        self._queue_entered_at = 0.0

    async def enter(self, lane: FairQueue | None, queue: FairQueue | None, key: str) -> None:
        """Wait for a turn in the lane, then in the service's queue.

        Raises:
            RefusedError: 503, in one of them there is none in time.
        """
        if lane is not None:
            self._lane_entered_at = await lane.enter(key)
            self._lane = lane
        if queue is not None:
            try:
                self._queue_entered_at = await queue.enter(key)
            except BaseException:
                self.leave()
                raise
            self._queue = queue

    def leave(self) -> None:
        """The next one may go."""
        if self._queue is not None:
            self._queue.leave(self._queue_entered_at)
            self._queue = None
        if self._lane is not None:
            self._lane.leave(self._lane_entered_at)
            self._lane = None


class Traffic:
    """Of one service.

    Args:
        queue: of the service, None without a limit.
        lanes: None without lanes.
        cache: None without a response cache.
        fair_by: `application` or `supplier`.
    """

    def __init__(
        self,
        service: str,
        *,
        queue: FairQueue | None,
        lanes: Lanes | None,
        cache: ResponseCache | None,
        fair_by: str,
        metrics: RelayerMetrics,
    ) -> None:
        self.queue = queue
        self.lanes = lanes
        self.cache = cache
        self._by_supplier = fair_by == SUPPLIER
        self._shed = metrics.shed.bind(service, "service")
        self._shed_in_lanes = {
            lane.name: metrics.shed.bind(service, lane.name)
            for lane in (lanes.all if lanes else ())
        }
        self._hits = metrics.response_cache.bind(service, "hit")
        self._misses = metrics.response_cache.bind(service, "miss")
        if queue is not None:
            metrics.waiting.bind(service, "service").read = _reader(queue)
        for lane in lanes.all if lanes else ():
            metrics.waiting.bind(service, lane.name).read = _reader(lane.queue)

    @property
    def is_limited(self) -> bool:
        """Whether anything here waits or is refused: a response cache alone lets all pass."""
        return self.queue is not None or self.lanes is not None

    def has_room(self, relay: Relay) -> bool:
        """Whether the relay could go at once."""
        plan = self._plan(relay)
        if plan is not None and plan.lane is not None and not plan.lane.queue.has_room:
            return False
        return self.queue is None or self.queue.has_room

    def check(self, relay: Relay) -> None:
        """Refuse, before any curve work, a relay for which there will be no turn in time.

        Raises:
            RefusedError: 503.
        """
        plan = self._plan(relay)
        cache, cache_key = self.cache, plan.cache_key if plan is not None else None
        if cache is not None and cache_key is not None and cache.holds(cache_key):
            return
        key = self._key(relay)
        lane = plan.lane if plan is not None else None
        try:
            if lane is not None:
                lane.queue.check(key)
            if self.queue is not None:
                self.queue.check(key)
        except RefusedError:
            self._count(lane)
            raise

    def is_dear(self, relay: Relay) -> bool:
        """Whether the relay's method has a lane: it is never served before it is verified."""
        plan = self._plan(relay)
        return plan is not None and plan.lane is not None

    def cached(self, relay: Relay) -> Response | None:
        """The answer if the cache has it."""
        if self.cache is None:
            return None
        plan = self._plan(relay)
        if plan is None or plan.cache_key is None:
            return None
        found = self.cache.find(plan.cache_key, plan.calls) if plan.calls is not None else None
        counter = self._misses if found is None else self._hits
        counter.value += 1
        return found

    async def enter(self, relay: Relay) -> Permit:
        """Wait for the relay's turn.

        Raises:
            RefusedError: 503, there is none in time.
        """
        plan = self._plan(relay)
        lane = plan.lane if plan is not None else None
        permit = Permit()
        try:
            await permit.enter(lane.queue if lane else None, self.queue, self._key(relay))
        except RefusedError:
            self._count(lane)
            raise
        return permit

    def keep(self, relay: Relay, response: Response) -> None:
        """Keep the answer if it may be kept."""
        plan = relay.plan
        if self.cache is None or plan is None or plan.calls is None:
            return
        if plan.cache_key is not None:
            self.cache.keep(plan.cache_key, plan.calls, response)

    def _plan(self, relay: Relay) -> Plan | None:
        plan = relay.plan
        if plan is None and (self.lanes is not None or self.cache is not None):
            plan = relay.plan = self._look(relay)
        return plan

    def _look(self, relay: Relay) -> Plan:
        body, lanes, cache = relay.http.body, self.lanes, self.cache
        may_have_lane = lanes is not None and lanes.may_take(body)
        if cache is None and not may_have_lane:
            return _PLAIN
        calls = Calls(body)
        lane = lanes.lane_of(calls) if lanes is not None and may_have_lane else None
        key = None
        if cache is not None:
            key = cache.key_of(f"{relay.route.rpc_type} {relay.http.url}", calls)
        return Plan(calls, lane, key)

    def _key(self, relay: Relay) -> str:
        return relay.supplier if self._by_supplier else relay.application

    def _count(self, lane: Lane | None) -> None:
        counter = self._shed if lane is None else self._shed_in_lanes[lane.name]
        counter.value += 1


def _reader(queue: FairQueue) -> Callable[[], int]:
    return lambda: queue.waiting
