"""Relayers behind TLS, and clients that speak it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import define

from relayminer.config.entrance import TlsSettings
from relayminer.net.response import ResponseParser
from relayminer.net.tls import client_context
from relayminer.net.tls_wire import TlsWire
from relayminer.testing.certificates import Authority, Identity
from tests.relayer.client import Client, connect
from tests.relayer.kit import Backend, Bench, bench, settings

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from relayminer.config.settings import RelayerSettings


def tls_settings(identity: Identity, **more: Any) -> TlsSettings:
    """TLS with this certificate."""
    return TlsSettings(certificate=identity.certificate, key=identity.key, **more)


@define(eq=False)
class SecureBench:
    """A relayer behind TLS."""

    relayer: Bench
    authority: Authority

    def context(self, *protocols: str) -> ssl.SSLContext:
        """Of a client that believes its certificate."""
        return client_context(ca_file=self.authority.file, protocols=protocols)

    async def connect(self, context: ssl.SSLContext | None = None) -> Client:
        """A client that has shaken hands."""
        plain = await connect(self.relayer.address)
        wire = TlsWire(
            plain.wire.detach(), context or self.context(), server_name=self.relayer.address[0]
        )
        try:
            await wire.handshake()
        except BaseException:
            wire.close()
            raise
        return Client(wire, ResponseParser())

    async def stream(self, *protocols: str) -> trio.SSLStream[trio.SocketStream]:
        """The same with another implementation: Trio's own."""
        inner = await trio.open_tcp_stream(*self.relayer.address)
        stream = trio.SSLStream(
            inner,
            self.context(*protocols),
            server_hostname=self.relayer.address[0],
            https_compatible=True,
        )
        await stream.do_handshake()
        return stream

    def handshakes(self, result: str) -> float:
        """How many came to this."""
        return self.relayer.value("ha_relayer_tls_handshakes_total", result=result)


@asynccontextmanager
async def secure_bench(
    redis_url: str,
    folder: Path,
    *,
    backend: Backend | None = None,
    configure: Callable[..., RelayerSettings] = settings,
    **tls: Any,
) -> AsyncIterator[SecureBench]:
    """A relayer whose certificate is for 127.0.0.1."""
    authority = Authority(folder)
    behind = partial(configure, tls=tls_settings(authority.issue(), **tls))
    async with bench(redis_url, backend=backend, configure=behind) as relayer:
        yield SecureBench(relayer, authority)
