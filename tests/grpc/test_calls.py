"""gRPC relays from a real grpcio client, over real sockets."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import trio
from relayminer_plugins.grpc.transport import GrpcTransport
from relayminer_plugins.http.transport import HttpTransport

from relayminer.net.http1 import response_bytes
from relayminer.protocol import codec
from relayminer.protocol.pb.http_pb2 import POKTHTTPResponse
from relayminer.protocol.pb.service_pb2 import RelayRequest, RelayResponse
from tests.relayer.kit import Backend, bench, request_body, settings, signed_request

if TYPE_CHECKING:
    from collections.abc import Callable

METHOD = "/pocket.service.RelayService/SendRelay"
serving = partial(bench, transports=[GrpcTransport(), HttpTransport()])


async def on_channel(address: tuple[str, int], work: Callable[[Any], Any]) -> Any:
    """Run blocking client code in a thread, with a channel of its own."""

    def run() -> Any:
        with grpc.insecure_channel(f"{address[0]}:{address[1]}") as channel:
            return work(channel)

    return await trio.to_thread.run_sync(run)


async def refused(address: tuple[str, int], body: bytes, method: str = METHOD) -> tuple[Any, str]:
    """Code and words of a call that must fail."""

    def work(channel: Any) -> tuple[Any, str]:
        try:
            channel.unary_unary(method)(body, timeout=10)
        except grpc.RpcError as error:
            return error.code(), error.details()
        raise AssertionError("it was answered")

    code, words = await on_channel(address, work)
    return code, words


async def test_a_unary_call_is_a_relay(redis_url: str) -> None:
    """The answer is a signed response, and the relay is in the log when it comes."""
    async with serving(redis_url) as b:
        body = request_body(signed_request(b.chain))
        answer = await on_channel(b.address, lambda c: c.unary_unary(METHOD)(body, timeout=10))
        assert codec.decode(RelayResponse, answer).meta.supplier_operator_signature
        assert len(await b.logged()) == 1


async def test_a_bidirectional_call_carries_many(redis_url: str) -> None:
    """Each message is answered in its turn, each one is logged."""
    async with serving(redis_url) as b:
        bodies = [request_body(signed_request(b.chain)) for _ in range(5)]
        answers = await on_channel(
            b.address, lambda c: list(c.stream_stream(METHOD)(iter(bodies), timeout=10))
        )
        assert len(answers) == 5
        assert len(await b.logged()) == 5


async def test_gzip_both_ways(redis_url: str) -> None:
    """A client that compresses is understood, and answered compressed."""
    async with serving(redis_url) as b:
        body = request_body(signed_request(b.chain))
        answer = await on_channel(
            b.address,
            lambda c: c.unary_unary(METHOD)(body, timeout=10, compression=grpc.Compression.Gzip),
        )
        assert codec.decode(RelayResponse, answer).payload


async def test_many_calls_on_one_connection_leave_nothing(redis_url: str, *, soak: bool) -> None:
    """Streams are forgotten when they end."""
    count = 10_000 if soak else 300
    transport = GrpcTransport()
    async with bench(redis_url, transports=[transport, HttpTransport()]) as b:
        body = request_body(signed_request(b.chain))
        left: list[int] = []

        def work(channel: Any) -> None:
            call = channel.unary_unary(METHOD)
            for _ in range(count):
                call(body, timeout=10)
            left.extend(one.streams for one in transport._connections)

        await on_channel(b.address, work)
        assert left == [0]


async def test_requests_that_are_wrong(redis_url: str) -> None:
    """Steps 1 to 6 and 10 of relayer.md 4.2, word for word."""
    async with serving(redis_url) as b:
        invalid, words = await refused(b.address, b"\xff\xff")
        assert invalid is grpc.StatusCode.INVALID_ARGUMENT
        assert words.startswith("failed to receive request: ")
        cases: list[tuple[Callable[[RelayRequest], Any], grpc.StatusCode, str]] = [
            (
                lambda r: r.meta.ClearField("session_header"),
                grpc.StatusCode.INVALID_ARGUMENT,
                "missing session header in RelayRequest",
            ),
            (
                lambda r: r.meta.session_header.ClearField("service_id"),
                grpc.StatusCode.INVALID_ARGUMENT,
                "missing service ID in session header",
            ),
            (
                lambda r: r.meta.ClearField("supplier_operator_address"),
                grpc.StatusCode.INVALID_ARGUMENT,
                "missing supplier operator address in RelayRequest",
            ),
            (
                lambda r: setattr(r.meta, "supplier_operator_address", "pokt1other"),
                grpc.StatusCode.FAILED_PRECONDITION,
                "no signer for supplier pokt1other",
            ),
            (
                lambda r: setattr(r.meta.session_header, "service_id", "nowhere"),
                grpc.StatusCode.NOT_FOUND,
                "unknown service: nowhere",
            ),
        ]
        for change, code, text in cases:
            request = signed_request(b.chain)
            change(request)
            assert await refused(b.address, request_body(request)) == (code, text)
        code, words = await refused(b.address, b"", "/pocket.service.RelayService/Other")
        assert code is grpc.StatusCode.UNIMPLEMENTED
        assert words == "unknown method: /pocket.service.RelayService/Other"
        assert await b.logged() == []


async def test_a_forged_signature_is_refused(redis_url: str) -> None:
    """K-1: what the ring did not sign is neither answered nor logged."""
    async with serving(redis_url) as b:
        request = signed_request(b.chain)
        request.payload += b"\x22\x00"
        code, words = await refused(b.address, request_body(request))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert words.startswith("relay validation failed: ")
        assert await b.logged() == []


async def test_a_backend_error_is_unavailable(redis_url: str) -> None:
    """Step 13."""
    backend = Backend(lambda _: response_bytes(503, b"{}"))
    async with serving(redis_url, backend=backend) as b:
        assert await refused(b.address, request_body(signed_request(b.chain))) == (
            grpc.StatusCode.UNAVAILABLE,
            "backend service error: HTTP 503",
        )


async def test_a_backend_out_of_reach_is_a_signed_error(redis_url: str) -> None:
    """Step 12: OK, signed, with a 500 inside, and never mined."""
    async with serving(redis_url, backend=Backend(lambda _: b"")) as b:
        body = request_body(signed_request(b.chain))
        answer = await on_channel(b.address, lambda c: c.unary_unary(METHOD)(body, timeout=10))
        response = codec.decode(RelayResponse, answer)
        assert response.relay_miner_error.code == 500
        assert codec.decode(POKTHTTPResponse, response.payload).status_code == 500
        assert await b.logged() == []


async def test_a_message_over_the_bound(redis_url: str) -> None:
    """It is refused by its announced size."""
    configure = partial(settings, max_grpc_message_bytes=1_000)
    async with serving(redis_url, configure=configure) as b:
        code, words = await refused(b.address, b"x" * 1_001)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "1001 vs. 1000" in words
