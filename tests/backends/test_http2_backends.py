"""Backends that speak HTTP/2 and gRPC, in plain text and behind TLS, under running relayers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trio
from h2.errors import ErrorCodes

from relayminer.config.settings import EndpointSettings
from relayminer.config.traffic import (
    BackendTlsSettings,
    FreshnessSettings,
    HealthCheckSettings,
    HedgingSettings,
)
from relayminer.net.tls import server_context
from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpRequest, HttpResponse, decode_http_response
from relayminer.protocol.pb.service_pb2 import RelayResponse
from relayminer.relayer.errors import RelayerConfigurationError
from relayminer.testing.certificates import Authority
from relayminer.testing.relayer import Bench, bench, settings
from tests.backends.grpc_node import ECHO, FAIL, MANY, GrpcNode, framed
from tests.backends.sick import page_of, until
from tests.net.http2_server import Asked, http2_server
from tests.relayer.client import connect
from tests.relayer.kit import Backend, request_body, signed_request
from tests.streaming.client import streamed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from relayminer.config.settings import RelayerSettings

SEND_RELAY = "/pocket.service.RelayService/SendRelay"


def grpc_settings(url: str, **more: Any) -> Callable[[str], RelayerSettings]:
    """A relayer whose one backend is a gRPC server."""
    return lambda _: settings("", backend={"url": url, **more}, backend_type="grpc")


def call(path: str, message: bytes, **headers: str) -> HttpRequest:
    """A gRPC call as a relay's payload."""
    kind = {"Content-Type": ["application/grpc"]}
    return HttpRequest(
        "POST", path, kind | {name: [value] for name, value in headers.items()}, framed(message)
    )


async def ask(b: Bench, envelope: HttpRequest | None = None, *, rpc_type: bytes = b"") -> Any:
    """The answer to one relay over HTTP."""
    client = await connect(b.address)
    request = signed_request(b.chain, envelope=envelope) if envelope else signed_request(b.chain)
    headers = [(b"rpc-type", rpc_type)] if rpc_type else []
    try:
        return await client.send(request_body(request), headers)
    finally:
        client.wire.close()


def told(answer: bytes) -> HttpResponse:
    """What the backend said, out of a signed response."""
    response = codec.decode(RelayResponse, answer)
    assert response.meta.supplier_operator_signature
    return decode_http_response(response.payload)


async def grpc_relay(b: Bench, envelope: HttpRequest) -> bytes:
    """A relay as a call of the relay service."""
    body = request_body(signed_request(b.chain, envelope=envelope))

    def work() -> bytes:
        with grpc.insecure_channel(f"{b.address[0]}:{b.address[1]}") as channel:
            answer: bytes = channel.unary_unary(SEND_RELAY)(body, timeout=20)
            return answer

    return await trio.to_thread.run_sync(work)


@pytest.mark.parametrize("scheme", ["", "http://", "grpc://"])
async def test_grpc_calls_reach_a_grpc_server(redis_url: str, scheme: str) -> None:
    """As gRPC relays and as HTTP relays of that type; trailers are in the signed answer."""
    node = GrpcNode()
    with node.running() as address:
        async with bench(redis_url, configure=grpc_settings(scheme + address)) as b:
            answers = [
                await grpc_relay(b, call(ECHO, b"hello", **{"x-own": "1"})),
                (await ask(b, call(ECHO, b"hello"), rpc_type=b"1")).body,
            ]
            for answer in answers:
                response = told(answer)
                assert (response.status, response.body) == (200, framed(b"hello"))
                assert response.headers["Grpc-Status"] == ("0",)
                assert response.headers["X-Node"] == ("one",)
            assert len(await b.logged()) == 2
            (pool,) = [one.pool for one in b.relayer.backends.routes["anvil"].by_type.values()]
            assert pool is not None
            assert pool.endpoints[0].http.open_connections == 1
    first = node.metadata[0]
    assert first["x-own"] == "1"
    assert first["pocket-service"] == "anvil"
    assert first["pocket-supplier"]


async def test_errors_of_a_grpc_service_are_answers(redis_url: str) -> None:
    """Their status and message are signed and mined like any answer; streams come whole."""
    node = GrpcNode()
    with node.running() as address:
        async with bench(redis_url, configure=grpc_settings(address)) as b:
            response = told(await grpc_relay(b, call(FAIL, b"x")))
            assert response.status == 200
            assert response.headers["Grpc-Status"] == ("5",)
            assert response.headers["Grpc-Message"] == ("no such: thing",)
            response = told(await grpc_relay(b, call("/pkg.Service/Unknown", b"x")))
            assert response.headers["Grpc-Status"] == ("12",)
            response = told(await grpc_relay(b, call(MANY, b"abc")))
            assert response.body == framed(b"abc") * 3
            large = b"x" * 1_000_000
            assert told(await grpc_relay(b, call(ECHO, large))).body == framed(large)
            assert len(await b.logged()) == 4


async def test_a_grpc_server_behind_tls(redis_url: str, tmp_path: Path) -> None:
    """Believed by the authority that the settings name, and by no other."""
    authority = Authority(tmp_path)
    node = GrpcNode()
    with node.running(authority) as address:
        trusting = BackendTlsSettings(ca_file=authority.file)
        for scheme in ("https", "grpcs"):
            configure = grpc_settings(f"{scheme}://{address}", tls=trusting)
            async with bench(redis_url, configure=configure) as b:
                assert told(await grpc_relay(b, call(ECHO, b"hi"))).body == framed(b"hi")
        configure = grpc_settings(f"https://{address}")
        async with bench(redis_url, configure=configure) as b:
            response = told(await grpc_relay(b, call(ECHO, b"hi")))
            assert response.status == 500
            assert await b.logged() == []


async def test_a_grpc_server_that_goes_and_comes_back(redis_url: str) -> None:
    """A restart costs the relays that find nobody there, and none after it."""
    node = GrpcNode()
    with node.running() as address:
        port = int(address.rpartition(":")[2])
    async with bench(redis_url, configure=grpc_settings(address)) as b:
        for _ in range(3):
            with node.running(port=port):
                for _ in range(2):
                    assert (await ask(b, call(ECHO, b"x"))).status == 200
            assert (await ask(b, call(ECHO, b"x"))).status == 502
    assert len(node.metadata) == 6


async def ok(asked: Asked) -> None:
    """What a healthy node says."""
    await asked.answer(b'{"jsonrpc":"2.0","id":1,"result":"0x1234"}', (b"x-node", b"h2"))


async def test_an_http2_backend_with_prior_knowledge(redis_url: str) -> None:
    """Many relays at once on one connection; the request is as over HTTP/1.1."""
    async with http2_server(ok) as server:
        url = f"http://127.0.0.1:{server.port}/base?key=1"
        configure = partial(settings, backend={"url": url, "protocol": "http2"})
        async with bench(redis_url, configure=configure) as b:
            answers = []

            async def one() -> None:
                answers.append(await ask(b))

            async with trio.open_nursery() as nursery:
                for _ in range(30):
                    nursery.start_soon(one)
            assert {answer.status for answer in answers} == {200}
            response = told(answers[0].body)
            assert response.headers["X-Node"] == ("h2",)
            assert len(await b.logged()) == 30
            page = await page_of(b)
            assert page["backends"]["healthy"] == 1
        assert len(server.connections) == 1
        fields = server.requests[0].fields
        assert fields[b":path"] == b"/base?key=1"
        assert fields[b"accept-encoding"] == b"identity"
        assert fields[b"pocket-service"] == b"anvil"


async def test_alpn_takes_what_the_server_agrees_to(redis_url: str, tmp_path: Path) -> None:
    """HTTP/2 from one that has it, HTTP/1.1 from one that does not, over one setting."""
    authority = Authority(tmp_path)
    node = authority.issue()
    trusting = BackendTlsSettings(ca_file=authority.file)
    with_h2 = server_context(node.certificate, node.key, protocols=["h2", "http/1.1"])
    async with http2_server(ok, with_h2) as server:
        backend = {"url": f"https://127.0.0.1:{server.port}", "protocol": "alpn", "tls": trusting}
        async with bench(redis_url, configure=partial(settings, backend=backend)) as b:
            for _ in range(3):
                assert (await ask(b)).status == 200
        assert (len(server.requests), len(server.connections)) == (3, 1)
        assert server.requests[0].fields[b":scheme"] == b"https"
    plain = Backend()
    without = server_context(node.certificate, node.key)
    async with trio.open_nursery() as nursery:
        await nursery.start(plain.run)
        port = await nursery.start(tls_front, without, plain.port)
        for spoken in ("alpn", "auto", "http1"):
            backend = {"url": f"https://127.0.0.1:{port}", "protocol": spoken, "tls": trusting}
            async with bench(redis_url, configure=partial(settings, backend=backend)) as b:
                for _ in range(2):
                    assert (await ask(b)).status == 200
        assert len(plain.requests) == 6
        backend = {"url": f"https://127.0.0.1:{port}", "protocol": "http2", "tls": trusting}
        async with bench(redis_url, configure=partial(settings, backend=backend)) as b:
            assert (await ask(b)).status == 502
        nursery.cancel_scope.cancel()


async def tls_front(context: Any, port: int, *, task_status: trio.TaskStatus[int]) -> None:
    """Takes TLS off in front of a server."""

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            inner = await trio.open_tcp_stream("127.0.0.1", port)
            async with inner, trio.open_nursery() as nursery:
                nursery.start_soon(copy, stream, inner, nursery.cancel_scope)
                nursery.start_soon(copy, inner, stream, nursery.cancel_scope)
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            partial(
                trio.serve_ssl_over_tcp, serve, 0, context, host="127.0.0.1", https_compatible=True
            )
        )
        task_status.started(listeners[0].transport_listener.socket.getsockname()[1])


async def copy(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope) -> None:
    """Bytes from one to the other."""
    try:
        while data := await source.receive_some(65_536):
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


async def test_whom_a_backend_is_believed_to_be(redis_url: str, tmp_path: Path) -> None:
    """The certificate must be for the host, or for the name in the settings; or for anybody."""
    authority = Authority(tmp_path)
    node = authority.issue("node", "node.example")
    context = server_context(node.certificate, node.key, protocols=["h2"])
    async with http2_server(ok, context) as server:
        for tls, status in (
            (BackendTlsSettings(ca_file=authority.file), 502),
            (BackendTlsSettings(ca_file=authority.file, server_name="node.example"), 200),
            (BackendTlsSettings(server_name="node.example"), 502),
            (BackendTlsSettings(insecure=True), 200),
        ):
            backend = {
                "url": f"https://127.0.0.1:{server.port}",
                "protocol": "http2",
                "tls": tls,
            }
            async with bench(redis_url, configure=partial(settings, backend=backend)) as b:
                assert (await ask(b)).status == status
    missing = {"url": "https://127.0.0.1:1", "tls": BackendTlsSettings(ca_file=tmp_path / "no")}
    with pytest.RaisesGroup(RelayerConfigurationError, flatten_subgroups=True):
        async with bench(redis_url, configure=partial(settings, backend=missing)):
            raise AssertionError("it started")


async def test_a_sick_http2_backend_is_failed_over_and_left_alone(redis_url: str) -> None:
    """Resets, 500s and broken connections count as over HTTP/1.1; too large an answer does not."""
    how = ["reset"]

    async def sick(asked: Asked) -> None:
        if how == ["reset"]:
            await asked.refuse(ErrorCodes.INTERNAL_ERROR)
        elif how == ["status"]:
            await asked.answer(b"broken", status=500)
        elif how == ["break"]:
            await trio.aclose_forcefully(asked.connection.stream)
        else:
            await asked.answer(b"x" * 200_000)

    async with http2_server(sick) as bad, http2_server(ok) as good:
        urls = tuple(EndpointSettings(url=f"http://127.0.0.1:{one.port}") for one in (bad, good))
        backend = {"urls": urls, "protocol": "http2", "unhealthy_threshold": 3}
        configure = partial(settings, backend=backend, max_response_bytes=100_000)
        async with bench(redis_url, configure=configure) as b:
            endpoints = b.relayer.backends.routes["anvil"].by_type["jsonrpc"].pool
            assert endpoints is not None
            first = endpoints.endpoints[0]
            for how[0] in ("reset", "status", "break"):
                for _ in range(6):
                    assert (await ask(b)).status == 200
                assert first.state == "left_alone"
                first.left_alone_until = 0.0
                endpoints.probed(first, "", 1, 1)
                endpoints.succeeded(first)
            how[0] = "large"
            statuses = [(await ask(b)).status for _ in range(10)]
            assert sorted(set(statuses)) == [200, 502]
            assert first.state == "healthy"


async def test_what_surrounds_relays_works_over_http2(redis_url: str) -> None:
    """Hedging, probes and the freshness guard go the way that relays go."""
    release = trio.Event()
    probed: list[bytes] = []

    async def slow(asked: Asked) -> None:
        if asked.fields[b":path"] == b"/healthz":
            probed.append(asked.fields[b":method"])
        elif b"eth_blockNumber" not in asked.body:
            await release.wait()
        await asked.answer(b'{"jsonrpc":"2.0","id":1,"result":"0x10"}')

    async def quick(asked: Asked) -> None:
        await asked.answer(b'{"jsonrpc":"2.0","id":1,"result":"0x10"}')

    async with http2_server(slow) as one, http2_server(quick) as two:
        urls = tuple(EndpointSettings(url=f"http://127.0.0.1:{each.port}") for each in (one, two))
        backend = {
            "urls": urls,
            "protocol": "http2",
            "load_balancing": "first_healthy",
            "health_check": HealthCheckSettings(
                enabled=True, endpoint="/healthz", interval_seconds=0.02
            ),
            "freshness": FreshnessSettings(max_lag_blocks=2, interval_seconds=0.02),
            "hedging": HedgingSettings(methods=("eth_call",), after_seconds=0.05),
        }
        async with bench(redis_url, configure=partial(settings, backend=backend)) as b:
            asked = b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[]}'
            envelope = HttpRequest("POST", "/", {"Content-Type": ["application/json"]}, asked)
            with trio.fail_after(10):
                assert (await ask(b, envelope)).status == 200
            assert one.resets == [ErrorCodes.CANCEL]
            await until(lambda: len(probed) >= 2)
            route = b.relayer.backends.routes["anvil"]
            await until(lambda: route.height == 16)
            release.set()


async def test_streams_over_http2_are_batches_like_any(redis_url: str) -> None:
    """An event stream of an HTTP/2 backend is passed on, signed, while it comes."""

    async def events(asked: Asked) -> None:
        await asked.head((b"content-type", b"text/event-stream"))
        for n in range(5):
            await asked.send(b"data: %d\n\n" % n)
        await asked.trailers((b"x", b"y"))

    async with http2_server(events) as server:
        url = f"http://127.0.0.1:{server.port}"
        configure = partial(settings, backend={"url": url, "protocol": "http2"})
        async with bench(redis_url, configure=configure) as b:
            stream = await streamed(b)
            assert stream.is_complete
            assert stream.body == b"".join(b"data: %d\n\n" % n for n in range(5))
            for batch in stream.batches:
                batch.check(b.chain.supplier_keys[0])
            assert len(await b.logged()) == 1
