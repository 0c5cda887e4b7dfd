"""How much of an application's stake a session may use up with one supplier (relayer.md 7).

The spent amount lives in the store, shared by all relayers. Each of them takes some of the budget
on lease, one script call per `lease_relays` relays, and spends its lease without asking anybody.
What is leased counts as spent, so relayers together never go over the budget; what a relayer that
dies had on lease and had not spent is lost to the session: at most `lease_relays` relays each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from relayminer.cache.errors import CacheError
from relayminer.protocol.budget import session_budget_upokt
from relayminer.relayer.errors import RefusedError
from relayminer.state.errors import StateError, StoreAwayError
from relayminer.state.meter import MeterMeta, parse_cleanup
from relayminer.state.subscription import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.cache.moment import ChainMoment
    from relayminer.config.settings import MeteringSettings
    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.relay import Relay, SessionContext
    from relayminer.relayer.view import ChainView
    from relayminer.state.meter import Grant
    from relayminer.state.subscription import Subscription

OPEN = "open"
RECOMPUTE_SECONDS = 60.0
REFUSED_SECONDS = 1.0
"""How long an exhausted budget is not asked for again."""
AWAY_SECONDS = 1.0
"""How long a store that failed is not asked again."""
STORE_SECONDS = 1.0
"""How long a relay waits for its budget; then `fail_behavior` says what becomes of it."""


class BudgetStore(Protocol):
    """The shared counters (`relayminer.state.meter.MeterStore`)."""

    async def open(self, meta: MeterMeta) -> MeterMeta:
        """Say what a budget was computed from, if nobody has yet."""
        ...

    async def replace(self, meta: MeterMeta) -> None:
        """Say it anew."""
        ...

    async def take(
        self, session_id: str, supplier: str, *, cost_upokt: int, relays: int, max_upokt: int
    ) -> Grant:
        """Count up to `relays` relays as spent, never beyond `max_upokt`."""
        ...

    async def give_back(self, session_id: str, supplier: str, amount_upokt: int) -> int:
        """Count an amount as not spent."""
        ...

    async def clear(self, session_id: str, supplier: str) -> None:
        """Remove the counter."""
        ...


class Budget:
    """This relayer's lease of the budget of one session and supplier.

    Attributes:
        left_upokt: leased and not spent.
        max_upokt: of the whole session and supplier, when last computed.
    """

    __slots__ = (
        "computed_at",
        "left_upokt",
        "max_upokt",
        "refill",
        "shut_until",
        "unmetered_until",
    )

    def __init__(self) -> None:
        self.left_upokt = 0
        self.max_upokt = 0
        self.computed_at: float | None = None
        self.refill: trio.Event | None = None
        self.shut_until = 0.0
        self.unmetered_until = 0.0


class Meter:
    """Charges relays.

    Args:
        settings: `relayer.metering`.
        store: the shared counter.
        view: stake and parameters.
        moment: the block height.
        metrics: counters.
        is_away: whether the store is known to be away; it is not asked then.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        settings: MeteringSettings,
        store: BudgetStore,
        view: ChainView,
        moment: ChainMoment,
        metrics: RelayerMetrics,
        is_away: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._is_away = is_away
        self._settings = settings
        self._store = store
        self._view = view
        self._moment = moment
        self._metrics = metrics
        self._clock = clock

    def take_leased(self, relay: Relay, context: SessionContext) -> bool:
        """Charge the relay to what is on lease; False when `take` must ask for more."""
        budget = context.budgets.get(relay.supplier)
        if budget is None or budget.left_upokt < context.cost_upokt:
            return False
        budget.left_upokt -= context.cost_upokt
        relay.route.metrics.within_limit.value += 1
        return True

    async def take(self, relay: Relay, context: SessionContext) -> bool:
        """Charge the relay; False when it is served without a charge (metering off or failing).

        Raises:
            RefusedError: 429 over the budget, 503 when it cannot be read and `fail_behavior` is
                not `open`.
        """
        if not self._settings.enabled:
            return False
        if self.take_leased(relay, context):
            return True
        budget = context.budgets.setdefault(relay.supplier, Budget())
        while budget.left_upokt < context.cost_upokt:
            now = self._clock()
            if budget.shut_until > now:
                self._metrics.meter_consumptions.bind(relay.service, "over_limit").value += 1
                raise RefusedError(
                    429,
                    "session relay limit reached: claimable portion fully consumed",
                    "stake_exhausted",
                )
            if budget.unmetered_until > now:
                if self._settings.fail_behavior == OPEN:
                    return False
                raise RefusedError(503, "relay metering unavailable", "meter_error")
            if budget.refill is not None:
                await budget.refill.wait()
            else:
                await self._refill(relay, context, budget)
        budget.left_upokt -= context.cost_upokt
        relay.route.metrics.within_limit.value += 1
        return True

    def refund(self, relay: Relay, context: SessionContext) -> None:
        """The relay was charged and is not mined."""
        budget = context.budgets.get(relay.supplier)
        if budget is not None:
            budget.left_upokt += context.cost_upokt
            self._metrics.meter_refunds.bind(relay.service).value += 1

    async def give_back(self, context: SessionContext) -> None:
        """Return what is on lease for a session that gets no more relays from us."""
        for supplier, budget in context.budgets.items():
            unspent, budget.left_upokt = budget.left_upokt, 0
            if unspent <= 0:
                continue
            if self._is_away():
                self._metrics.meter_errors.bind("give back").value += 1
                continue
            try:
                await self._store.give_back(context.session_id, supplier, unspent)
            except StateError:
                self._metrics.meter_errors.bind("give back").value += 1

    async def listen(
        self, messages: Subscription, find: Callable[[str], SessionContext | None]
    ) -> None:
        """Drop the budgets that miners say are done with, until cancelled."""
        async for event in messages:
            done = parse_cleanup(event.payload) if isinstance(event, Message) else None
            if done is None:
                continue
            session_id, supplier = done
            context = find(session_id)
            if context is not None:
                context.budgets.pop(supplier, None)
            try:
                await self._store.clear(session_id, supplier)
            except StateError:
                self._metrics.meter_errors.bind("clear").value += 1

    async def _refill(self, relay: Relay, context: SessionContext, budget: Budget) -> None:
        budget.refill = trio.Event()
        began = self._clock()
        try:
            if self._is_away():
                raise StoreAwayError("the store is away")
            await self._compute_max(relay, context, budget)
            with trio.fail_after(STORE_SECONDS):
                grant = await self._store.take(
                    context.session_id,
                    relay.supplier,
                    cost_upokt=context.cost_upokt,
                    relays=max(1, self._settings.lease_relays),
                    max_upokt=budget.max_upokt,
                )
        except (CacheError, StateError, trio.TooSlowError) as error:
            operation = "get session meter" if isinstance(error, CacheError) else "lease"
            self._metrics.meter_errors.bind(operation).value += 1
            budget.unmetered_until = self._clock() + AWAY_SECONDS
        else:
            budget.left_upokt += grant.relays * context.cost_upokt
            if budget.left_upokt < context.cost_upokt:
                budget.shut_until = self._clock() + REFUSED_SECONDS
        finally:
            relay.route.metrics.meter_latency.observe(self._clock() - began)
            budget.refill.set()
            budget.refill = None

    async def _compute_max(self, relay: Relay, context: SessionContext, budget: Budget) -> None:
        now = self._clock()
        if budget.computed_at is not None and now - budget.computed_at < RECOMPUTE_SECONDS:
            return
        known = budget.computed_at is not None
        try:
            application = await self._view.application(context.application)
            stake = int(application.stake.amount or "0")
            suppliers = await self._view.num_suppliers_per_session()
            height = self._moment.height
            running = height <= 0 or context.end_height >= height
            params = await self._view.shared_params_at(0 if running else context.end_height)
            factor = await self._view.service_factor(relay.service)
        except CacheError:
            # A budget that is known does not become unknown because a look-up fails.
            if known:
                return
            raise
        max_upokt = session_budget_upokt(stake, suppliers, params, factor)
        meta = MeterMeta(
            session_id=context.session_id,
            app_address=context.application,
            service_id=context.service,
            supplier_address=relay.supplier,
            session_end_height=context.end_height,
            max_stake_upokt=max_upokt,
            created_with_factor=factor or 0.0,
            created_with_app_stake=stake,
        )
        with trio.fail_after(STORE_SECONDS):
            if not known:
                await self._store.open(meta)
            elif max_upokt != budget.max_upokt:
                await self._store.replace(meta)
        budget.max_upokt = max_upokt
        budget.computed_at = now
