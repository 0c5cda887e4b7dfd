"""Metrics of conversations (relayer.md 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Metrics

_PREFIX = "ha_relayer_websocket_"
_SERVICE = ("service_id",)
TO_BACKEND = "gateway_to_backend"
TO_GATEWAY = "backend_to_gateway"


class BridgeMetrics:
    """The families of all conversations."""

    def __init__(self, metrics: Metrics) -> None:
        counter, p = metrics.counter, _PREFIX
        self.active = metrics.gauge(p + "connections_active", "Open conversations", _SERVICE)
        self.total = counter(p + "connections", "Conversations opened", _SERVICE)
        self.messages = counter(
            p + "messages_forwarded", "Messages received", ("service_id", "direction")
        )
        self.emitted = counter(p + "relays_emitted", "Relays written to the log", _SERVICE)
        self.closed = counter(
            p + "connections_closed", "Conversations that ended, by code", ("service_id", "code")
        )


class ServiceBridgeMetrics:
    """The children that conversations of one service touch."""

    __slots__ = ("_all", "_service", "active", "emitted", "to_backend", "to_gateway", "total")

    def __init__(self, metrics: BridgeMetrics, service: str) -> None:
        self._all = metrics
        self._service = service
        self.active = metrics.active.bind(service)
        self.total = metrics.total.bind(service)
        self.emitted = metrics.emitted.bind(service)
        self.to_backend = metrics.messages.bind(service, TO_BACKEND)
        self.to_gateway = metrics.messages.bind(service, TO_GATEWAY)

    def closed(self, code: int) -> None:
        """A conversation ended with `code`; private codes of others share one label."""
        known = code < _PRIVATE or code in _OURS
        self._all.closed.bind(self._service, str(code) if known else "other").value += 1


_PRIVATE = 1016
_OURS = frozenset({4000, 4001, 4002, 4003})
