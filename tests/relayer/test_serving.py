"""What happens around a relay: retries, clients that leave, shutdown, optimistic validation."""

from __future__ import annotations

import gzip
from functools import partial

import trio

from relayminer.config.settings import EndpointSettings, RelayerSettings
from relayminer.net.http1 import response_bytes
from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpResponse, decode_http_response
from relayminer.protocol.pb.service_pb2 import RelayResponse
from relayminer.protocol.signature import SigningKey
from tests.relayer.client import connect
from tests.relayer.kit import (
    SERVICE,
    Backend,
    Bench,
    SmallChain,
    bench,
    json_rpc,
    request_body,
    settings,
    signed_request,
)

OPTIMISTIC = partial(settings, service={"validation_mode": "optimistic"})


async def served(b: Bench, accept: bytes = b"") -> tuple[bytes, HttpResponse]:
    """The content type and the envelope of a good relay's answer."""
    client = await connect(b.address)
    headers = [(b"Accept", accept)] if accept else []
    answer = await client.send(request_body(signed_request(b.chain)), headers)
    client.wire.close()
    assert answer.status == 200, answer.body
    response = codec.decode(RelayResponse, answer.body)
    return answer.header(b"content-type"), decode_http_response(response.payload)


async def logged_soon(b: Bench, count: int) -> None:
    """Wait until the log has `count` entries."""
    with trio.fail_after(3):
        while len(await b.logged()) < count:
            await trio.lowlevel.checkpoint()


async def test_statuses_below_500_are_relays(redis_url: str) -> None:
    """A redirect or a 404 of the backend is an answer: signed, and mined."""
    statuses = iter([404, 301, 204, 429])
    backend = Backend(lambda _: response_bytes(next(statuses), b""))
    async with bench(redis_url, backend=backend) as b:
        for status in (404, 301, 204, 429):
            _, envelope = await served(b)
            assert envelope.status == status
        assert len(await b.logged()) == 4


async def test_the_content_type_is_what_the_client_accepts(redis_url: str) -> None:
    """2.6: Accept word for word; JSON when it is empty or anything."""
    async with bench(redis_url) as b:
        assert (await served(b))[0] == b"application/json"
        assert (await served(b, b"*/*"))[0] == b"application/json"
        assert (await served(b, b"application/x-protobuf"))[0] == b"application/x-protobuf"


async def test_gzip_of_a_backend_is_opened(redis_url: str) -> None:
    """2.6: by header or by magic bytes; the header goes, and what is not gzip stays."""
    answers = iter(
        [
            response_bytes(200, gzip.compress(b"one"), headers=[(b"Content-Encoding", b"GZip")]),
            response_bytes(200, gzip.compress(b"two")),
            response_bytes(200, b"three", headers=[(b"Content-Encoding", b"gzip")]),
            response_bytes(200, gzip.compress(b"fo") + gzip.compress(b"ur")),
        ]
    )
    async with bench(redis_url, backend=Backend(lambda _: next(answers))) as b:
        for body, encoded in ((b"one", False), (b"two", False), (b"three", True), (b"four", False)):
            _, envelope = await served(b)
            assert envelope.body == body
            assert ("Content-Encoding" in envelope.headers) == encoded


async def test_a_failed_attempt_goes_to_another_endpoint(redis_url: str) -> None:
    """2.5: one retry, said in a header; the client gets the good answer."""

    def configure(url: str) -> RelayerSettings:
        return settings(
            url,
            backend={
                "urls": (EndpointSettings(url="http://127.0.0.1:1"), EndpointSettings(url=url)),
                "load_balancing": "first_healthy",
            },
        )

    async with bench(redis_url, configure=configure) as b:
        client = await connect(b.address)
        answer = await client.send(request_body(signed_request(b.chain)))
        client.wire.close()
        assert answer.status == 200
        assert answer.header(b"backend-retries") == b"1"
        assert len(await b.logged()) == 1


async def test_a_client_that_leaves_after_its_request_is_mined(redis_url: str) -> None:
    """Once admitted, the work is done and paid for, whoever waits for the answer."""
    async with bench(redis_url) as b:
        client = await connect(b.address)
        body = request_body(signed_request(b.chain))
        await client.wire.send(
            b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        client.wire.close()
        await logged_soon(b, 1)


async def test_shutdown_finishes_what_is_in_hand(redis_url: str) -> None:
    """A relay at the backend is answered and logged; the port is closed; idle clients hang up."""
    release = trio.Event()
    backend = Backend(release=release)
    async with bench(redis_url, backend=backend) as b:
        idle = await connect(b.address)
        assert (await idle.get(b"/health")).status == 200
        busy = await connect(b.address)
        body = request_body(signed_request(b.chain))
        await busy.wire.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        with trio.fail_after(2):
            while not backend.requests:
                await trio.lowlevel.checkpoint()
        b.relayer_scope.cancel()
        assert await idle.wire.receive() == b""
        try:
            late = await connect(b.address)
        except OSError:
            late = None
        assert late is None
        release.set()
        answer = await busy.read()
        assert answer.status == 200
        assert answer.header(b"connection") == b"close"
        with trio.fail_after(2):
            await b.relayer_stopped.wait()
        assert len(await b.logged()) == 1
        idle.wire.close()
        busy.wire.close()


async def test_optimistic_relays_are_checked_after_the_answer(redis_url: str) -> None:
    """A good one is answered, then logged."""
    async with bench(redis_url, configure=OPTIMISTIC) as b:
        _, envelope = await served(b)
        assert envelope.status == 200
        await logged_soon(b, 1)


async def test_an_optimistic_forgery_is_never_logged(redis_url: str) -> None:
    """It may be answered, it is never mined: it would slash the supplier."""
    stranger = SigningKey.from_seed(b"stranger")
    async with bench(redis_url, configure=OPTIMISTIC) as b:
        client = await connect(b.address)
        forged = signed_request(b.chain, ring=[stranger.public_key, b.chain.gateway_key.public_key])
        await client.send(request_body(forged))
        client.wire.close()
        with trio.fail_after(2):
            while not b.value(
                "ha_relayer_relays_dropped_total",
                service_id=SERVICE,
                application="unknown",
                reason="validation_failed",
            ):
                await trio.lowlevel.checkpoint()
        assert not await b.logged()


async def test_optimistic_relays_in_hand_are_logged_before_the_end(redis_url: str) -> None:
    """Shutdown waits for the checks of relays that were answered."""
    async with bench(redis_url, configure=OPTIMISTIC) as b:
        for _ in range(5):
            await served(b)
        b.relayer_scope.cancel()
        await b.relayer_stopped.wait()
        assert len(await b.logged()) == 5


async def test_a_relay_below_the_difficulty_is_served_and_refunded(redis_url: str) -> None:
    """Not applicable means not mined and not charged."""
    chain = SmallChain()
    chain.target = b"\x00" * 31 + b"\x01"
    async with bench(redis_url, chain=chain) as b:
        await served(b)
        assert not await b.logged()
        [context] = b.relayer._book.contexts()
        [budget] = context.budgets.values()
        assert budget.left_upokt == 200 * context.cost_upokt


async def test_the_unspent_lease_goes_back_at_shutdown(redis_url: str) -> None:
    """What stays counted as consumed is what was mined."""
    async with bench(redis_url) as b:
        for _ in range(3):
            await served(b)
        [context] = b.relayer._book.contexts()
        key = b.names.meter_consumed_key(context.session_id, b.chain.supplier_keys[0].address)
        assert int(await b.redis.command("GET", key)) == 200 * context.cost_upokt
        b.relayer_scope.cancel()
        await b.relayer_stopped.wait()
        assert int(await b.redis.command("GET", key)) == 3 * context.cost_upokt


async def test_the_chain_is_asked_once_per_session(redis_url: str) -> None:
    """Fifty relays at once of a new session cost one look-up of each kind."""
    async with bench(redis_url) as b:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(served, b)
        assert len(b.chain.asked) == len(set(b.chain.asked))
        b.chain.asked.clear()
        await served(b)
        assert not b.chain.asked


async def test_a_kept_connection_to_the_backend_is_used_again(redis_url: str) -> None:
    """Relays one after another share a connection."""
    backend = Backend(json_rpc)
    async with bench(redis_url, backend=backend) as b:
        for _ in range(5):
            await served(b)
        assert backend.connections == 1


async def test_a_gateway_that_was_just_delegated_to_is_served(redis_url: str) -> None:
    """A ring that refuses is built anew from the chain, seldom, before the relay is refused."""
    newcomer = SigningKey.from_seed(b"newcomer")
    chain = SmallChain()
    async with bench(redis_url, chain=chain) as b:
        await served(b)
        [context] = b.relayer._book.contexts()
        ring = [chain.application_key.public_key, newcomer.public_key]
        request = signed_request(chain, ring=ring, signer=newcomer)
        client = await connect(b.address)
        assert (await client.send(request_body(request))).status == 403
        chain.gateway_keys.append(newcomer)
        context.ring_expires_at -= 10
        assert (await client.send(request_body(request))).status == 200
        client.wire.close()


async def test_an_optimistic_relay_of_the_wrong_session_costs_no_backend(redis_url: str) -> None:
    """What a known session already disproves is refused before the answer."""
    async with bench(redis_url, configure=OPTIMISTIC) as b:
        await served(b)
        await logged_soon(b, 1)
        request = signed_request(b.chain)
        request.meta.session_header.session_end_block_height = 19
        client = await connect(b.address)
        assert (await client.send(request_body(request))).status == 403
        client.wire.close()
        assert len(b.backend.requests) == 1
