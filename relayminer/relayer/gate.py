"""Whether a supplier may serve: what the miners wrote into the registry (relayer.md 8.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from relayminer.cache.errors import AbsentError, LoadError
from relayminer.relayer.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Container

    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.routes import Route
    from relayminer.relayer.view import ChainView

NOT_STAKED = "not_staked"
_MAX_WARNED = 10_000


class SupplierGate:
    """Judges (supplier, service) by the registry.

    A supplier that the registry does not know, or that cannot be looked up because the store is
    away, is served when its key is loaded here (K-16): the session check still has to agree.
    """

    def __init__(self, view: ChainView, keys: Container[str], metrics: RelayerMetrics) -> None:
        self._view = view
        self._keys = keys
        self._metrics = metrics
        self._log = structlog.get_logger("relayminer.relayer")

    async def check(self, supplier: str, route: Route) -> None:
        """Let the supplier's relay for the route's service pass.

        Raises:
            RefusedError: 503, with one of the five reasons.
        """
        state = self._view.supplier_cached(supplier)
        if state is None:
            try:
                state = await self._view.supplier(supplier)
            except (AbsentError, LoadError):
                self._without_state(supplier, route)
                return
        self._judge(state, supplier, route)

    def check_cached(self, supplier: str, route: Route) -> bool:
        """The same without a turn of the loop; False when memory has no state."""
        state = self._view.supplier_cached(supplier)
        if state is None:
            return False
        self._judge(state, supplier, route)
        return True

    def _without_state(self, supplier: str, route: Route) -> None:
        if supplier not in self._keys:
            raise RefusedError(
                503,
                f"supplier {supplier} not registered with any miner",
                "supplier_not_found",
            )
        self._metrics.optimistic.bind(route.service, route.rpc_type).value += 1

    def _judge(self, state: Any, supplier: str, route: Route) -> None:
        if not state.readable:
            raise RefusedError(503, "failed to verify supplier state", "supplier_cache_error")
        if state.contaminated:
            self._without_state(supplier, route)
            return
        if not state.staked or state.status == NOT_STAKED:
            raise RefusedError(503, f"supplier {supplier} is {state.status}", "supplier_inactive")
        if not state.services:
            raise RefusedError(
                503, f"supplier {supplier} has no services registered", "no_services"
            )
        if route.service not in state.services:
            raise RefusedError(
                503,
                f"supplier {supplier} not staked for service {route.service}",
                "wrong_service",
            )
        if state.endpoints and (route.service, route.rpc_type) not in state.endpoints:
            self._undeclared(supplier, route)

    def _undeclared(self, supplier: str, route: Route) -> None:
        self._metrics.undeclared.bind(route.service, route.rpc_type).value += 1
        if supplier in route.warned_suppliers or len(route.warned_suppliers) > _MAX_WARNED:
            return
        route.warned_suppliers.add(supplier)
        self._log.warning(
            "undeclared_transport",
            supplier=supplier,
            service=route.service,
            rpc_type=route.rpc_type,
        )
