"""A node behind TLS (`wss`)."""

from __future__ import annotations

import datetime as dt
import ssl
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

import attrs
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.websocket.kit import Node, ask, configure, connect, refusal, websocket_bench

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from relayminer.config.settings import RelayerSettings


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "node.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@attrs.define(eq=False)
class TlsFront:
    """Takes TLS off in front of a node."""

    node: Node
    context: ssl.SSLContext
    port: int = 0

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.node.run)
            listeners = await nursery.start(
                partial(
                    trio.serve_ssl_over_tcp,
                    self._serve,
                    0,
                    self.context,
                    host="127.0.0.1",
                    https_compatible=True,
                )
            )
            self.port = listeners[0].transport_listener.socket.getsockname()[1]
            task_status.started()

    async def _serve(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError:
            return
        inner = await trio.open_tcp_stream("127.0.0.1", self.node.port)
        async with inner, trio.open_nursery() as nursery:
            nursery.start_soon(_copy, stream, inner, nursery.cancel_scope)
            nursery.start_soon(_copy, inner, stream, nursery.cancel_scope)
        await trio.aclose_forcefully(stream)


async def _copy(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope) -> None:
    try:
        while data := await source.receive_some(65_536):
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


async def test_a_node_behind_tls_is_reached(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its certificate is checked against the system's, and its farewell is heard."""
    pem = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    front = TlsFront(Node(), context)
    async with trio.open_nursery() as nursery:
        await nursery.start(front.run)

        def secure(_: str) -> RelayerSettings:
            return configure(f"wss://127.0.0.1:{front.port}")

        async with websocket_bench(redis_url, configure=secure) as b:
            socket = await connect(b)
            assert await ask(b, socket, b"x" * 100_000) == b"re:" + b"x" * 100_000
            await socket.close(1000, "done")
            await socket.ended()
            await socket.aclose()
            with trio.fail_after(5):
                await front.node.gone.wait()
            assert front.node.said_goodbye == [(1000, "done")]
        nursery.cancel_scope.cancel()


async def test_a_node_that_nobody_vouches_for_is_503(redis_url: str, tmp_path: Path) -> None:
    """An unknown certificate is no backend."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate(tmp_path))
    front = TlsFront(Node(), context)

    async with trio.open_nursery() as nursery:
        await nursery.start(front.run)

        def secure(_: str) -> RelayerSettings:
            return configure(f"wss://127.0.0.1:{front.port}")

        async with websocket_bench(redis_url, configure=secure) as b:
            status, _ = await refusal(b)
            assert status == 503
        nursery.cancel_scope.cancel()
