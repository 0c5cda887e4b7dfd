"""What the demo backend counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from relayminer.devnet.http_message import HttpRequest, HttpResponse

MAX_METHODS = 100
"""Paths that are counted by name; clients choose them."""


class BackendMetrics:
    """Requests by protocol and method, and how long they took."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "demo_requests_total", "Requests", ["protocol", "method"], registry=self._registry
        )
        self._seconds = Histogram(
            "demo_request_duration_seconds",
            "How long they took",
            ["protocol"],
            registry=self._registry,
        )
        self._known: set[str] = set()

    def count(self, protocol: str, method: str, seconds: float) -> None:
        """One request more."""
        if method not in self._known and len(self._known) >= MAX_METHODS:
            method = "other"
        self._known.add(method)
        self._requests.labels(protocol, method).inc()
        self._seconds.labels(protocol).observe(seconds)

    async def page(self, request: HttpRequest) -> HttpResponse:
        """The metrics page."""
        if request.path != "/metrics":
            return HttpResponse(404, (), b"")
        headers = (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),)
        return HttpResponse(200, headers, generate_latest(self._registry))
