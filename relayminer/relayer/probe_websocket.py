"""A probe of a WebSocket backend: the opening handshake, then a polite end."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING

import trio

from relayminer.net.client import request_bytes
from relayminer.net.dial import dial
from relayminer.net.errors import WireTimeoutError
from relayminer.relayer.probe_http import probe_headers, probe_target

if TYPE_CHECKING:
    from relayminer.config.traffic import HealthCheckSettings
    from relayminer.net.wire import AnyWire
    from relayminer.relayer.pool import Endpoint
    from relayminer.relayer.routes import Route

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MAX_HEAD_BYTES = 16_384
_END = b"\r\n\r\n"
# A close frame with an empty body, masked with zeros.
_CLOSE = b"\x88\x80\x00\x00\x00\x00"


class WebSocketProbe:
    """Shakes hands with the endpoint as a relay's bridge would."""

    def __init__(self, route: Route, endpoint: Endpoint, health: HealthCheckSettings) -> None:
        self._origin = endpoint.url.origin
        self._tls = endpoint.tls
        self._target = probe_target(route, endpoint, health)
        self._headers = probe_headers(route, health)

    async def problem(self, *, timeout_seconds: float) -> str:
        """Whether the endpoint switches to the WebSocket protocol."""
        wire = await dial(self._origin, timeout_seconds=timeout_seconds, tls=self._tls)
        try:
            key = base64.b64encode(secrets.token_bytes(16))
            await wire.send(self._request(key))
            with trio.move_on_after(timeout_seconds):
                problem = _judge(await _head(wire), key)
                if not problem:
                    await wire.send(_CLOSE)
                return problem
            raise WireTimeoutError("no handshake in time")
        finally:
            wire.close()

    def _request(self, key: bytes) -> bytes:
        upgrade = [
            (b"Connection", b"Upgrade"),
            (b"Upgrade", b"websocket"),
            (b"Sec-WebSocket-Version", b"13"),
            (b"Sec-WebSocket-Key", key),
        ]
        authority = self._origin.authority.encode()
        return request_bytes(b"GET", self._target, authority, [*upgrade, *self._headers], b"")

    def close(self) -> None:
        """Nothing stays open between probes."""


async def _head(wire: AnyWire) -> bytes:
    head = b""
    while _END not in head and len(head) < _MAX_HEAD_BYTES:
        data = await wire.receive()
        if not data:
            break
        head += data
    return head.partition(_END)[0]


def _judge(head: bytes, key: bytes) -> str:
    status, *lines = head.split(b"\r\n")
    if not status.startswith(b"HTTP/1.1 101"):
        return f"no WebSocket handshake: {status[:60].decode('latin-1') or 'hung up'}"
    digest = hashlib.sha1(key + _GUID).digest()  # noqa: S324 - RFC 6455 says SHA-1
    wanted = base64.b64encode(digest)
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"sec-websocket-accept" and value.strip() == wanted:
            return ""
    return "the handshake's answer does not fit its question"
