"""TLS to the server: certificates that are checked, users, and a server that knows TLS itself."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.config.settings import RedisSettings
from relayminer.net.ports import free_port
from relayminer.state.errors import StoreAwayError
from relayminer.state.gateway import Redis
from relayminer.state.subscription import Gap, Message
from relayminer.testing.certificates import Authority, Identity
from relayminer.testing.store import running_gateway
from tests.state.servers import HOST, ServerProcess, debian_server, one_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SETTINGS = RedisSettings(command_timeout_seconds=5.0)
needs_tls_server = pytest.mark.skipif(
    debian_server() is None, reason="no redis-server or valkey-server of the system is installed"
)


@asynccontextmanager
async def proxy(server: ServerProcess, identity: Identity) -> AsyncIterator[int]:
    """A port that speaks TLS and hands everything on to the server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(identity.certificate, identity.key)

    async def copy(
        source: trio.abc.ReceiveStream, sink: trio.abc.SendStream, scope: trio.CancelScope
    ) -> None:
        try:
            while data := await source.receive_some(65_536):
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    async def serve(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        plain = await trio.open_tcp_stream(HOST, server.port)
        async with plain, trio.open_nursery() as nursery:
            nursery.start_soon(copy, secure, plain, nursery.cancel_scope)
            nursery.start_soon(copy, plain, secure, nursery.cancel_scope)
        await trio.aclose_forcefully(secure)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host=HOST)
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def everything_works(url: str) -> None:
    """Commands, blocking reads and messages."""
    with trio.fail_after(20):
        async with running_gateway(url, SETTINGS) as redis, redis.subscribe(["c"]) as events:
            assert await redis.command("ECHO", "x" * 1_000_000) == b"x" * 1_000_000
            assert await anext(events) == Gap()
            await redis.command("PUBLISH", "c", "y")
            assert await anext(events) == Message("c", b"y")
            async with redis.dedicated() as connection:
                assert await connection.command("PING") == b"PONG"


async def refused(url: str) -> str:
    """Why there is no connection."""
    settings = RedisSettings(command_timeout_seconds=0.5)
    redis = Redis(url, settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(redis.run)
        with pytest.raises(StoreAwayError) as caught:
            await redis.command("PING")
        nursery.cancel_scope.cancel()
    return str(caught.value)


async def test_certificates_are_checked(tmp_path: Path) -> None:
    """A server whose certificate is signed by the named authority is taken, another one refused."""
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    ca = f"ssl_ca_certs={authority.file}"
    async with (
        one_server() as server,
        proxy(server, authority.issue()) as port,
        proxy(server, stranger.issue("impostor")) as wrong_port,
        proxy(server, authority.issue("elsewhere", "elsewhere.example")) as other_name_port,
    ):
        await everything_works(f"rediss://{HOST}:{port}?{ca}")
        assert "CERTIFICATE_VERIFY_FAILED" in await refused(f"rediss://{HOST}:{wrong_port}?{ca}")
        assert "CERTIFICATE_VERIFY_FAILED" in await refused(f"rediss://{HOST}:{port}")
        other_name = f"rediss://{HOST}:{other_name_port}?{ca}"
        assert "CERTIFICATE_VERIFY_FAILED" in await refused(other_name)
        await everything_works(f"{other_name}&ssl_check_hostname=false")
        await everything_works(f"rediss://{HOST}:{wrong_port}?ssl_cert_reqs=none")
        assert "away" in await refused(f"rediss://{HOST}:{server.port}?{ca}")


async def test_users(tmp_path: Path) -> None:
    """A user logs in over TLS, is held to what it may do, and a wrong password is told as such."""
    authority = Authority(tmp_path)
    async with one_server() as server, proxy(server, authority.issue()) as port:
        await server.ask(
            *("ACL", "SETUSER", "miner", "on", ">p@ss", "~ha:*", "&*", "+@all", "-@dangerous")
        )
        await server.ask("CONFIG", "SET", "requirepass", "another")
        tail = f"{HOST}:{port}?ssl_ca_certs={authority.file}"
        async with running_gateway(f"rediss://miner:p%40ss@{tail}", SETTINGS) as redis:
            assert await redis.command("INCR", "ha:n") == 1
        assert "WRONGPASS" in await refused(f"rediss://miner:wrong@{tail}")
        assert "NOAUTH" in await refused(f"rediss://{tail}")


@needs_tls_server
async def test_a_server_with_tls(tmp_path: Path) -> None:
    """The same against a server that speaks TLS itself and wants a certificate from us."""
    authority = Authority(tmp_path)
    identity, ours = authority.issue(), authority.issue("client")
    port = free_port()
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(identity.certificate),
        "tls-key-file": str(identity.key),
        "tls-ca-cert-file": str(authority.file),
        "tls-auth-clients": "yes",
    }
    ca = f"ssl_ca_certs={authority.file}"
    async with one_server(options, program=debian_server()):
        own = f"ssl_certfile={ours.certificate}&ssl_keyfile={ours.key}"
        await everything_works(f"rediss://{HOST}:{port}?{ca}&{own}")
        await refused(f"rediss://{HOST}:{port}?{ca}")
