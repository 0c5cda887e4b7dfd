"""What a connection passes before a transport sees it: the PROXY header, then TLS."""

from __future__ import annotations

import math
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import frozen

from relayminer.net.errors import ProxyHeaderError, TlsSetupError, WireError, WireTimeoutError
from relayminer.net.http1 import linger, response_bytes
from relayminer.net.proxy_protocol import MAX_HEADER_BYTES, parse_proxy_header
from relayminer.net.tls import HTTP1, expiry_of, server_context
from relayminer.net.tls_wire import TlsWire
from relayminer.net.wire import Wire
from relayminer.relayer.errors import RelayerConfigurationError

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Sequence

    from relayminer.config.entrance import TlsSettings
    from relayminer.config.settings import RelayerSettings
    from relayminer.plugin import Transport
    from relayminer.telemetry.metrics import Metrics

Address = tuple[str, int]
_TLS_HANDSHAKE: Final = 0x16
_LINGER_BYTES: Final = 65_536
_LINGER_SECONDS: Final = 1.0
_MORE_PAUSE_SECONDS: Final = 0.02
_PLAIN_HTTP: Final = response_bytes(
    400, b'{"error":"this address speaks TLS: use https or wss"}', keep_alive=False
)


class NotAdmittedError(Exception):
    """The connection ends here; it is counted."""


@frozen
class PreparedTls:
    """TLS that was made from settings and is not in force yet.

    Attributes:
        context: None without TLS.
        expires_at: Unix time at which the certificate's time is over, 0 without one.
    """

    settings: TlsSettings
    context: ssl.SSLContext | None
    expires_at: float


class Entrance:
    """Lets connections in.

    Args:
        settings: of the relayer.
        transports: those that have an `alpn` say what is offered besides HTTP/1.1.
        metrics: where outcomes are counted.

    Raises:
        RelayerConfigurationError: certificate or key cannot be used.
    """

    def __init__(
        self, settings: RelayerSettings, transports: Sequence[Transport], metrics: Metrics
    ) -> None:
        spoken = [name for one in transports for name in getattr(one, "alpn", ())]
        self._protocols = [*spoken, HTTP1]
        self._header_timeout_seconds = settings.header_timeout_seconds
        self._trusted = [ip_network(text) for text in settings.proxy_protocol.trusted]
        self._unfinished: dict[Wire, None] = {}
        self._log = structlog.get_logger("relayminer.relayer")
        prefix = "ha_relayer_"
        self._handshakes = metrics.counter(
            prefix + "tls_handshakes", "Of clients, by what became of them", ("result",)
        )
        self._headers = metrics.counter(
            prefix + "proxy_headers", "Of load balancers, by what became of them", ("result",)
        )
        expires = metrics.gauge(
            prefix + "tls_certificate_expires", "Unix time; 0 without TLS"
        ).bind()
        self._tls = self.prepare(settings.tls)
        expires.read = lambda: self._tls.expires_at

    def prepare(self, settings: TlsSettings) -> PreparedTls:
        """What the settings and their files come to.

        Raises:
            RelayerConfigurationError: they cannot be used; nothing has changed.
        """
        if settings.certificate is None or settings.key is None:
            return PreparedTls(settings, None, 0.0)
        try:
            context = server_context(
                settings.certificate,
                settings.key,
                client_ca=settings.client_ca,
                min_version=settings.min_version,
                protocols=self._protocols,
            )
            return PreparedTls(settings, context, expiry_of(settings.certificate))
        except TlsSetupError as error:
            raise RelayerConfigurationError(f"relayer.tls: {error}") from error

    def replace(self, prepared: PreparedTls) -> None:
        """This holds for connections from now on; those that are there go on as they are."""
        self._tls = prepared

    def wire(self, accepted: socket.socket) -> Wire:
        """The connection, to be admitted."""
        context = self._tls.context
        return Wire(accepted) if context is None else TlsWire(accepted, context)

    async def admit(self, wire: Wire, source: Address) -> Address:
        """See the connection in; returns whose it is.

        Raises:
            NotAdmittedError: it has no business here.
            WireError, WireTimeoutError: it broke, or was too slow.
        """
        if self._trusted and self._is_trusted(source):
            source = await self._proxied(wire) or source
        if isinstance(wire, TlsWire):
            await self._secure(wire)
        return source

    def _is_trusted(self, source: Address) -> bool:
        address = ip_address(source[0].partition("%")[0])
        return any(address in network for network in self._trusted)

    async def _proxied(self, wire: Wire) -> Address | None:
        wire.expires_at = trio.current_time() + self._header_timeout_seconds
        try:
            while True:
                head = await wire.peek(MAX_HEADER_BYTES)
                if not head:
                    # A balancer that looks whether we are there.
                    raise NotAdmittedError
                header = parse_proxy_header(head)
                if header is not None:
                    break
                # The bytes stay in the socket, so it stays readable: look again a little later.
                await trio.sleep(_MORE_PAUSE_SECONDS)
                if wire.expired:
                    raise ProxyHeaderError("not received in time")  # noqa: TRY301 - told below
        except (ProxyHeaderError, WireTimeoutError) as error:
            self._headers.bind("malformed").value += 1
            raise NotAdmittedError from error
        rest = header.size
        while rest:
            rest -= len(await wire.receive(rest))
        self._headers.bind("local" if header.source is None else "accepted").value += 1
        wire.expires_at = math.inf
        return header.source

    async def _secure(self, wire: TlsWire) -> None:
        self._make_room(wire)
        wire.expires_at = trio.current_time() + self._tls.settings.handshake_timeout_seconds
        try:
            first = await wire.peek(1)
            if first and first[0] == _TLS_HANDSHAKE:
                await wire.handshake()
                self._handshakes.bind("completed").value += 1
                wire.expires_at = math.inf
                return
        except WireTimeoutError:
            displaced = wire not in self._unfinished
            self._handshakes.bind("displaced" if displaced else "timeout").value += 1
            raise
        except WireError as error:
            self._handshakes.bind("failed").value += 1
            self._log.debug("tls_refused", reason=str(error))
            await self._end(wire)
            raise NotAdmittedError from error
        finally:
            self._unfinished.pop(wire, None)
        if first:
            self._handshakes.bind("plaintext").value += 1
            if first.isalpha() and first.isupper():
                await wire.send(_PLAIN_HTTP)
            await self._end(wire)
        raise NotAdmittedError

    def _make_room(self, wire: Wire) -> None:
        unfinished = self._unfinished
        if len(unfinished) >= self._tls.settings.max_handshakes:
            # An honest handshake takes milliseconds: the oldest is the least likely to be one.
            oldest = next(iter(unfinished))
            del unfinished[oldest]
            oldest.expire()
        unfinished[wire] = None

    async def _end(self, wire: TlsWire) -> None:
        """Hang up so that the client can read what it was told."""
        wire.finish_writing()
        await linger(wire, _LINGER_BYTES, _LINGER_SECONDS)
