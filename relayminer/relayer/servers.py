"""Connections to backends, as their settings want them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayminer.net.alpn_pool import AlpnPool
from relayminer.net.client import HttpPool
from relayminer.net.dial import TLS_SCHEMES
from relayminer.net.errors import TlsSetupError
from relayminer.net.http2_pool import Http2Pool
from relayminer.net.tls import HTTP1, HTTP2, ClientTls, client_context
from relayminer.net.url import Origin
from relayminer.relayer.errors import RelayerConfigurationError

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from relayminer.config.settings import BackendSettings
    from relayminer.net.held import HeldBytes
    from relayminer.net.server import PoolWatch, Server
    from relayminer.net.url import BackendUrl
    from relayminer.net.watchdog import Watchdog
    from relayminer.relayer.pool_profiles import PoolLimits, Timeouts

GRPC: Final = "grpc"
AUTO, HTTP2_ONLY, ALPN = "auto", "http2", "alpn"
_SECURE: Final = frozenset({*TLS_SCHEMES, "grpcs"})


class Servers:
    """Makes them; contexts are shared, for reading the system's certificates takes long.

    Args:
        watchdog: looks after the deadlines of HTTP/1.1; it must be running.
        held: what the bodies of all answers are counted against.
    """

    def __init__(self, watchdog: Watchdog, held: HeldBytes) -> None:
        self._watchdog = watchdog
        self._held = held
        self._contexts: dict[tuple[Path | None, bool, tuple[str, ...]], ssl.SSLContext] = {}

    def server(
        self,
        url: BackendUrl,
        rpc_type: str,
        backend: BackendSettings,
        limits: PoolLimits,
        timeouts: Timeouts,
        watch: PoolWatch,
    ) -> Server:
        """Of one endpoint; `watch` is told of its connections.

        Raises:
            RelayerConfigurationError: its authorities cannot be read.
        """
        origin = url.origin
        origin = Origin("https" if origin.scheme in _SECURE else "http", origin.host, origin.port)
        spoken = backend.protocol
        if spoken == AUTO:
            spoken = HTTP2_ONLY if rpc_type == GRPC else AUTO
        http2 = Http2Pool(
            origin,
            max_connections=limits.max_connections,
            idle_seconds=limits.idle_seconds,
            dial_timeout_seconds=timeouts.dial_seconds,
            tls=self.tls(url, backend, HTTP2),
            held=self._held,
            watch=watch,
        )
        if spoken == HTTP2_ONLY:
            return http2
        http1 = HttpPool(
            origin,
            self._watchdog,
            max_connections=limits.max_connections,
            max_idle_connections=limits.max_idle_connections,
            idle_seconds=limits.idle_seconds,
            dial_timeout_seconds=timeouts.dial_seconds,
            tls=self.tls(url, backend, HTTP1),
            held=self._held,
            watch=watch,
        )
        both = self.tls(url, backend, HTTP2, HTTP1)
        if spoken == ALPN and both is not None:
            return AlpnPool(http1, http2, both, timeouts.dial_seconds, watch)
        return http1

    def tls(self, url: BackendUrl, backend: BackendSettings, *protocols: str) -> ClientTls | None:
        """How to speak TLS with an endpoint, None for plain text.

        Raises:
            RelayerConfigurationError: its authorities cannot be read.
        """
        if url.origin.scheme not in _SECURE:
            return None
        wanted = (backend.tls.ca_file, backend.tls.insecure, protocols)
        context = self._contexts.get(wanted)
        if context is None:
            try:
                context = client_context(
                    ca_file=backend.tls.ca_file,
                    is_insecure=backend.tls.insecure,
                    protocols=protocols,
                )
            except TlsSetupError as error:
                raise RelayerConfigurationError(f"tls.ca_file: {error}") from error
            self._contexts[wanted] = context
        return ClientTls(context, backend.tls.server_name)
