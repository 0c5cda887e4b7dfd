"""A node behind TLS (`wss`)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from relayminer.config.traffic import BackendTlsSettings
from relayminer.net.tls import server_context
from relayminer.testing.certificates import Authority
from tests.websocket.kit import Node, ask, configure, connect, refusal, websocket_bench

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    import pytest

    from relayminer.config.settings import RelayerSettings


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
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    node = authority.issue()
    front = TlsFront(Node(), server_context(node.certificate, node.key))
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
    node = Authority(tmp_path).issue()
    front = TlsFront(Node(), server_context(node.certificate, node.key))

    async with trio.open_nursery() as nursery:
        await nursery.start(front.run)

        def secure(_: str) -> RelayerSettings:
            return configure(f"wss://127.0.0.1:{front.port}")

        async with websocket_bench(redis_url, configure=secure) as b:
            status, _ = await refusal(b)
            assert status == 503
        nursery.cancel_scope.cancel()


async def test_whom_a_node_is_believed_to_be(redis_url: str, tmp_path: Path) -> None:
    """By the authority and the name that the settings say."""
    authority = Authority(tmp_path)
    node = authority.issue("node", "node.example")
    front = TlsFront(Node(), server_context(node.certificate, node.key))
    tls = BackendTlsSettings(ca_file=authority.file, server_name="node.example")
    async with trio.open_nursery() as nursery:
        await nursery.start(front.run)

        def secure(_: str) -> RelayerSettings:
            backend = {"url": f"wss://127.0.0.1:{front.port}", "tls": tls}
            return configure("", backend=backend)

        async with websocket_bench(redis_url, configure=secure) as b:
            socket = await connect(b)
            assert await ask(b, socket, b"x") == b"re:x"
            await socket.close(1000, "done")
            await socket.ended()
            await socket.aclose()
        nursery.cancel_scope.cancel()
