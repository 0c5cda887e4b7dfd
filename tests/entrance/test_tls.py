"""Every transport over TLS on the one address, and clients that have no business there."""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trio

from relayminer.cli.checks.machine import check_tls
from relayminer.config import load
from relayminer.config.entrance import TlsSettings
from relayminer.net.errors import WireError
from relayminer.net.http1 import response_bytes
from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpRequest
from relayminer.protocol.pb.service_pb2 import RelayResponse
from relayminer.testing.certificates import Authority
from tests.conformance.http2_driver import Http2Connection
from tests.entrance.kit import secure_bench, tls_settings
from tests.fuzz.mutate import Mutator
from tests.relayer.client import connect, error_of
from tests.relayer.kit import Backend, request_body, settings, signed_request
from tests.spool.outage import until
from tests.streaming.backend import SSE, StreamBackend, Upstream
from tests.websocket.frames import TEXT, FrameSocket, read_head
from tests.websocket.kit import Node, answer_of, handshake, message

if TYPE_CHECKING:
    from pathlib import Path

METHOD = "/pocket.service.RelayService/SendRelay"
BIG = b"x" * 3_000_000


async def test_relays_over_tls(redis_url: str, tmp_path: Path) -> None:
    """Many on one connection, small and large, each one logged."""
    sizes = (10, len(BIG), 10)
    rest = iter(sizes)
    backend = Backend(lambda _: response_bytes(200, BIG[: next(rest)]))
    async with secure_bench(redis_url, tmp_path, backend=backend) as b:
        client = await b.connect()
        asked = HttpRequest("POST", "/", {}, BIG)
        for size in sizes:
            answer = await client.send(
                request_body(signed_request(b.relayer.chain, envelope=asked))
            )
            assert answer.status == 200
            assert len(answer.body) > size
        assert (await client.get(b"/health")).status == 200
        client.wire.close()
        assert len(await b.relayer.logged()) == 3
        assert b.handshakes("completed") == 1


async def test_http2_is_agreed_on_by_alpn(redis_url: str, tmp_path: Path) -> None:
    """A client that offers it gets it; plain relays and gRPC calls share the address."""
    async with secure_bench(redis_url, tmp_path) as b:
        body = request_body(signed_request(b.relayer.chain))
        stream = await b.stream("h2", "http/1.1")
        assert stream.selected_alpn_protocol() == "h2"
        connection = Http2Connection(stream, grpc=False)  # type: ignore[arg-type]  # any stream will do
        await connection.open()
        for _ in range(3):
            await connection.send(body)
        for _ in range(3):
            assert (await connection.receive()).response
        await connection.aclose()
        stream = await b.stream("http/1.1")
        assert stream.selected_alpn_protocol() == "http/1.1"
        await trio.aclose_forcefully(stream)

        def call() -> bytes:
            credentials = grpc.ssl_channel_credentials(b.authority.file.read_bytes())
            host, port = b.relayer.address
            with grpc.secure_channel(f"{host}:{port}", credentials) as channel:
                answer: bytes = channel.unary_unary(METHOD)(body, timeout=20)
                return answer

        answer = await trio.to_thread.run_sync(call)
        assert codec.decode(RelayResponse, answer).meta.supplier_operator_signature
        assert len(await b.relayer.logged()) == 4


async def test_a_conversation_over_tls(redis_url: str, tmp_path: Path) -> None:
    """A WebSocket handshake inside TLS (`wss`) is one like any other."""
    node = Node()
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        configure = partial(settings, backend={"url": node.url}, backend_type="websocket")
        async with secure_bench(redis_url, tmp_path, configure=configure) as b:
            stream = await b.stream("http/1.1")
            await stream.send_all(handshake())
            head, rest = await read_head(stream)  # type: ignore[arg-type]  # any stream will do
            assert head.startswith(b"HTTP/1.1 101 ")
            socket = FrameSocket(stream, masks=True, received=bytearray(rest))  # type: ignore[arg-type]  # any stream will do
            for n in range(5):
                await socket.send_frame(TEXT, message(b.relayer.chain, b"%d" % n * 50_000))
                got = await socket.receive()
                answer = answer_of(b.relayer, got.payload)
                assert answer.payload == b"re:" + b"%d" % n * 50_000
            await socket.close(1000, "done")
            await socket.ended()
            await trio.aclose_forcefully(stream)
            assert len(await b.relayer.logged()) == 5
        nursery.cancel_scope.cancel()


async def test_a_client_that_leaves_a_stream_is_noticed(redis_url: str, tmp_path: Path) -> None:
    """Its farewell cancels the backend's work, as without TLS."""
    cancelled = trio.Event()

    async def script(upstream: Upstream) -> None:
        await upstream.head(SSE)
        await upstream.send(b"data: 1\n\n")
        await upstream.cancelled()
        cancelled.set()

    async with secure_bench(redis_url, tmp_path, backend=StreamBackend(script)) as b:
        client = await b.connect()
        body = request_body(signed_request(b.relayer.chain))
        head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        await client.wire.send(head + body)
        assert b"200" in await client.wire.receive()
        client.wire.close()
        with trio.fail_after(10):
            await cancelled.wait()
        await until(lambda: b.relayer.value("ha_relayer_active_connections") == 0)


async def test_who_speaks_plain_http_is_told(redis_url: str, tmp_path: Path) -> None:
    """400 in plain text; bytes that are neither are hung up on; both are counted."""
    async with secure_bench(redis_url, tmp_path) as b:
        client = await connect(b.relayer.address)
        answer = await client.get(b"/health")
        assert (answer.status, error_of(answer)) == (
            400,
            "this address speaks TLS: use https or wss",
        )
        assert await client.wire.receive() == b""
        client.wire.close()
        client = await connect(b.relayer.address)
        await client.wire.send(b"\x00\x01garbage")
        assert await client.wire.receive() == b""
        client.wire.close()
        assert b.handshakes("plaintext") == 2


async def test_old_versions_are_refused(redis_url: str, tmp_path: Path) -> None:
    """The least version is 1.2, or 1.3 where the settings say so; the client hears why."""
    async with secure_bench(redis_url, tmp_path, min_version="1.3") as b:
        old = b.context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(WireError, match="ALERT_PROTOCOL_VERSION"):
            await b.connect(old)
        client = await b.connect()
        assert (await client.get(b"/health")).status == 200
        client.wire.close()
        assert b.handshakes("failed") == 1
    async with secure_bench(redis_url, tmp_path) as b:
        old = b.context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        client = await b.connect(old)
        assert (await client.get(b"/health")).status == 200
        client.wire.close()


async def test_clients_show_their_certificate_where_one_is_asked_for(
    redis_url: str, tmp_path: Path
) -> None:
    """Signed by whom the settings name, or the handshake fails; the client hears why."""
    folder = tmp_path / "clients"
    folder.mkdir()
    clients = Authority(folder)
    async with secure_bench(redis_url, tmp_path, client_ca=clients.file) as b:
        known, unknown = clients.issue("gateway"), b.authority.issue("stranger")
        for identity in (None, unknown):
            context = b.context()
            if identity is not None:
                context.load_cert_chain(identity.certificate, identity.key)
            # TLS 1.3: the client's side is done before its certificate was looked at.
            client = await b.connect(context)
            with pytest.raises(WireError, match="ALERT"):
                await client.get(b"/health")
            client.wire.close()
        context = b.context()
        context.load_cert_chain(known.certificate, known.key)
        client = await b.connect(context)
        assert (await client.send(request_body(signed_request(b.relayer.chain)))).status == 200
        client.wire.close()
        assert b.handshakes("failed") == 2


async def test_a_handshake_has_its_time(redis_url: str, tmp_path: Path) -> None:
    """Silence and half a greeting are given up, and nothing is left of them."""
    async with secure_bench(redis_url, tmp_path, handshake_timeout_seconds=0.3) as b:
        for said in (b"", b"\x16\x03\x01\x02\x00\x01\x00"):
            client = await connect(b.relayer.address)
            if said:
                await client.wire.send(said)
            with trio.fail_after(5):
                assert await client.wire.receive() == b""
            client.wire.close()
        await until(lambda: b.handshakes("timeout") == 2)
        await until(lambda: b.relayer.value("ha_relayer_active_connections") == 0)


async def test_unfinished_handshakes_keep_nobody_out(redis_url: str, tmp_path: Path) -> None:
    """With the places taken by those who never go on, an honest client gets in at once."""
    async with secure_bench(redis_url, tmp_path, max_handshakes=3) as b:
        hostile = [await connect(b.relayer.address) for _ in range(20)]
        await until(lambda: b.handshakes("displaced") == 17)
        with trio.fail_after(5):
            honest = await b.connect()
            assert (await honest.get(b"/health")).status == 200
        for client in (*hostile, honest):
            client.wire.close()


async def greeting() -> bytes:
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="relayer")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


async def test_damaged_greetings_harm_nobody(redis_url: str, tmp_path: Path, *, soak: bool) -> None:
    """Each ends its own connection; relays beside them are served, and nothing is left open."""
    mutator = Mutator("tls greetings", [await greeting()], (b"\x16\x03\x01", b"\x00\x2b"))
    count = 5_000 if soak else 200
    quick: Any = {"handshake_timeout_seconds": 1.0}
    async with secure_bench(redis_url, tmp_path, **quick) as b:
        honest = await b.connect()
        for number in range(count):
            client = await connect(b.relayer.address)
            try:
                await client.wire.send(mutator.make(number))
                client.wire.finish_writing()
                with trio.fail_after(10):
                    while await client.wire.receive():
                        pass
            except WireError:
                pass
            finally:
                client.wire.close()
            if number % 50 == 0:
                assert (await honest.get(b"/health")).status == 200
        honest.wire.close()
        await until(lambda: b.relayer.value("ha_relayer_active_connections") == 0)


async def test_an_idle_connection_ends_with_the_relayer(redis_url: str, tmp_path: Path) -> None:
    """A relayer that stops says farewell, and does not wait for those who ask nothing."""
    configure: Any = partial(settings, drain_seconds=20.0)
    async with secure_bench(redis_url, tmp_path, configure=configure) as b:
        client = await b.connect()
        assert (await client.get(b"/health")).status == 200
        b.relayer.relayer_scope.cancel()
        with trio.fail_after(5):
            assert await client.wire.receive() == b""
            await b.relayer.relayer_stopped.wait()
        client.wire.close()


def test_check_looks_at_the_certificate(tmp_path: Path) -> None:
    """`relayminer check` says how long it is good for, and what is wrong with it."""
    authority = Authority(tmp_path)
    one, old = authority.issue("one"), authority.issue("old", expired=True)
    for tls, result, words in (
        (tls_settings(one), "warn", "good for 1 days"),
        (tls_settings(old), "fail", "expired"),
        (TlsSettings(certificate=one.certificate, key=old.key), "fail", "key values mismatch"),
    ):
        (finding,) = check_tls(tls)
        assert (finding.result, words in finding.found) == (result, True)
    assert list(check_tls(TlsSettings())) == []


def test_files_count_from_the_configuration(tmp_path: Path) -> None:
    """A name without a directory is one beside the file that names it."""
    file = tmp_path / "node.yaml"
    file.write_text(
        "relayer:\n  tls: {certificate: tls.crt, key: keys/tls.key, client_ca: /etc/ca.crt}\n"
        "  services:\n    eth:\n      backends:\n"
        "        jsonrpc: {url: 'https://node', tls: {ca_file: ca.pem}}\n"
    )
    relayer = load(file).relayer
    tls = relayer.tls
    assert (tls.certificate, tls.key) == (tmp_path / "tls.crt", tmp_path / "keys/tls.key")
    assert str(tls.client_ca) == "/etc/ca.crt"
    assert relayer.services["eth"].backends["jsonrpc"].tls.ca_file == tmp_path / "ca.pem"
