"""The endpoints of a backend: which one is next, and which is left alone for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relayminer.net.client import HttpPool
    from relayminer.net.url import BackendUrl
    from relayminer.telemetry.metrics import Gauge

FIRST_HEALTHY = "first_healthy"
ROUND_ROBIN = "round_robin"


class Endpoint:
    """One address of a backend.

    Attributes:
        failures: in a row.
        left_alone_until: clock time; an endpoint that failed too often gets no relay before.
    """

    __slots__ = ("failures", "health", "http", "left_alone_until", "name", "targets", "url")

    def __init__(self, name: str, url: BackendUrl, http: HttpPool, health: Gauge) -> None:
        self.name = name
        self.url = url
        self.http = http
        self.health = health
        self.failures = 0
        self.left_alone_until: float | None = None
        self.targets: dict[str, bytes] = {}
        """Request targets already built, by the client's URL."""
        health.value = 1.0


class BackendPool:
    """All endpoints of one service and RPC type, with their passive breaker.

    After `unhealthy_threshold` failures in a row an endpoint is left alone for
    `recovery_seconds`; the first relay after that decides whether it is well. A timeout says
    nothing about the endpoint's health: it neither counts as a failure nor heals.
    """

    def __init__(
        self,
        service: str,
        endpoints: Sequence[Endpoint],
        *,
        strategy: str,
        unhealthy_threshold: int,
        recovery_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self.endpoints = tuple(endpoints)
        self._service = service
        self._rotate = strategy == ROUND_ROBIN and len(self.endpoints) > 1
        self._threshold = max(1, unhealthy_threshold)
        self._recovery_seconds = recovery_seconds
        self._clock = clock
        self._turn = 0
        self._troubled = 0
        self._log = structlog.get_logger("relayminer.relayer")

    def is_healthy(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint may get a relay."""
        until = endpoint.left_alone_until
        if until is None:
            return True
        if self._recovery_seconds > 0 and self._clock() >= until:
            # On probation: one more failure and it is left alone again.
            endpoint.left_alone_until = None
            endpoint.failures = self._threshold - 1
            endpoint.health.value = 1.0
            self._troubled -= 1
            return True
        return False

    @property
    def has_healthy(self) -> bool:
        """Whether any endpoint may get a relay."""
        return self._troubled == 0 or any(self.is_healthy(one) for one in self.endpoints)

    def pick(self) -> Endpoint | None:
        """The endpoint for a first attempt."""
        if self._rotate:
            self._turn = (self._turn + 1) % len(self.endpoints)
            start = self._turn
        else:
            start = 0
        if self._troubled == 0:
            return self.endpoints[start]
        for endpoint in (*self.endpoints[start:], *self.endpoints[:start]):
            if self.is_healthy(endpoint):
                return endpoint
        return None

    def pick_other(self, used: Endpoint) -> Endpoint | None:
        """The endpoint for a further attempt: the first healthy one that is not `used`."""
        for endpoint in self.endpoints:
            if endpoint is not used and self.is_healthy(endpoint):
                return endpoint
        return None

    def succeeded(self, endpoint: Endpoint) -> None:
        """It answered, and not with a server error."""
        endpoint.failures = 0
        if endpoint.left_alone_until is not None:
            endpoint.left_alone_until = None
            endpoint.health.value = 1.0
            self._troubled -= 1
            self._log.info("backend_healthy", service=self._service, endpoint=endpoint.name)

    def failed(self, endpoint: Endpoint, reason: str) -> None:
        """It answered with a server error, or broke the connection."""
        endpoint.failures += 1
        if endpoint.failures < self._threshold or endpoint.left_alone_until is not None:
            return
        endpoint.left_alone_until = self._clock() + self._recovery_seconds
        endpoint.health.value = 0.0
        self._troubled += 1
        self._log.warning(
            "backend_unhealthy",
            service=self._service,
            endpoint=endpoint.name,
            failures=endpoint.failures,
            reason=reason,
        )
