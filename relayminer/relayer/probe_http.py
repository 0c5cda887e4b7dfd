"""A probe over HTTP: one request, one expected answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.net.server import fetch
from relayminer.net.url import request_target

if TYPE_CHECKING:
    from relayminer.config.traffic import HealthCheckSettings
    from relayminer.net.http1 import Headers
    from relayminer.net.response import Response
    from relayminer.relayer.pool import Endpoint
    from relayminer.relayer.routes import Route

_MAX_ANSWER_BYTES = 1_048_576
_GOOD = range(200, 300)


class HttpProbe:
    """Asks over connections of its own: busy relays must not make an endpoint look dead."""

    def __init__(self, route: Route, endpoint: Endpoint, health: HealthCheckSettings) -> None:
        self._pool = endpoint.http.sibling(max_connections=1)
        self._method = health.method.upper().encode()
        self._body = health.request_body.encode()
        self._headers = probe_headers(route, health)
        self._target = probe_target(route, endpoint, health)
        self._statuses = health.expected_status
        self._text = health.expected_body.encode()

    async def problem(self, *, timeout_seconds: float) -> str:
        """Ask, and compare status and body. Redirects are answers, not followed."""
        answer = await fetch(
            self._pool,
            self._method,
            self._target,
            headers=self._headers,
            body=self._body,
            timeout_seconds=timeout_seconds,
            max_response_bytes=_MAX_ANSWER_BYTES,
        )
        return self._judge(answer)

    def _judge(self, answer: Response) -> str:
        if answer.status not in (self._statuses or _GOOD):
            return f"status {answer.status}"
        if self._text and self._text not in answer.body:
            return "the answer lacks the expected text"
        return ""

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()


def probe_target(route: Route, endpoint: Endpoint, health: HealthCheckSettings) -> bytes:
    """Where to ask, by the same rule as relays (K-22)."""
    return request_target(endpoint.url, route.base_path, health.endpoint).encode("ascii")


def probe_headers(route: Route, health: HealthCheckSettings) -> Headers:
    """The backend's own headers, then the probe's."""
    own = {name.lower().encode() for name in health.headers}
    headers = [item for item in route.fixed_headers if item[0].lower() not in own]
    headers.extend((name.encode(), value.encode()) for name, value in health.headers.items())
    kind = health.content_type
    if not kind and health.request_body.strip().startswith(("{", "[")):
        kind = "application/json"
    if kind and b"content-type" not in own:
        headers.append((b"Content-Type", kind.encode()))
    return headers
