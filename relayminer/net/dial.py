"""Opening a connection: TCP, a Unix socket, TLS."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import trio

from relayminer.net.errors import DialTimeoutError, WireError
from relayminer.net.tls import ClientTls, client_context
from relayminer.net.tls_wire import TlsWire
from relayminer.net.wire import Wire

if TYPE_CHECKING:
    from relayminer.net.url import Origin

TLS_SCHEMES = frozenset({"https", "wss"})


async def dial(origin: Origin, *, timeout_seconds: float, tls: ClientTls | None = None) -> Wire:
    """Connect to `origin`, with TLS where its scheme says so.

    Args:
        origin: where.
        timeout_seconds: for TCP and TLS together.
        tls: for https and wss; None believes whom the system believes, and takes long to set up.

    Raises:
        DialTimeoutError: no connection within `timeout_seconds`.
        WireError: refused, unreachable, unknown host, or the TLS handshake failed.
    """
    try:
        with trio.fail_after(timeout_seconds):
            connected = _detached(await trio.open_tcp_stream(origin.host, origin.port))
            if origin.scheme not in TLS_SCHEMES:
                return Wire(connected)
            try:
                return await _secured(connected, origin, tls or ClientTls(client_context()))
            except BaseException:
                connected.close()
                raise
    except trio.TooSlowError:
        raise DialTimeoutError(
            f"no connection to {origin.authority} within {timeout_seconds:g} s"
        ) from None
    except (OSError, WireError) as error:
        raise WireError(f"no connection to {origin.authority}: {_reason(error)}") from error


async def _secured(connected: socket.socket, origin: Origin, tls: ClientTls) -> TlsWire:
    wire = TlsWire(connected, tls.context, server_name=tls.server_name or origin.host)
    try:
        await wire.handshake()
    except BaseException:
        wire.close()
        raise
    return wire


def _detached(stream: trio.SocketStream) -> socket.socket:
    raw = stream.socket
    return socket.socket(raw.family, raw.type, raw.proto, fileno=raw.detach())


def _reason(error: BaseException) -> BaseException:
    reason = error if isinstance(error, WireError) else error.__cause__ or error
    while isinstance(reason, BaseExceptionGroup):
        reason = reason.exceptions[0]
    return reason
