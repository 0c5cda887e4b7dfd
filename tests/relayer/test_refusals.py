"""Every failing row of relayer.md 2.2 that answers a client, over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from relayminer.config.settings import MeteringSettings
from relayminer.net.http1 import response_bytes
from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpRequest
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.signature import SigningKey
from tests.relayer.client import connect, error_of
from tests.relayer.kit import (
    SERVICE,
    Backend,
    Bench,
    SmallChain,
    bench,
    request_body,
    settings,
    signed_request,
)

Change = Callable[[RelayRequest], None]


async def refusal(b: Bench, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> Any:
    """Status and message for `body`; afterwards a good relay must still be served."""
    client = await connect(b.address)
    answer = await client.send(body, headers)
    assert answer.header(b"content-type") == b"application/json"
    message = error_of(answer)
    client.wire.close()
    return answer.status, message


async def still_serves(b: Bench) -> None:
    """A good relay is served on a new connection."""
    client = await connect(b.address)
    assert (await client.send(request_body(signed_request(b.chain)))).status == 200
    client.wire.close()


def header_change(**fields: Any) -> Change:
    """Set fields of the session header before signing."""

    def change(request: RelayRequest) -> None:
        for name, value in fields.items():
            setattr(request.meta.session_header, name, value)

    return change


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not protobuf at all \xff\xff\xff",
        codec.encode(RelayRequest()),
        codec.encode(RelayRequest(payload=b"\xff\xff")),
    ],
)
async def test_what_is_no_relay_request_is_400(redis_url: str, body: bytes) -> None:
    """Step 3: empty, garbage, without a session or with a payload that is no envelope."""
    async with bench(redis_url) as b:
        assert await refusal(b, body) == (
            400,
            "invalid relay request: body must be a valid RelayRequest protobuf",
        )
        await still_serves(b)


async def test_a_truncated_request_is_400(redis_url: str) -> None:
    """Step 3: a valid relay cut short."""
    async with bench(redis_url) as b:
        body = request_body(signed_request(b.chain))
        assert (await refusal(b, body[:-7]))[0] == 400
        await still_serves(b)


async def test_without_keys_it_is_500(redis_url: str) -> None:
    """Step 4: nobody can sign."""
    async with bench(redis_url, keys={}) as b:
        body = request_body(signed_request(b.chain))
        assert await refusal(b, body) == (500, "relayer not properly configured")


async def test_an_unknown_service_is_404(redis_url: str) -> None:
    """Step 5; quotes in the name are escaped (K-29)."""
    async with bench(redis_url) as b:
        body = request_body(
            signed_request(b.chain, change=header_change(service_id='no "such" service'))
        )
        assert await refusal(b, body) == (404, 'unknown service: no "such" service')
        assert b.value(
            "ha_relayer_relays_rejected_total",
            service_id="unknown",
            rpc_type="unknown",
            reason="unknown_service",
        )
        await still_serves(b)


async def test_without_a_supplier_it_is_400(redis_url: str) -> None:
    """Step 9."""

    def change(request: RelayRequest) -> None:
        request.meta.supplier_operator_address = ""

    async with bench(redis_url) as b:
        body = request_body(signed_request(b.chain, change=change))
        assert await refusal(b, body) == (
            400,
            "missing supplier operator address in relay request",
        )


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"status": "not_staked", "staked": False, "services": []}, "is not_staked"),
        ({"status": "unstaking", "staked": True, "services": []}, "has no services registered"),
        (
            {"status": "active", "staked": True, "services": ["other"]},
            f"not staked for service {SERVICE}",
        ),
    ],
)
async def test_the_supplier_gate_is_503(redis_url: str, state: Any, text: str) -> None:
    """Step 11: the registry says that the supplier does not serve this."""
    async with bench(redis_url) as b:
        supplier = b.chain.supplier_keys[0].address
        await b.redis.command("SET", b.names.supplier_state_key(supplier), json.dumps(state))
        body = request_body(signed_request(b.chain))
        assert await refusal(b, body) == (503, f"supplier {supplier} {text}")


async def test_an_unreadable_supplier_state_is_503(redis_url: str) -> None:
    """Step 10."""
    async with bench(redis_url) as b:
        supplier = b.chain.supplier_keys[0].address
        await b.redis.command("SET", b.names.supplier_state_key(supplier), "{broken")
        body = request_body(signed_request(b.chain))
        assert await refusal(b, body) == (503, "failed to verify supplier state")


async def test_a_supplier_that_nobody_registered_is_503(redis_url: str) -> None:
    """Step 11: not in the registry, and its key is not loaded."""
    async with bench(redis_url) as b:
        stranger = SigningKey.from_seed(b"stranger").address
        body = request_body(signed_request(b.chain, supplier=stranger))
        assert await refusal(b, body) == (
            503,
            f"supplier {stranger} not registered with any miner",
        )


async def test_a_registered_supplier_without_a_key_is_403(redis_url: str) -> None:
    """8.2 #2: some other relayer has its key."""
    async with bench(redis_url) as b:
        stranger = SigningKey.from_seed(b"stranger").address
        state = {"status": "active", "staked": True, "services": [SERVICE]}
        await b.redis.command("SET", b.names.supplier_state_key(stranger), json.dumps(state))
        body = request_body(signed_request(b.chain, supplier=stranger))
        status, message = await refusal(b, body)
        assert status == 403
        assert message == (
            f"relay validation failed: supplier {stranger} is not allowed by this relayer"
        )


async def test_bodies_over_the_limits_are_413(redis_url: str) -> None:
    """Steps 2 and 14: over everybody's limit, and over the service's."""
    configure = partial(settings, max_body_bytes=5_000, service={"max_body_bytes": 1_000})
    async with bench(redis_url, configure=configure) as b:
        large = HttpRequest("POST", "/", {}, b"x" * 2_000)
        body = request_body(signed_request(b.chain, envelope=large))
        assert await refusal(b, body) == (413, "request body too large for service")
        assert await refusal(b, b"x" * 5_001) == (413, "request body too large")
        await still_serves(b)


@pytest.mark.parametrize(
    "fields",
    [
        {"session_start_block_height": 0},
        {"session_end_block_height": 5},
        {"session_end_block_height": 20_000},
        {"session_start_block_height": 10_100, "session_end_block_height": 10_109},
    ],
)
async def test_implausible_heights_are_400(redis_url: str, fields: dict[str, int]) -> None:
    """Step 16 and 8.1: no chain query is spent on them."""
    async with bench(redis_url) as b:
        body = request_body(signed_request(b.chain, change=header_change(**fields)))
        assert await refusal(b, body) == (400, "implausible session heights")
        assert not b.chain.asked


async def test_over_the_budget_is_429(redis_url: str) -> None:
    """Step 17: what the application can pay is consumed; a refusal charges nothing."""
    # 4,200 uPOKT a relay, 15 suppliers, two sessions pending: room for three relays.
    chain = SmallChain(stake_upokt=3 * 4_200 * 15 * 2)
    async with bench(redis_url, chain=chain) as b:
        client = await connect(b.address)
        for _ in range(3):
            assert (await client.send(request_body(signed_request(chain)))).status == 200
        answer = await client.send(request_body(signed_request(chain)))
        assert answer.status == 429
        assert error_of(answer) == "session relay limit reached: claimable portion fully consumed"
        client.wire.close()
        assert len(await b.logged()) == 3


async def test_a_meter_that_fails_closed_is_503(redis_url: str) -> None:
    """Step 17: the budget cannot be computed and the operator wants no unpaid work."""
    configure = partial(settings, metering=MeteringSettings(fail_behavior="closed"))
    chain = SmallChain()
    async with bench(redis_url, chain=chain, configure=configure) as b:
        await still_serves(b)
        [context] = b.relayer._book.contexts()
        context.budgets.clear()
        chain.available = False
        b.relayer._meter._view._application.forget_all()
        await b.redis.command("FLUSHALL")
        body = request_body(signed_request(chain))
        assert await refusal(b, body) == (503, "relay metering unavailable")


async def test_a_meter_that_fails_open_serves(redis_url: str) -> None:
    """7.5: with `open` an unknown budget does not stop a relay."""
    chain = SmallChain()
    async with bench(redis_url, chain=chain) as b:
        await still_serves(b)
        [context] = b.relayer._book.contexts()
        context.budgets.clear()
        chain.available = False
        b.relayer._meter._view._application.forget_all()
        await b.redis.command("FLUSHALL")
        await still_serves(b)
        assert len(await b.logged()) == 1


async def test_without_a_backend_for_the_type_it_is_503(redis_url: str) -> None:
    """Step 18: there is no fallback from one RPC type to another."""
    async with bench(redis_url) as b:
        body = request_body(signed_request(b.chain))
        client = await connect(b.address)
        answer = await client.send(body, [(b"Rpc-Type", b"4")])
        client.wire.close()
        assert answer.status == 503
        assert json.loads(answer.body) == {
            "error": "service temporarily unavailable",
            "service": SERVICE,
        }


async def test_a_sick_backend_is_503_after_a_while(redis_url: str) -> None:
    """Step 18: when every endpoint is left alone, relays fail fast."""
    configure = partial(settings, backend={"url": "http://127.0.0.1:1", "unhealthy_threshold": 2})
    async with bench(redis_url, configure=configure) as b:
        body = request_body(signed_request(b.chain))
        assert await refusal(b, body) == (502, "backend error")
        assert await refusal(b, body) == (502, "backend error")
        assert (await refusal(b, body))[0] == 503
        assert not await b.logged()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"application_address": "pokt1nonsense"}, "basic validation failed: "),
        ({"session_id": ""}, "basic validation failed: "),
        ({"session_id": "0" * 64}, "session ID mismatch, expected: "),
        ({"session_end_block_height": 21}, "session header end height mismatch, expecting: 20"),
        ({"session_start_block_height": 12}, "session header start height mismatch"),
    ],
)
async def test_a_wrong_session_header_is_403(
    redis_url: str, fields: dict[str, Any], text: str
) -> None:
    """8.2 #1 and #7, met cold and met while the right session is known."""
    async with bench(redis_url) as b:
        body = request_body(signed_request(b.chain, change=header_change(**fields)))
        for _ in range(2):
            status, message = await refusal(b, body)
            assert status == 403
            assert message.startswith(f"relay validation failed: {text}")
            await still_serves(b)


async def test_an_unknown_application_is_403_and_remembered(redis_url: str) -> None:
    """8.2 #5: no ring for it; the chain is asked once, not once per relay."""
    stranger = SigningKey.from_seed(b"stranger")
    async with bench(redis_url) as b:
        body = request_body(
            signed_request(b.chain, change=header_change(application_address=stranger.address))
        )
        for _ in range(5):
            status, message = await refusal(b, body)
            assert status == 403
            assert message.startswith("relay validation failed: ring signature verification")
        assert b.chain.asked.count(f"application {stranger.address}") == 1


@pytest.mark.parametrize("warm", [False, True])
async def test_a_wrong_ring_is_403(redis_url: str, *, warm: bool) -> None:
    """8.2 #5: a ring with a stranger, a signature over something else, and a cut one."""
    stranger = SigningKey.from_seed(b"stranger")
    async with bench(redis_url) as b:
        if warm:
            await still_serves(b)
        alien = signed_request(b.chain, ring=[stranger.public_key, b.chain.gateway_key.public_key])
        moved = signed_request(b.chain)
        moved.payload += b"\x22\x00"
        cut = signed_request(b.chain)
        cut.meta.signature = cut.meta.signature[:40]
        huge = signed_request(b.chain, ring=[*b.chain.ring, *([b.chain.ring[0]] * 40)])
        for request in (alien, moved, cut, huge):
            status, message = await refusal(b, request_body(request))
            assert status == 403
            assert message.startswith("relay validation failed: ring signature verification")
        logged = await b.logged()
        assert len(logged) == (1 if warm else 0)


async def test_an_expired_session_is_403(redis_url: str) -> None:
    """8.2 #4: served through the grace period, refused after it."""
    async with bench(redis_url, height=21) as b:
        body = request_body(signed_request(b.chain, height=15))
        client = await connect(b.address)
        assert (await client.send(body)).status == 200
        b.moment.observe(22)
        answer = await client.send(body)
        client.wire.close()
        assert answer.status == 403
        assert error_of(answer) == (
            "relay validation failed: session timing validation failed: session expired, "
            "session end height: 20, current height: 22 (grace period elapsed)"
        )


async def test_a_supplier_outside_the_session_is_403(redis_url: str) -> None:
    """8.2 #8: its key is loaded, but the session has not drawn it."""
    other = SigningKey.from_seed(b"other supplier")
    chain = SmallChain()
    keys = {key.address: key for key in (*chain.supplier_keys, other)}
    async with bench(redis_url, chain=chain, keys=keys) as b:
        body = request_body(signed_request(chain, supplier=other.address))
        for _ in range(2):
            assert await refusal(b, body) == (
                403,
                f"relay validation failed: supplier {other.address} not found in session",
            )
            await still_serves(b)


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_backend_error_is_passed_on_and_refunded(redis_url: str, status: int) -> None:
    """Step 22: the backend's status, unsigned, not mined, not charged."""
    backend = Backend(lambda _: response_bytes(status, b"boom"))
    async with bench(redis_url, backend=backend) as b:
        body = request_body(signed_request(b.chain))
        assert await refusal(b, body) == (status, "backend service error")
        assert not await b.logged()
        [context] = b.relayer._book.contexts()
        [budget] = context.budgets.values()
        assert budget.left_upokt == 200 * context.cost_upokt


async def test_a_backend_that_hangs_is_502_within_its_time(redis_url: str) -> None:
    """Step 21: one budget of time for the whole exchange."""
    configure = partial(settings, service={"request_timeout_seconds": 0.3})
    backend = Backend(lambda _: b"HTTP/1.1 200 OK\r\n")
    async with bench(redis_url, backend=backend, configure=configure) as b:
        body = request_body(signed_request(b.chain))
        assert await refusal(b, body) == (502, "backend error")
        assert not await b.logged()


async def test_a_header_that_no_envelope_can_carry_is_500(redis_url: str) -> None:
    """Step 23: backend headers must be UTF-8."""
    backend = Backend(lambda _: response_bytes(200, b"{}", headers=[(b"X-Bad", b"\xff\xfe")]))
    async with bench(redis_url, backend=backend) as b:
        body = request_body(signed_request(b.chain))
        assert await refusal(b, body) == (500, "failed to sign response")
        assert not await b.logged()


async def test_a_log_that_is_away_is_503_and_refunded(redis_url: str) -> None:
    """Promise 1: what is not logged is not answered."""
    async with bench(redis_url) as b:
        await still_serves(b)
        await b.redis.command("DEL", b.names.stream_key(b.chain.supplier_keys[0].address))
        await b.redis.command("SET", b.names.stream_key(b.chain.supplier_keys[0].address), "x")
        body = request_body(signed_request(b.chain))
        assert await refusal(b, body) == (503, "relay log unavailable")
        [context] = b.relayer._book.contexts()
        [budget] = context.budgets.values()
        assert budget.left_upokt == 199 * context.cost_upokt
