"""The bytes that a relay becomes for its backend (relayer.md 2.3 and 2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.net.errors import BadRequestError, BadUrlError
from relayminer.net.url import request_target
from relayminer.relayer.errors import RefusedError

if TYPE_CHECKING:
    from relayminer.net.http1 import Headers
    from relayminer.relayer.pool import Endpoint
    from relayminer.relayer.relay import Relay
    from relayminer.relayer.routes import Route

_MAX_TARGETS = 1_000
_MAX_CACHED_URL = 2_048
# Framing and connection management are ours, whatever the inner request says.
_OURS = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"trailer",
        b"te",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"upgrade",
        b"expect",
        b"pocket-supplier",
        b"pocket-service",
        b"pocket-application",
    }
)
_INHERITED = {
    b"content-type": b"Content-Type",
    b"accept": b"Accept",
    b"user-agent": b"User-Agent",
}
_POCKET = b"pocket-"


def backend_request(
    relay: Relay, route: Route, endpoint: Endpoint, method: bytes, headers: Headers
) -> Any:
    """The whole request for one endpoint, ready for its `http.open`.

    Raises:
        RefusedError: 502, the client's method, URL or headers cannot be written as HTTP.
    """
    url = relay.http.url
    target = endpoint.targets.get(url)
    try:
        if target is None:
            target = request_target(endpoint.url, route.base_path, url).encode("ascii")
            if len(url) <= _MAX_CACHED_URL:
                if len(endpoint.targets) >= _MAX_TARGETS:
                    endpoint.targets.clear()
                endpoint.targets[url] = target
        return endpoint.http.prepare(method, target, headers, relay.http.body)
    except (BadUrlError, BadRequestError) as error:
        # The client's doing: no endpoint is blamed for it.
        raise RefusedError(502, "backend error", "bad_backend_request") from error


def backend_headers(relay: Relay, route: Route) -> Headers:
    """The request's headers in the order of relayer.md 2.4, the same for every endpoint."""
    fixed_names = route.fixed_names
    headers: Headers = []
    outer: dict[bytes, bytes] = {}
    present = set()
    for name, value in relay.outer_headers:
        if name.startswith(_POCKET) and name not in outer and name not in _OURS:
            outer[name] = value
    for text, values in relay.http.headers.items():
        name = text.encode()
        lowered = name.lower()
        if lowered in _OURS or lowered in fixed_names or lowered in outer:
            continue
        present.add(lowered)
        headers.extend([(name, value.encode()) for value in values])
    for name, value in relay.outer_headers:
        title = _INHERITED.get(name)
        if title is not None and name not in present and name not in fixed_names:
            present.add(name)
            headers.append((title, value))
    headers.extend(item for item in outer.items() if item[0] not in fixed_names)
    headers.extend(route.fixed_headers)
    headers.append((b"Pocket-Supplier", relay.supplier.encode()))
    headers.append((b"Pocket-Service", route.service.encode()))
    if relay.application:
        headers.append((b"Pocket-Application", relay.application.encode()))
    return headers
