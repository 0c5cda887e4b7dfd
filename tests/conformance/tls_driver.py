"""Drives HTTP/1.1 inside TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from relayminer.net.dial import dial
from relayminer.net.response import ResponseParser
from relayminer.net.url import Origin
from relayminer.testing.http_client import Client
from relayminer.testing.http_driver import HttpConnection, HttpDriver

if TYPE_CHECKING:
    from relayminer.net.tls import ClientTls

DIAL_SECONDS = 10.0


@frozen
class TlsDriver(HttpDriver):
    """As over TCP, with a client that believes the stand's authority.

    Attributes:
        tls: of the client.
    """

    tls: ClientTls = field(kw_only=True)

    async def connect(self, address: tuple[str, int], service: str) -> HttpConnection:
        """A connection; the handshake is done."""
        del service
        wire = await dial(Origin("https", *address), timeout_seconds=DIAL_SECONDS, tls=self.tls)
        return HttpConnection(Client(wire, ResponseParser()))
