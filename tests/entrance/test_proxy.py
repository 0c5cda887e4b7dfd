"""Load balancers that say whose connection they pass on."""

from __future__ import annotations

import socket
import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import trio
from relayminer_plugins.http.transport import HttpTransport

from relayminer.config.entrance import ProxyProtocolSettings
from relayminer.net.errors import ProxyHeaderError
from relayminer.net.proxy_protocol import MAX_HEADER_BYTES, ProxyHeader, parse_proxy_header
from relayminer.net.response import ResponseParser
from relayminer.net.tls_wire import TlsWire
from relayminer.plugin import Claim
from tests.entrance.kit import secure_bench
from tests.relayer.client import Client, connect
from tests.relayer.kit import bench, request_body, settings, signed_request
from tests.spool.outage import until

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

    from relayminer.plugin import Engine, Wire

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n"
V1_IPV6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n"
TRUSTING = partial(settings, proxy_protocol=ProxyProtocolSettings(trusted=("127.0.0.0/8",)))


def version_2(command: int, family: int, body: bytes, *, version: int = 2) -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack(">BBH", version << 4 | command, family, len(body)) + body


V4_PLACE = socket.inet_aton("203.0.113.7") + socket.inet_aton("198.51.100.1")
V6_PLACE = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2
PORTS = struct.pack(">HH", 56_324, 443)
TLV = b"\x04\x00\x03abc"
V2 = version_2(1, 0x11, V4_PLACE + PORTS)
GOOD = {
    V1: ("203.0.113.7", 56_324),
    V1_IPV6: ("2001:db8::7", 56_324),
    V2: ("203.0.113.7", 56_324),
    version_2(1, 0x11, V4_PLACE + PORTS + TLV): ("203.0.113.7", 56_324),
    version_2(1, 0x21, V6_PLACE + PORTS): ("2001:db8::7", 56_324),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff:f 1 2 3\r\n": None,
    version_2(0, 0x00, b""): None,
    version_2(0, 0x11, V4_PLACE + PORTS): None,
    version_2(1, 0x00, b""): None,
    version_2(1, 0x31, b"/client".ljust(108, b"\0") + b"/us".ljust(108, b"\0")): None,
}
BAD = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"PROXY TCP4 203.0.113.7 198.51.100.1 56324\r\n",
    b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443 \r\n",
    b"PROXY TCP4 203.0.113.777 198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 2001:db8::7 198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 203.0.113.7 198.51.100.1 65536 443\r\n",
    b"PROXY TCP4 203.0.113.7 198.51.100.1 0080 443\r\n",
    b"PROXY TCP4 203.0.113.7 198.51.100.1 -1 443\r\n",
    b"PROXY UDP4 203.0.113.7 198.51.100.1 56324 443\r\n",
    b"PROXY " + b"x" * 200,
    version_2(1, 0x11, V4_PLACE + PORTS, version=1),
    version_2(2, 0x11, V4_PLACE + PORTS),
    version_2(1, 0x41, V4_PLACE + PORTS),
    version_2(1, 0x13, V4_PLACE + PORTS),
    version_2(1, 0x11, V4_PLACE),
    version_2(1, 0x21, V4_PLACE + PORTS),
    version_2(1, 0x11, V4_PLACE + PORTS + b"x" * MAX_HEADER_BYTES),
)


@pytest.mark.parametrize("header", GOOD)
def test_headers_of_both_versions(header: bytes) -> None:
    """Read to their last byte and not beyond, and not before that byte is there."""
    assert parse_proxy_header(header + b"GET / HTTP") == ProxyHeader(len(header), GOOD[header])
    for size in range(len(header)):
        assert parse_proxy_header(header[:size]) is None


@pytest.mark.parametrize("header", BAD)
def test_what_is_no_header(header: bytes) -> None:
    """Refused, however much follows."""
    with pytest.raises(ProxyHeaderError):
        parse_proxy_header(header)


async def opened(address: tuple[str, int], *pieces: bytes) -> Client:
    """A connection that begins with these pieces."""
    client = await connect(address)
    for piece in pieces:
        await client.wire.send(piece)
        # So that they come apart.
        await trio.sleep(0.03 if len(pieces) > 1 else 0)
    return client


async def test_relays_come_through_a_balancer(redis_url: str) -> None:
    """Behind a header of either version, in one piece with the request or in many."""
    async with bench(redis_url, configure=TRUSTING) as b:
        body = request_body(signed_request(b.chain))
        for header in GOOD:
            client = await opened(b.address, header)
            assert (await client.send(body)).status == 200
            client.wire.close()
        client = await opened(b.address, V2[:5], V2[5:20], V2[20:] + b"GET /heal")
        await client.wire.send(b"th HTTP/1.1\r\n\r\n")
        assert (await client.read()).status == 200
        client.wire.close()
        assert len(await b.logged()) == len(GOOD)
        sample = "ha_relayer_proxy_headers_total"
        assert b.value(sample, result="accepted") == 6
        assert b.value(sample, result="local") == 6


async def test_a_balancer_that_breaks_the_rules_is_hung_up_on(redis_url: str) -> None:
    """Without a header, with a bad one or half a one, nothing is answered; all are counted."""
    configure: Any = partial(TRUSTING, header_timeout_seconds=0.3)
    async with bench(redis_url, configure=configure) as b:
        said = (*BAD, V2[:9])
        for header in said:
            client = await opened(b.address, header)
            with trio.fail_after(5):
                assert await gone(client)
            client.wire.close()
        assert b.value("ha_relayer_proxy_headers_total", result="malformed") == len(said)
        # A balancer that only looks whether somebody listens is no offence.
        client = await opened(b.address)
        client.wire.close()
        await until(lambda: b.value("ha_relayer_active_connections") == 0)
        assert b.value("ha_relayer_proxy_headers_total", result="malformed") == len(said)


async def gone(client: Client) -> bool:
    """Whether the relayer hung up, be it with a reset, and without a word."""
    try:
        return not await client.wire.receive()
    except Exception:  # noqa: BLE001 - a reset
        return True


async def test_only_the_trusted_are_believed(redis_url: str) -> None:
    """From elsewhere a header is what it looks like: no HTTP; without one a client is served."""
    elsewhere = ProxyProtocolSettings(trusted=("10.0.0.0/8", "2001:db8::/32"))
    async with bench(redis_url, configure=partial(settings, proxy_protocol=elsewhere)) as b:
        client = await opened(b.address, V1)
        assert (await client.read()).status == 400
        client.wire.close()
        client = await connect(b.address)
        assert (await client.get(b"/health")).status == 200
        client.wire.close()


async def test_the_header_comes_before_tls(redis_url: str, tmp_path: Path) -> None:
    """In plain text, then the handshake; a balancer without one is hung up on."""
    async with secure_bench(redis_url, tmp_path, configure=TRUSTING) as b:
        plain = await opened(b.relayer.address, V2)
        wire = TlsWire(plain.wire.detach(), b.context(), server_name="127.0.0.1")
        await wire.handshake()
        client = Client(wire, ResponseParser())
        body = request_body(signed_request(b.relayer.chain))
        assert (await client.send(body)).status == 200
        wire.close()
        assert b.relayer.value("ha_relayer_proxy_headers_total", result="accepted") == 1


class Clumsy:
    """A transport with an accident in it."""

    name = "clumsy"
    priority = 1

    def claims(self, head: bytes) -> Claim:
        """Whatever begins so."""
        return Claim.YES if head.startswith(b"BOOM") else Claim.NO

    async def serve(self, wire: Wire, engine: Engine) -> None:
        """Fall over."""
        del wire, engine
        raise RuntimeError("an accident")


async def test_logs_name_the_client_not_the_balancer(redis_url: str) -> None:
    """Whatever is logged for a connection says whose it is."""
    logged: list[MutableMapping[str, Any]] = []

    def keep(_: Any, __: str, event: MutableMapping[str, Any]) -> Any:
        logged.append(dict(event))
        raise structlog.DropEvent

    transports: list[Any] = [Clumsy(), HttpTransport()]
    processors = structlog.get_config()["processors"]
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    try:
        async with bench(redis_url, configure=TRUSTING, transports=transports) as b:
            for header in (V1, b"PROXY UNKNOWN\r\n"):
                client = await opened(b.address, header + b"BOOM")
                await gone(client)
                client.wire.close()
    finally:
        structlog.configure(processors=processors)
    clients = [event["client"] for event in logged if event["event"] == "connection_failed"]
    assert clients[0] == "203.0.113.7:56324"
    assert clients[1].startswith("127.0.0.1:")
