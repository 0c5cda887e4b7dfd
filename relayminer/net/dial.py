"""Opening a connection: TCP, a Unix socket, TLS."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import trio

from relayminer.net.errors import DialTimeoutError, WireError
from relayminer.net.wire import AnyWire, TlsWire, Wire

if TYPE_CHECKING:
    from relayminer.net.url import Origin

TLS_SCHEMES = frozenset({"https", "wss"})


async def dial(
    origin: Origin, *, timeout_seconds: float, tls: ssl.SSLContext | None = None
) -> AnyWire:
    """Connect to `origin`, with TLS where its scheme says so.

    Raises:
        DialTimeoutError: no connection within `timeout_seconds`.
        WireError: refused, unreachable, unknown host, or the TLS handshake failed.
    """
    try:
        with trio.fail_after(timeout_seconds):
            stream = await trio.open_tcp_stream(origin.host, origin.port)
            if origin.scheme not in TLS_SCHEMES:
                return Wire(_detached(stream))
            context = tls if tls is not None else ssl.create_default_context()
            secure = trio.SSLStream(
                stream, context, server_hostname=origin.host, https_compatible=True
            )
            try:
                await secure.do_handshake()
            except BaseException:
                stream.socket.close()
                raise
            return TlsWire(secure)
    except trio.TooSlowError:
        raise DialTimeoutError(
            f"no connection to {origin.authority} within {timeout_seconds:g} s"
        ) from None
    except (OSError, trio.BrokenResourceError, ssl.SSLError) as error:
        raise WireError(f"no connection to {origin.authority}: {_reason(error)}") from error


def _detached(stream: trio.SocketStream) -> socket.socket:
    raw = stream.socket
    return socket.socket(raw.family, raw.type, raw.proto, fileno=raw.detach())


def _reason(error: BaseException) -> BaseException:
    reason = error.__cause__ or error
    while isinstance(reason, BaseExceptionGroup):
        reason = reason.exceptions[0]
    return reason
