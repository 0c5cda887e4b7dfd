"""A probe of a gRPC backend: `grpc.health.v1.Health/Check` over HTTP/2."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from relayminer.net.errors import BadResponseError
from relayminer.net.server import fetch
from relayminer.relayer.probe_http import probe_headers

if TYPE_CHECKING:
    from relayminer.config.traffic import HealthCheckSettings
    from relayminer.relayer.pool import Endpoint
    from relayminer.relayer.routes import Route

_PATH = b"/grpc.health.v1.Health/Check"
_SERVING = 1
_STATUS_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_OK = 0
_UNIMPLEMENTED = 12
_PREFIX = struct.Struct(">BI")
_MAX_ANSWER_BYTES = 65_536
_LENGTH = b"\x0a"
_STATUS_FIELD = 0x08
_MAX_NAME_BYTES = 127


class GrpcProbe:
    """Asks for the health of the server, or of the one service that the settings name.

    A server that is there but knows no health service is well: it has answered.
    """

    def __init__(self, route: Route, endpoint: Endpoint, health: HealthCheckSettings) -> None:
        self._server = endpoint.http.sibling(max_connections=1)
        self._headers = probe_headers(route, health)
        self._headers.append((b"content-type", b"application/grpc"))
        message = check_request(health.endpoint.strip("/"))
        self._body = _PREFIX.pack(0, len(message)) + message

    async def problem(self, *, timeout_seconds: float) -> str:
        """Whether the server says SERVING, or does not know the question."""
        answer = await fetch(
            self._server,
            b"POST",
            _PATH,
            headers=self._headers,
            body=self._body,
            timeout_seconds=timeout_seconds,
            max_response_bytes=_MAX_ANSWER_BYTES,
        )
        status = answer.header(b"grpc-status")
        if not status.isdigit():
            raise BadResponseError(f"no gRPC status; HTTP status {answer.status}")
        if int(status) == _UNIMPLEMENTED:
            return ""
        if int(status) != _OK:
            return f"gRPC status {int(status)}"
        serving = serving_status(answer.body[_PREFIX.size :])
        return "" if serving == _SERVING else f"health {_STATUS_NAMES.get(serving, serving)}"

    def close(self) -> None:
        """Close the connection."""
        self._server.close()


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
