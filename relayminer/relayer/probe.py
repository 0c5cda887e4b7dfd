"""Active probes: every endpoint is asked now and then, in the protocol that it speaks (10.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio
from attrs import frozen

from relayminer.net.errors import NetError
from relayminer.relayer.errors import RelayerConfigurationError
from relayminer.relayer.probe_grpc import GrpcProbe
from relayminer.relayer.probe_http import HttpProbe
from relayminer.relayer.probe_websocket import WebSocketProbe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relayminer.config.settings import RelayerSettings
    from relayminer.config.traffic import HealthCheckSettings
    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.pool import BackendPool, Endpoint
    from relayminer.relayer.routes import Route, ServiceRoutes
    from relayminer.telemetry.metrics import Counter

_WEBSOCKET = frozenset({"ws", "wss"})
_GRPC = "grpc"


class Probe(Protocol):
    """Asks one endpoint."""

    async def problem(self, *, timeout_seconds: float) -> str:
        """What is wrong with the endpoint, or empty.

        Raises:
            NetError: it cannot be reached, does not answer, or answers what is no answer.
        """
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


@frozen
class _Target:
    """One endpoint with its probe."""

    pool: BackendPool
    endpoint: Endpoint
    probe: Probe
    successes: Counter
    failures: Counter


class Prober:
    """Probes all backends whose `health_check` is enabled.

    Args:
        routes: by service id.
        settings: of the relayer.
        metrics: where outcomes are counted.
    """

    def __init__(
        self,
        routes: Mapping[str, ServiceRoutes],
        settings: RelayerSettings,
        metrics: RelayerMetrics,
    ) -> None:
        self._groups: list[tuple[HealthCheckSettings, list[_Target]]] = []
        for service, service_routes in routes.items():
            for rpc_type, route in service_routes.by_type.items():
                health = settings.services[service].backends[rpc_type].health_check
                if health.enabled and route.pool is not None:
                    targets = _targets(route, route.pool, health, metrics)
                    self._groups.append((health, targets))

    async def run(self) -> None:
        """Probe until cancelled: each backend at once, then every interval."""
        async with trio.open_nursery() as nursery:
            for health, targets in self._groups:
                nursery.start_soon(self._probe_forever, health, targets)

    async def _probe_forever(self, health: HealthCheckSettings, targets: Sequence[_Target]) -> None:
        try:
            while True:
                # Endpoints side by side: a silent one must not delay what is found of the others.
                async with trio.open_nursery() as nursery:
                    for target in targets:
                        nursery.start_soon(_probe_once, target, health)
                await trio.sleep(health.interval_seconds)
        finally:
            for target in targets:
                target.probe.close()


async def _probe_once(target: _Target, health: HealthCheckSettings) -> None:
    problem = "no answer in time"
    try:
        # The probe's own timeout says more; this one bounds whatever the probe does.
        with trio.move_on_after(health.timeout_seconds * 2):
            problem = await target.probe.problem(timeout_seconds=health.timeout_seconds)
    except NetError as error:
        problem = str(error)
    counter = target.failures if problem else target.successes
    counter.value += 1
    target.pool.probed(
        target.endpoint, problem, health.unhealthy_threshold, health.healthy_threshold
    )


def _targets(
    route: Route,
    pool: BackendPool,
    health: HealthCheckSettings,
    metrics: RelayerMetrics,
) -> list[_Target]:
    name = f"{route.service}:{route.rpc_type}"
    return [
        _Target(
            pool,
            endpoint,
            probe_of(route, endpoint, health),
            metrics.probe_successes.bind(name, endpoint.name),
            metrics.probe_failures.bind(name, endpoint.name),
        )
        for endpoint in pool.endpoints
    ]


def probe_of(route: Route, endpoint: Endpoint, health: HealthCheckSettings) -> Probe:
    """The probe that speaks what the endpoint speaks.

    Raises:
        RelayerConfigurationError: the settings name what cannot be asked for.
    """
    try:
        if route.rpc_type == _GRPC:
            return GrpcProbe(route, endpoint, health)
        if endpoint.url.origin.scheme in _WEBSOCKET:
            return WebSocketProbe(route, endpoint, health)
        return HttpProbe(route, endpoint, health)
    except NetError as error:
        raise RelayerConfigurationError(
            f"service {route.service}, backend {route.rpc_type}, health_check.endpoint: {error}"
        ) from None
