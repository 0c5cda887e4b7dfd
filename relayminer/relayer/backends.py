"""The backends in force: routes, probes and guards, replaced as a whole while relays go on.

Everybody holds the same mapping of routes and looks it up per relay. A relay under way keeps the
route that it began with; a connection in use ends with its exchange.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from relayminer.net.held import HeldBytes
from relayminer.relayer.guard import FreshnessGuard
from relayminer.relayer.pool_page import backends_page
from relayminer.relayer.probe import Prober
from relayminer.relayer.routes import RouteBuilder, ServiceRoutes, pools_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.config.settings import RelayerSettings, ServiceSettings
    from relayminer.net.server import Server
    from relayminer.net.watchdog import Watchdog
    from relayminer.relayer.metrics import RelayerMetrics


Authorities = tuple[tuple[Path, bytes], ...]
"""Files of certificates that the backends of a service are believed by, and what is in them."""


@attrs.frozen
class PreparedBackends:
    """Backends that were built from settings and are not in force yet."""

    settings: RelayerSettings
    routes: dict[str, ServiceRoutes]
    authorities: dict[str, Authorities]
    prober: Prober
    guard: FreshnessGuard


class Backends:
    """Where relays go, service by service.

    Args:
        settings: of the relayer.
        watchdog: looks after the deadlines; it must be running.
        metrics: of the relayer.

    Attributes:
        routes: by service id; the mapping stays, its contents change.

    Raises:
        RelayerConfigurationError: a backend cannot be used as it is configured.
    """

    def __init__(
        self, settings: RelayerSettings, watchdog: Watchdog, metrics: RelayerMetrics
    ) -> None:
        self._watchdog = watchdog
        self._metrics = metrics
        held = self._held = HeldBytes(settings.max_answer_bytes_in_flight)
        metrics.answer_bytes.read = lambda: held.held_bytes
        metrics.pool_in_flight.read_all = lambda: self._by_service(lambda one: one.in_flight)
        metrics.pool_max.read_all = lambda: self._by_service(lambda one: one.max_connections)
        self._settings = settings
        self.routes: dict[str, ServiceRoutes] = {}
        self._replaced = trio.Event()
        self._now = self._build(settings, {})
        self.routes.update(self._now.routes)

    def pages(self) -> dict[str, Any]:
        """What `/ready/{service}` says of the backends of every service."""
        return {service: backends_page(routes) for service, routes in self.routes.items()}

    def _by_service(self, number: Callable[[Server], int]) -> dict[tuple[str, ...], float]:
        """The sum of a number over the servers of each service."""
        return {
            (service,): sum(
                number(endpoint.http)
                for pool in pools_of({service: routes})
                for endpoint in pool.endpoints
            )
            for service, routes in self.routes.items()
        }

    def prepare(self, settings: RelayerSettings) -> PreparedBackends:
        """What `settings.services` comes to; services that are as before keep all their state.

        Certificates of authorities are read anew: a service whose `tls.ca_file` has others is not
        as before.

        Raises:
            RelayerConfigurationError: a backend cannot be used; nothing has changed.
        """
        before, trusted = self._settings.services, self._now.authorities
        kept = {
            service: self.routes[service]
            for service, wanted in settings.services.items()
            if before.get(service) == wanted and trusted[service] == _authorities(wanted)
        }
        return self._build(attrs.evolve(self._settings, services=settings.services), kept)

    def replace(self, prepared: PreparedBackends) -> None:
        """These are in force from now on; connections to what is gone are closed when unused."""
        kept = {id(routes) for routes in prepared.routes.values()}
        gone = {name: one for name, one in self.routes.items() if id(one) not in kept}
        self.routes.clear()
        self.routes.update(prepared.routes)
        self._settings = prepared.settings
        self._now = prepared
        for pool in pools_of(gone):
            for endpoint in pool.endpoints:
                endpoint.http.close()
        self._replaced.set()

    async def run(self) -> None:
        """Probe and guard whatever is in force, until cancelled."""
        while True:
            self._replaced = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._now.prober.run)
                nursery.start_soon(self._now.guard.run)
                await self._replaced.wait()
                nursery.cancel_scope.cancel()

    def prune(self) -> None:
        """Close idle connections that are too old to be used."""
        for pool in pools_of(self.routes):
            for endpoint in pool.endpoints:
                endpoint.http.prune()

    def close(self) -> None:
        """Close all connections."""
        for pool in pools_of(self.routes):
            for endpoint in pool.endpoints:
                endpoint.http.close()

    def _build(self, settings: RelayerSettings, kept: dict[str, ServiceRoutes]) -> PreparedBackends:
        # Read before they are used: what changes in between is a change for the next look.
        authorities = {name: _authorities(one) for name, one in settings.services.items()}
        new = {name: one for name, one in settings.services.items() if name not in kept}
        built = RouteBuilder(
            attrs.evolve(settings, services=new), self._watchdog, self._metrics, self._held
        ).build()
        # In the order of the settings.
        routes = {name: kept.get(name) or built[name] for name in settings.services}
        return PreparedBackends(
            settings,
            routes,
            authorities,
            Prober(routes, settings, self._metrics),
            FreshnessGuard(routes, settings, self._metrics),
        )


def authority_files(settings: RelayerSettings) -> list[Path]:
    """The files of certificates that backends are believed by."""
    services = settings.services.values()
    return sorted({file for service in services for file in _files(service)})


def _files(service: ServiceSettings) -> set[Path]:
    files = (backend.tls.ca_file for backend in service.backends.values())
    return {file for file in files if file is not None}


def _authorities(service: ServiceSettings) -> Authorities:
    """What they hold, of one service; nothing of a file that cannot be read."""
    return tuple((file, _content(file)) for file in sorted(_files(service)))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
