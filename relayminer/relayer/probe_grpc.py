"""A probe of a gRPC backend: `grpc.health.v1.Health/Check` over HTTP/2."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Protocol

import trio

from relayminer.net.errors import BadResponseError
from relayminer.net.url import Origin
from relayminer.relayer.probe_grpc_call import GRPC_OK, UNIMPLEMENTED, UnaryCall

if TYPE_CHECKING:
    from relayminer.config.traffic import HealthCheckSettings
    from relayminer.net.http1 import Headers
    from relayminer.relayer.pool import Endpoint
    from relayminer.relayer.routes import Route

_PATH = b"/grpc.health.v1.Health/Check"
_SERVING = 1
_STATUS_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_TLS = frozenset({"https", "grpcs", "wss"})
_LENGTH = b"\x0a"
_STATUS_FIELD = 0x08
_MAX_NAME_BYTES = 127


class Caller(Protocol):
    """One unary gRPC call over HTTP/2."""

    async def __call__(
        self,
        origin: Origin,
        path: bytes,
        message: bytes,
        headers: Headers,
        *,
        timeout_seconds: float,
    ) -> tuple[int, bytes]:
        """The gRPC status and the answer's message (empty unless the status is 0)."""
        ...


class GrpcProbe:
    """Asks for the health of the server, or of the one service that the settings name.

    A server that is there but knows no health service is well: it has answered.
    """

    def __init__(
        self,
        route: Route,
        endpoint: Endpoint,
        health: HealthCheckSettings,
        call: Caller | None = None,
    ) -> None:
        origin = endpoint.url.origin
        scheme = "https" if origin.scheme in _TLS else "http"
        self._origin = Origin(scheme, origin.host, origin.port)
        self._headers = [
            *((name.lower(), value) for name, value in route.fixed_headers),
            *((name.lower().encode(), value.encode()) for name, value in health.headers.items()),
        ]
        self._message = check_request(health.endpoint.strip("/"))
        self._call: Caller = call or UnaryCall(ssl.create_default_context)

    async def problem(self, *, timeout_seconds: float) -> str:
        """Whether the server says SERVING, or does not know the question."""
        try:
            with trio.fail_after(timeout_seconds):
                status, message = await self._call(
                    self._origin,
                    _PATH,
                    self._message,
                    self._headers,
                    timeout_seconds=timeout_seconds,
                )
        except trio.TooSlowError:
            return "no answer in time"
        if status == UNIMPLEMENTED:
            return ""
        if status != GRPC_OK:
            return f"gRPC status {status}"
        serving = serving_status(message)
        return "" if serving == _SERVING else f"health {_STATUS_NAMES.get(serving, serving)}"

    def close(self) -> None:
        """Nothing stays open between probes."""


def check_request(service: str) -> bytes:
    """A `HealthCheckRequest`: the service's name, nothing for the whole server.

    Raises:
        BadResponseError: the name is longer than 127 bytes.
    """
    name = service.encode()
    if len(name) > _MAX_NAME_BYTES:
        raise BadResponseError("a service's name has at most 127 bytes")
    return _LENGTH + bytes([len(name)]) + name if name else b""


def serving_status(message: bytes) -> int:
    """The status of a `HealthCheckResponse`.

    Raises:
        BadResponseError: it is none.
    """
    if not message:
        return 0
    if len(message) < 2 or message[0] != _STATUS_FIELD:  # noqa: PLR2004 - a tag and a value
        raise BadResponseError("the answer is no HealthCheckResponse")
    return message[1]
