"""TLS on a wire: what `Wire` promises holds, and strangers are told why they are not let in."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from relayminer.net.errors import TlsSetupError, WireError, WireTimeoutError
from relayminer.net.tls import client_context, server_context
from relayminer.net.tls_wire import TlsWire
from relayminer.testing.certificates import Authority

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relayminer.net.wire import Wire

BIG = bytes(range(256)) * 20_000


def contexts(folder: Path, name: str = "node") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a client that believes the server, and of the server."""
    authority = Authority(folder)
    node = authority.issue(name)
    return client_context(ca_file=authority.file), server_context(node.certificate, node.key)


def raw_pair() -> tuple[socket.socket, socket.socket]:
    """A TCP connection through the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[TlsWire, TlsWire]]:
    """A client and a server that have shaken hands."""
    inside, outside = contexts(folder)
    one, other = raw_pair()
    client, server = TlsWire(one, inside, server_name="127.0.0.1"), TlsWire(other, outside)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.handshake)
        nursery.start_soon(server.handshake)
    try:
        yield client, server
    finally:
        client.close()
        server.close()


async def read(wire: Wire, size: int) -> bytes:
    """So many bytes."""
    data = b""
    while len(data) < size:
        piece = await wire.receive()
        assert piece
        data += piece
    return data


async def test_megabytes_cross_both_ways_at_once(tmp_path: Path) -> None:
    """Neither direction waits for the other, nothing is lost or out of order."""
    async with pair(tmp_path) as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(client.send, BIG)
        nursery.start_soon(server.send, BIG[::-1])

        async def check(wire: Wire, wanted: bytes) -> None:
            assert await read(wire, len(wanted)) == wanted

        nursery.start_soon(check, client, BIG[::-1])
        await check(server, BIG)


async def test_a_cancelled_writer_breaks_no_record(tmp_path: Path) -> None:
    """What was encrypted before the cancellation goes out before what comes after it."""
    async with pair(tmp_path) as (client, server):
        with trio.move_on_after(0.05) as scope:
            await client.send(BIG * 4)
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, b"after")
            data = b""
            while not data.endswith(b"after"):
                data += await server.receive()
        assert (BIG * 4).startswith(data.removesuffix(b"after"))


async def test_a_cancelled_reader_loses_nothing(tmp_path: Path) -> None:
    """A receive that was given up takes nothing with it."""
    async with pair(tmp_path) as (client, server):
        for _ in range(20):
            with trio.move_on_after(0):
                await server.receive()
            await client.send(b"x" * 1_000)
            with trio.CancelScope() as scope:
                scope.cancel()
                await server.receive()
        await client.send(b"y")
        data = b""
        while not data.endswith(b"y"):
            data += await server.receive()
        assert data == b"x" * 20_000 + b"y"


async def test_a_peek_leaves_the_bytes_where_they_are(tmp_path: Path) -> None:
    """It waits for the first byte, then shows what is there; the reader gets all of it."""
    async with pair(tmp_path) as (client, server):
        await client.send(b"PRI")
        assert await server.peek(100) == b"PRI"
        await client.send(b" * HTTP")
        with trio.fail_after(5):
            while (await server.peek(100)) != b"PRI * HTTP":
                await trio.lowlevel.checkpoint()
        assert await server.peek(2) == b"PR"
        assert await server.receive(4) == b"PRI "
        assert await read(server, 6) == b"* HTTP"


async def test_a_farewell_and_a_break_are_the_end(tmp_path: Path) -> None:
    """With a closing alert or without one; what was sent before is read first."""
    async with pair(tmp_path) as (client, server):
        await client.send(b"last words")
        client.close()
        assert await server.receive() == b"last words"
        assert await server.receive() == b""
        assert await server.receive() == b""
        with pytest.raises(WireError):
            await client.receive()
    async with pair(tmp_path) as (client, server):
        # Tickets that nobody has read would make it a reset.
        assert not client.is_stale()
        client.detach().close()
        assert await server.peek(1) == b""


async def test_the_other_half_stays_open_after_finish_writing(tmp_path: Path) -> None:
    """Who has said all still hears the answer."""
    async with pair(tmp_path) as (client, server):
        await client.send(b"question")
        client.finish_writing()
        assert await server.receive() == b"question"
        assert await server.receive() == b""
        await server.send(b"answer")
        assert await client.receive() == b"answer"


async def test_an_idle_connection_is_stale_only_when_it_has_news(tmp_path: Path) -> None:
    """Session tickets are none; bytes and the end are."""
    async with pair(tmp_path) as (client, server):
        # TLS 1.3: the server's tickets lie unread in the client's socket.
        assert not client.is_stale()
        await server.send(b"unasked")
        with trio.fail_after(5):
            while not client.is_stale():
                await trio.lowlevel.checkpoint()
        assert await client.receive() == b"unasked"
        assert not client.is_stale()
        server.close()
        with trio.fail_after(5):
            while not client.is_stale():
                await trio.lowlevel.checkpoint()


async def test_a_deadline_wakes_readers_and_writers(tmp_path: Path) -> None:
    """As without TLS."""
    async with pair(tmp_path) as (client, server):
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(WireTimeoutError):
                    await server.receive()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            server.expire()
        # A reader that was woken can still say why it hangs up.
        await server.send(b"too late")
        assert await client.receive() == b"too late"
        async with trio.open_nursery() as nursery:

            async def fill() -> None:
                with pytest.raises(WireTimeoutError):
                    await client.send(BIG * 10)

            nursery.start_soon(fill)
            await trio.testing.wait_all_tasks_blocked()
            client.expire()


async def test_strangers_are_told_why(tmp_path: Path) -> None:
    """A client that does not believe the server says so, and both sides know."""
    _, outside = contexts(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    inside, _ = contexts(other)
    one, two = raw_pair()
    client, server = TlsWire(one, inside, server_name="127.0.0.1"), TlsWire(two, outside)
    heard: list[str] = []

    async def refuse(wire: TlsWire) -> None:
        with pytest.raises(WireError) as caught:
            # TLS 1.3: the server's side is done before the client has looked at its certificate.
            await wire.handshake()
            await wire.receive()
        heard.append(str(caught.value))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse, client)
        nursery.start_soon(refuse, server)
    assert any("CERTIFICATE_VERIFY_FAILED" in text for text in heard)
    assert any("ALERT" in text for text in heard)
    client.close()
    server.close()


async def shake(inside: ssl.SSLContext, outside: ssl.SSLContext) -> None:
    """One handshake."""
    one, two = raw_pair()
    client, server = TlsWire(one, inside, server_name="127.0.0.1"), TlsWire(two, outside)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.handshake)
            await client.handshake()
    finally:
        client.close()
        server.close()


async def test_a_wrong_name_and_an_old_certificate_are_not_believed(tmp_path: Path) -> None:
    """The certificate must be the host's, and in its time; an insecure client takes both."""
    authority = Authority(tmp_path)
    strict = client_context(ca_file=authority.file)
    lax = client_context(is_insecure=True)
    for identity in (
        authority.issue("other", "example.org"),
        authority.issue("old", expired=True),
    ):
        context = server_context(identity.certificate, identity.key)
        with pytest.RaisesGroup(WireError):
            await shake(strict, context)
        await shake(lax, context)


def test_files_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    """Missing, mixed up, encrypted, no PEM: one error with the file's name."""
    authority = Authority(tmp_path)
    one, two = authority.issue("one"), authority.issue("two")
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    locked = tmp_path / "locked.key"
    locked.write_bytes(_locked())
    for certificate, key, why in (
        (tmp_path / "missing", one.key, "No such file"),
        (one.certificate, two.key, "key values mismatch"),
        (junk, one.key, "junk.pem"),
        (one.certificate, locked, "encrypted"),
    ):
        with pytest.raises(TlsSetupError, match=why):
            server_context(certificate, key)
    with pytest.raises(TlsSetupError, match=r"junk\.pem"):
        server_context(one.certificate, one.key, client_ca=junk)
    with pytest.raises(TlsSetupError, match=r"junk\.pem"):
        client_context(ca_file=junk)


def _locked() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
