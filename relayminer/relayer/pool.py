"""The endpoints of a backend: which one is next, and which is left alone for a while.

An endpoint gets no relays while any of these holds:

- its relays failed too often in a row (the passive breaker). After `recovery_seconds` one single
  relay tries it; a good answer brings it back, anything else leaves it alone for another round;
- its probes fail (`probe.py`), until they succeed again;
- its chain lags behind its siblings' (`guard.py`), until it has caught up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from relayminer.relayer.pool_rank import Rank, best

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relayminer.net.server import Server
    from relayminer.net.tls import ClientTls
    from relayminer.net.url import BackendUrl
    from relayminer.telemetry.metrics import Gauge

FIRST_HEALTHY = "first_healthy"
ROUND_ROBIN = "round_robin"
RANKED = "ranked"
_TIMEOUTS_PER_FAILURE = 2
_EXPLORE_EVERY = 32


class Endpoint:
    """One address of a backend.

    Attributes:
        failures: in a row.
        timeouts: in a row. A client can ask what takes too long, so they weigh less.
        left_alone_until: clock time; an endpoint that failed too often gets no relay before.
        on_trial: the one relay that may try it is on its way.
        probe_problem: what its probes say is wrong, or empty.
        probe_failures: in a row.
        probe_successes: in a row.
        height: of its chain, 0 while unknown.
        is_lagging: whether its chain lags behind its siblings'.
        rank: moving averages of what it did.
        tls: for connections that are made for one conversation or probe.
        targets: request targets already built, by the client's URL.
    """

    __slots__ = (
        "failures",
        "health",
        "height",
        "http",
        "is_lagging",
        "is_out",
        "left_alone_until",
        "name",
        "on_trial",
        "probe_failures",
        "probe_problem",
        "probe_successes",
        "rank",
        "targets",
        "timeouts",
        "tls",
        "url",
    )

    def __init__(
        self,
        name: str,
        url: BackendUrl,
        http: Server,
        health: Gauge,
        tls: ClientTls | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self.http = http
        self.health = health
        self.tls = tls
        self.failures = 0
        self.timeouts = 0
        self.left_alone_until: float | None = None
        self.on_trial = False
        self.probe_problem = ""
        self.probe_failures = 0
        self.probe_successes = 0
        self.height = 0
        self.is_lagging = False
        self.is_out = False
        self.rank = Rank()
        self.targets: dict[str, bytes] = {}
        health.value = 1.0

    @property
    def state(self) -> str:
        """One word for the status page."""
        if self.probe_problem:
            return "probe_failed"
        if self.is_lagging:
            return "lagging"
        if self.on_trial:
            return "on_trial"
        return "healthy" if self.left_alone_until is None else "left_alone"


class BackendPool:
    """All endpoints of one service and RPC type.

    Whoever takes an endpoint from `pick` or `pick_other` says afterwards how it went: `succeeded`,
    `failed`, `timed_out`, or `released` when the outcome says nothing about the endpoint.
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
        self.strategy = strategy
        self._service = service
        several = len(self.endpoints) > 1
        self._rotate = strategy == ROUND_ROBIN and several
        self._ranked = strategy == RANKED and several
        self._threshold = max(1, unhealthy_threshold)
        self._recovery_seconds = recovery_seconds
        self._clock = clock
        self._turn = 0
        self._troubled = 0
        self._log = structlog.get_logger("relayminer.relayer")

    def is_healthy(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint may get a relay, be it the one that tries it."""
        if not endpoint.is_out:
            return True
        if endpoint.probe_problem or endpoint.is_lagging:
            return False
        until = endpoint.left_alone_until
        return until is None or (self._recovery_seconds > 0 and self._clock() >= until)

    @property
    def has_healthy(self) -> bool:
        """Whether any endpoint may get a relay."""
        return self._troubled == 0 or any(self.is_healthy(one) for one in self.endpoints)

    def pick(self) -> Endpoint | None:
        """The endpoint for a first attempt."""
        start = 0
        if self._rotate:
            self._turn = start = (self._turn + 1) % len(self.endpoints)
        elif self._ranked:
            return self._pick_best()
        if self._troubled == 0:
            return self.endpoints[start]
        for endpoint in (*self.endpoints[start:], *self.endpoints[:start]):
            if self.is_healthy(endpoint):
                return self._taken(endpoint)
        return None

    def pick_other(self, *used: Endpoint) -> Endpoint | None:
        """The endpoint for a further attempt: the first healthy one that is not `used`."""
        for endpoint in self.endpoints:
            if endpoint not in used and self.is_healthy(endpoint):
                return self._taken(endpoint)
        return None

    def _pick_best(self) -> Endpoint | None:
        healthy = self.endpoints
        if self._troubled:
            healthy = tuple(one for one in healthy if self.is_healthy(one))
            for one in healthy:
                if one.left_alone_until is not None:
                    # Due for its trial: an endpoint with bad marks would never get it otherwise.
                    return self._taken(one)
        if not healthy:
            return None
        self._turn += 1
        if self._turn % _EXPLORE_EVERY == 0:
            # The averages of who is never asked would stay as bad as they once were.
            return healthy[self._turn // _EXPLORE_EVERY % len(healthy)]
        return best(healthy)

    def _taken(self, endpoint: Endpoint) -> Endpoint:
        if endpoint.left_alone_until is not None:
            endpoint.on_trial = True
            endpoint.left_alone_until = self._clock() + self._recovery_seconds
        return endpoint

    def succeeded(self, endpoint: Endpoint, seconds: float | None = None) -> None:
        """It answered, and not with a server error."""
        endpoint.failures = endpoint.timeouts = 0
        if seconds is not None:
            endpoint.rank.observe(seconds)
        if endpoint.left_alone_until is not None:
            endpoint.left_alone_until = None
            endpoint.on_trial = False
            self._settle(endpoint, "answered")

    def failed(self, endpoint: Endpoint, reason: str) -> None:
        """It answered with a server error, or broke the connection."""
        endpoint.failures += 1
        endpoint.rank.fail()
        if endpoint.failures >= self._threshold or endpoint.left_alone_until is not None:
            self._leave_alone(endpoint, reason)

    def timed_out(self, endpoint: Endpoint) -> None:
        """It did not answer in time: its doing, or that of what was asked."""
        endpoint.timeouts += 1
        endpoint.rank.fail()
        many = endpoint.timeouts >= self._threshold * _TIMEOUTS_PER_FAILURE
        if many or endpoint.left_alone_until is not None:
            self._leave_alone(endpoint, "timeouts")

    def released(self, endpoint: Endpoint) -> None:
        """The exchange ended for a reason that says nothing about the endpoint."""
        if endpoint.on_trial:
            endpoint.on_trial = False
            endpoint.left_alone_until = self._clock()

    def probed(
        self, endpoint: Endpoint, problem: str, unhealthy_after: int, healthy_after: int
    ) -> None:
        """The outcome of an active probe: what is wrong, or empty."""
        if problem:
            endpoint.probe_successes = 0
            endpoint.probe_failures += 1
            if endpoint.probe_failures >= unhealthy_after:
                endpoint.probe_problem = problem
                self._settle(endpoint, f"probe: {problem}")
            return
        endpoint.probe_failures = 0
        endpoint.probe_successes += 1
        if endpoint.probe_successes < healthy_after:
            return
        if endpoint.probe_problem:
            endpoint.probe_problem = ""
            self._settle(endpoint, "probe succeeded")
        if endpoint.left_alone_until is not None and not endpoint.on_trial:
            # The probe is no relay: what it proves is that a relay may try now.
            endpoint.left_alone_until = min(endpoint.left_alone_until, self._clock())

    def lag_found(self, endpoint: Endpoint, *, is_lagging: bool, reason: str) -> None:
        """What the freshness guard found."""
        if endpoint.is_lagging is not is_lagging:
            endpoint.is_lagging = is_lagging
            self._settle(endpoint, reason)

    def _leave_alone(self, endpoint: Endpoint, reason: str) -> None:
        endpoint.on_trial = False
        endpoint.left_alone_until = self._clock() + self._recovery_seconds
        self._settle(endpoint, reason)

    def _settle(self, endpoint: Endpoint, reason: str) -> None:
        """Count and tell, when the endpoint has gone out or has come back."""
        is_out = bool(
            endpoint.left_alone_until is not None or endpoint.probe_problem or endpoint.is_lagging
        )
        if is_out is endpoint.is_out:
            return
        endpoint.is_out = is_out
        endpoint.health.value = 0.0 if is_out else 1.0
        self._troubled += 1 if is_out else -1
        facts = {"service": self._service, "endpoint": endpoint.name, "reason": reason}
        if is_out:
            self._log.warning("backend_unhealthy", failures=endpoint.failures, **facts)
        else:
            self._log.info("backend_healthy", **facts)
