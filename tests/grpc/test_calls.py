"""gRPC relays from a real grpcio client, over real sockets: every line of relayer.md 4.2."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trio
import trio_asyncio
from grpclib.client import Channel, StreamStreamMethod, UnaryUnaryMethod

from relayminer.config.settings import MeteringSettings
from relayminer.net.http1 import response_bytes
from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpRequest
from relayminer.protocol.pb.service_pb2 import RelayRequest, RelayResponse
from tests.grpc.client import METHOD, connect, framed
from tests.grpc.kit import called, checked, errors, on_channel, refused, serving
from tests.relayer.kit import (
    SERVICE,
    Backend,
    SmallChain,
    json_rpc,
    request_body,
    settings,
    signed_request,
)
from tests.streaming.client import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


COST_UPOKT = 4_200


async def test_a_unary_call_is_a_relay(redis_url: str) -> None:
    """The answer is a signed response, and the relay is in the log when it comes."""
    async with serving(redis_url) as b:
        answer = await called(b.address, request_body(signed_request(b.chain)))
        assert checked(b, answer).status == 200
        assert len(await b.logged()) == 1
        assert b.value("ha_relayer_grpc_relays_total", service_id=SERVICE) == 1
        assert b.value("ha_relayer_grpc_relays_published_total", service_id=SERVICE) == 1
        assert b.value("ha_relayer_grpc_relay_latency_seconds_count", service_id=SERVICE) == 1


async def test_a_bidirectional_call_carries_many(redis_url: str) -> None:
    """Each message is answered in its turn, each one is logged."""
    async with serving(redis_url) as b:
        bodies = [request_body(signed_request(b.chain)) for _ in range(5)]
        answers = await on_channel(
            b.address, lambda c: list(c.stream_stream(METHOD)(iter(bodies), timeout=10))
        )
        assert [checked(b, answer).status for answer in answers] == [200] * 5
        assert len(await b.logged()) == 5


async def test_a_message_is_answered_before_the_next_is_sent(redis_url: str) -> None:
    """A conversation: the client waits for each answer, then says the next thing."""
    async with serving(redis_url) as b:

        def talk(channel: Any) -> int:
            answered = threading.Semaphore(1)

            def questions() -> Iterator[bytes]:
                for _ in range(3):
                    answered.acquire(timeout=10)
                    yield request_body(signed_request(b.chain))

            count = 0
            for _ in channel.stream_stream(METHOD)(questions(), timeout=10):
                answered.release()
                count += 1
            return count

        assert await on_channel(b.address, talk) == 3


async def test_grpclib_under_trio_asyncio_is_a_client_too(redis_url: str) -> None:
    """The library whose protocol layer serves here, as a client: unary and bidirectional."""
    async with serving(redis_url) as b:
        bodies = [signed_request(b.chain) for _ in range(3)]

        async def ask() -> list[RelayResponse]:
            channel = Channel(*b.address)
            unary = UnaryUnaryMethod(channel, METHOD, RelayRequest, RelayResponse)
            stream = StreamStreamMethod(channel, METHOD, RelayRequest, RelayResponse)
            try:
                return [await unary(bodies[0]), *await stream(bodies[1:])]
            finally:
                channel.close()

        async with trio_asyncio.open_loop():
            answers = await trio_asyncio.aio_as_trio(ask)()
        assert [checked(b, codec.encode(answer)).status for answer in answers] == [200] * 3
        assert len(await b.logged()) == 3


async def test_gzip_both_ways(redis_url: str) -> None:
    """A client that compresses is understood, and answered compressed."""
    async with serving(redis_url) as b:
        body = request_body(signed_request(b.chain))
        answer = await called(b.address, body, compression=grpc.Compression.Gzip)
        assert checked(b, answer).status == 200


# Steps 1 to 6 and 10.


async def test_bytes_that_are_no_message(redis_url: str) -> None:
    """Step 1: no protobuf, too large, cut off, flags of the future, two ends."""
    configure = partial(settings, max_grpc_message_bytes=1_000)
    async with serving(redis_url, configure=configure) as b:
        bad = [
            framed(b"\xff\xff"),
            framed(b"x" * 1_001),
            framed(b"x" * 100)[:50],
            framed(b"")[:3],
            framed(b"", flag=2),
            framed(b"not gzip", flag=1),
            b"",
        ]
        client = await connect(b.address)
        for body in bad:
            number = await client.begin(METHOD, [("content-type", "application/grpc")])
            await client.send(number, body, end=True)
            answer = await client.answer(number)
            code, words = answer.grpc
            assert answer.status == "200"
            assert code == grpc.StatusCode.INVALID_ARGUMENT.value[0], (body, words)
            assert words.startswith("failed to receive request: "), body
        await client.aclose()
        assert errors(b, "recv_error", "unknown") == len(bad)
        assert await b.logged() == []


def _without(field: str) -> Callable[[RelayRequest], Any]:
    return lambda request: request.meta.ClearField(field)


def _service(name: str) -> Callable[[RelayRequest], Any]:
    return lambda request: setattr(request.meta.session_header, "service_id", name)


def _both(*changes: Callable[[RelayRequest], Any]) -> Callable[[RelayRequest], Any]:
    def change(request: RelayRequest) -> None:
        for one in changes:
            one(request)

    return change


def _garbage(request: RelayRequest) -> None:
    request.payload = b"\xff\xff"


WRONG: list[tuple[Callable[[RelayRequest], Any], Any, str, str, str]] = [
    (
        _both(_without("session_header"), _without("supplier_operator_address"), _garbage),
        grpc.StatusCode.INVALID_ARGUMENT,
        "missing session header in RelayRequest",
        "missing_session_header",
        "unknown",
    ),
    (
        _both(_service(""), _without("supplier_operator_address"), _garbage),
        grpc.StatusCode.INVALID_ARGUMENT,
        "missing service ID in session header",
        "missing_service_id",
        "unknown",
    ),
    (
        _both(_without("supplier_operator_address"), _garbage),
        grpc.StatusCode.INVALID_ARGUMENT,
        "missing supplier operator address in RelayRequest",
        "missing_supplier_address",
        SERVICE,
    ),
    (
        _both(lambda r: setattr(r.meta, "supplier_operator_address", "pokt1x"), _service("no")),
        grpc.StatusCode.FAILED_PRECONDITION,
        "no signer for supplier pokt1x",
        "no_signer",
        "unknown",
    ),
    (
        _both(_service("nowhere"), _garbage),
        grpc.StatusCode.NOT_FOUND,
        "unknown service: nowhere",
        "unknown_service",
        "unknown",
    ),
]


@pytest.mark.parametrize(("change", "code", "words", "reason", "service"), WRONG)
async def test_requests_that_are_wrong(
    redis_url: str,
    change: Callable[[RelayRequest], Any],
    code: Any,
    words: str,
    reason: str,
    service: str,
) -> None:
    """Steps 2 to 6, word for word and in their order: what comes later is wrong as well."""
    async with serving(redis_url) as b:
        request = signed_request(b.chain, change=change)
        assert await refused(b.address, request_body(request)) == (code, words)
        assert errors(b, reason, service) == 1
        assert await b.logged() == []


async def test_a_payload_that_is_no_http_request(redis_url: str) -> None:
    """Step 10."""
    async with serving(redis_url) as b:
        request = signed_request(b.chain, change=_garbage)
        code, words = await refused(b.address, request_body(request))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert words.startswith("failed to deserialize POKTHTTPRequest: ")
        assert errors(b, "payload_deserialize_error") == 1
        assert await b.logged() == []


async def test_another_method_and_another_encoding(redis_url: str) -> None:
    """They are not implemented, and no relay of ours was refused by that."""
    async with serving(redis_url) as b:
        method = "/pocket.service.RelayService/Other"
        assert await refused(b.address, b"", method) == (
            grpc.StatusCode.UNIMPLEMENTED,
            f"unknown method: {method}",
        )
        client = await connect(b.address)
        number = await client.call(b"x", extra=[("grpc-encoding", "snappy")])
        code, words = (await client.answer(number)).grpc
        await client.aclose()
        assert code == grpc.StatusCode.UNIMPLEMENTED.value[0]
        assert words == 'grpc: Decompressor is not installed for grpc-encoding "snappy"'
        assert b.value("ha_relayer_relays_received_total", service_id="unknown") == 0


async def test_a_long_lie_is_told_shortly(redis_url: str) -> None:
    """What a client sent comes back in a header: a thousand characters of it at most."""
    async with serving(redis_url) as b:
        name = "x" * 1_000_000
        request = signed_request(b.chain, change=_service(name))
        code, words = await refused(b.address, request_body(request))
        assert code is grpc.StatusCode.NOT_FOUND
        assert words == f"unknown service: {name}"[:1_000]


# Steps 8 and 9.


async def test_a_forged_signature_is_refused(redis_url: str) -> None:
    """K-1: what the ring did not sign is neither answered nor logged."""
    async with serving(redis_url) as b:
        request = signed_request(b.chain)
        request.payload += b"\x22\x00"
        code, words = await refused(b.address, request_body(request))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert words.startswith("relay validation failed: ")
        assert errors(b, "validation_failed") == 1
        assert await b.logged() == []


async def test_heights_that_cannot_be(redis_url: str) -> None:
    """They are a rule of the same step."""

    def far(request: RelayRequest) -> None:
        request.meta.session_header.session_start_block_height += 10**6
        request.meta.session_header.session_end_block_height += 10**6

    async with serving(redis_url) as b:
        assert await refused(b.address, request_body(signed_request(b.chain, change=far))) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "relay validation failed: implausible session heights",
        )
        assert errors(b, "validation_failed") == 1


async def test_over_the_budget(redis_url: str) -> None:
    """Step 9: metered like any other, and refused when the stake is used up."""
    chain = SmallChain(stake_upokt=3 * COST_UPOKT * 15 * 2)
    configure = partial(settings, metering=MeteringSettings(lease_relays=1))
    async with serving(redis_url, chain=chain, configure=configure) as b:
        for _ in range(3):
            await called(b.address, request_body(signed_request(chain)))
        assert await refused(b.address, request_body(signed_request(chain))) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "relay rejected - stake limit exceeded",
        )
        assert errors(b, "meter_rejected") == 1
        assert len(await b.logged()) == 3


async def test_a_replay_is_answered_once(redis_url: str) -> None:
    """`relayer.refuse_replays` holds for calls."""
    async with serving(redis_url, configure=partial(settings, refuse_replays=True)) as b:
        body = request_body(signed_request(b.chain))
        await called(b.address, body)
        code, words = await refused(b.address, body)
        assert code is grpc.StatusCode.ALREADY_EXISTS
        assert words == "relay request already answered in this session"
        assert len(await b.logged()) == 1


# Steps 11 to 15.


async def test_no_healthy_backend(redis_url: str) -> None:
    """Step 11: at once, and counted as a fast failure only."""
    async with serving(redis_url) as b:
        body = request_body(signed_request(b.chain))
        assert await refused(b.address, body, metadata=(("rpc-type", "4"),)) == (
            grpc.StatusCode.UNAVAILABLE,
            f"all backends unhealthy for service {SERVICE}",
        )
        assert b.value("ha_relayer_fast_fails_total", service_id=SERVICE) == 1
        assert errors(b, "no_healthy_backend") == 0


async def test_a_backend_that_gives_no_answer_is_a_signed_error(redis_url: str) -> None:
    """Step 12: OK, signed, with a 500 inside and no word about our network; never mined."""
    async with serving(redis_url, backend=Backend(lambda _: b"")) as b:
        answer = await called(b.address, request_body(signed_request(b.chain)))
        response = codec.decode(RelayResponse, answer)
        assert response.relay_miner_error.code == 500
        assert response.relay_miner_error.codespace == ""
        assert response.relay_miner_error.description == "backend error: it gave no answer"
        inside = checked(b, answer)
        assert inside.status == 500
        assert inside.headers["Content-Type"] == ("application/json",)
        assert inside.body == b'{"error": "backend error: it gave no answer"}'
        assert errors(b, "backend_error") == 1
        assert await b.logged() == []


async def test_a_request_that_cannot_be_written_is_a_signed_error(redis_url: str) -> None:
    """Step 12 too: the backend never hears of it."""
    async with serving(redis_url) as b:
        bad = HttpRequest("BAD METHOD", "http://gateway/", {}, b"")
        answer = await called(b.address, request_body(signed_request(b.chain, envelope=bad)))
        assert checked(b, answer).status == 500
        assert b.backend.requests == []
        assert await b.logged() == []


async def test_a_backend_error_is_unavailable(redis_url: str) -> None:
    """Step 13."""
    backend = Backend(lambda _: response_bytes(503, b"{}"))
    async with serving(redis_url, backend=backend) as b:
        assert await refused(b.address, request_body(signed_request(b.chain))) == (
            grpc.StatusCode.UNAVAILABLE,
            "backend service error: HTTP 503",
        )
        assert errors(b, "backend_5xx") == 1
        assert await b.logged() == []


async def test_an_answer_that_cannot_be_carried(redis_url: str) -> None:
    """Step 14: a header that is not UTF-8 has no place in the envelope."""
    backend = Backend(lambda _: response_bytes(200, b"{}", headers=[(b"X-Bad", b"\xff\xfe")]))
    async with serving(redis_url, backend=backend) as b:
        code, words = await refused(b.address, request_body(signed_request(b.chain)))
        assert code is grpc.StatusCode.INTERNAL
        assert words.startswith("failed to build/sign response: ")
        assert errors(b, "sign_error") == 1
        assert await b.logged() == []


async def test_a_client_that_leaves_before_its_answer(redis_url: str) -> None:
    """Step 15: what the backend has answered is logged and counted as not delivered."""
    release = trio.Event()
    async with serving(redis_url, backend=Backend(json_rpc, release)) as b:
        client = await connect(b.address)
        number = await client.call(request_body(signed_request(b.chain)))
        await until(lambda: bool(b.backend.requests), 10)
        client.protocol.reset_stream(number)
        await client.flush()
        # The relayer has seen the reset when it answers what came after it.
        ping = await client.post(b"")
        await client.answer(ping)
        release.set()
        await until(lambda: errors(b, "send_error") == 1, 10)
        await client.aclose()
        assert len(await b.logged()) == 1


async def test_an_accident_of_ours(redis_url: str) -> None:
    """An error that nobody foresaw is `INTERNAL`, and nothing of it is told."""
    async with serving(redis_url) as b:
        b.relayer.engine._forwarder = None  # type: ignore[assignment]
        assert await refused(b.address, request_body(signed_request(b.chain))) == (
            grpc.StatusCode.INTERNAL,
            "internal server error",
        )
