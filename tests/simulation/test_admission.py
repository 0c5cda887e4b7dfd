"""Simulated relays over HTTP: who is served, and that nothing is kept (relayer.md 11)."""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from relayminer.config.simulation import SimulatedIdentitySettings, SimulationSettings
from relayminer.net.http1 import response_bytes
from relayminer.protocol import codec
from relayminer.protocol.envelope import decode_http_response
from relayminer.protocol.pb.service_pb2 import RelayRequest, RelayResponse
from relayminer.protocol.relay import response_hash
from relayminer.protocol.signature import SigningKey, verify_signature
from relayminer.state.errors import StoreAwayError
from tests.relayer.client import connect, error_of
from tests.relayer.kit import SERVICE, Backend, Bench, SmallChain, bench, settings, signed_request
from tests.streaming.backend import StreamBackend, Upstream, read_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.net.response import Response

APPLICATION = SigningKey.from_seed(b"simulated application")
GATEWAY = SigningKey.from_seed(b"simulated gateway")
_NONCES = itertools.count()

IDENTITY = SimulatedIdentitySettings(
    key_id="probe",
    enabled=True,
    app_pubkey_hex=APPLICATION.public_key.hex(),
    gateway_pubkeys_hex=(GATEWAY.public_key.hex(),),
    max_rps=100,
)


def configured(
    *identities: SimulatedIdentitySettings, max_concurrent: int = 32, **more: Any
) -> Callable[[str], Any]:
    """Settings with the feature on."""
    simulation = SimulationSettings(
        enabled=True, max_concurrent=max_concurrent, identities=identities or (IDENTITY,)
    )
    return partial(settings, simulation=simulation, **more)


def simulated_request(
    chain: SmallChain,
    *,
    session_id: str | None = None,
    ring: list[SigningKey] | None = None,
    change: Callable[[RelayRequest], None] | None = None,
    supplier: str | None = None,
) -> bytes:
    """A simulated relay, fresh and signed by the pinned gateway."""

    def make(request: RelayRequest) -> None:
        header = request.meta.session_header
        header.application_address = APPLICATION.address
        nonce = f"{next(_NONCES):016x}"
        header.session_id = (
            f"simv1:{int(time.time())}:{nonce}" if session_id is None else session_id
        )
        header.session_start_block_height, header.session_end_block_height = 1, 2
        if change is not None:
            change(request)

    keys = ring or [APPLICATION, GATEWAY]
    request = signed_request(
        chain,
        change=make,
        ring=[key.public_key for key in keys],
        signer=keys[-1],
        supplier=supplier,
    )
    return codec.encode(request)


async def ask(b: Bench, body: bytes, key_id: bytes = b"probe") -> Response:
    """The answer to a simulated relay."""
    client = await connect(b.address)
    answer = await client.send(body, [(b"Pocket-Simulation-Key-Id", key_id)])
    client.wire.close()
    return answer


def counted(b: Bench, result: str) -> float:
    """Simulated relays of our supplier with this result."""
    return b.value(
        "ha_relayer_simulated_relays_total",
        transport="jsonrpc",
        service=SERVICE,
        supplier=b.chain.supplier_keys[0].address,
        result=result,
    )


async def test_a_simulated_relay_is_really_signed_and_leaves_no_trace(redis_url: str) -> None:
    """The backend's answer, the supplier's signature; no meter, no log, no ordinary counter."""
    async with bench(redis_url, configure=configured()) as b:
        answer = await ask(b, simulated_request(b.chain))
        assert answer.status == 200
        assert answer.header(b"content-type") == b"application/json"
        response = codec.decode(RelayResponse, answer.body)
        assert verify_signature(
            b.chain.supplier_keys[0].public_key,
            response_hash(response),
            response.meta.supplier_operator_signature,
        )
        assert decode_http_response(response.payload).status == 200
        assert counted(b, "success") == 1
        assert not await b.logged()
        assert not b.relayer._book.contexts()
        assert not b.chain.asked
        labels = {"service_id": SERVICE, "rpc_type": "jsonrpc"}
        assert not b.value("ha_relayer_relays_received_total", **labels)
        assert not b.value("ha_relayer_relays_served_total", **labels, status_code="200")


async def test_the_header_means_nothing_while_the_feature_is_off(redis_url: str) -> None:
    """It is a relay like any other then: of a session that does not exist."""
    async with bench(redis_url) as b:
        answer = await ask(b, simulated_request(b.chain))
        assert answer.status == 403
        assert error_of(answer).startswith("relay validation failed")


async def test_an_empty_header_is_no_simulation(redis_url: str) -> None:
    """A good ordinary relay with it is served and logged."""
    async with bench(redis_url, configure=configured()) as b:
        answer = await ask(b, codec.encode(signed_request(b.chain)), key_id=b"")
        assert answer.status == 200
        assert len(await b.logged()) == 1


def header(**fields: Any) -> Callable[[RelayRequest], None]:
    """Set fields of the session header."""

    def change(request: RelayRequest) -> None:
        for name, value in fields.items():
            setattr(request.meta.session_header, name, value)

    return change


def no_supplier(request: RelayRequest) -> None:
    """Take the supplier away."""
    request.meta.supplier_operator_address = ""


STRANGER = SigningKey.from_seed(b"stranger")
OTHERS = (
    IDENTITY,
    attrs.evolve(IDENTITY, key_id="off", enabled=False),
    attrs.evolve(IDENTITY, key_id="past", not_after="2020-01-01T00:00:00Z"),
    attrs.evolve(IDENTITY, key_id="elsewhere", allowed_services=("other",)),
)


@pytest.mark.parametrize(
    ("key_id", "make", "status", "text", "result"),
    [
        (b"nobody", {}, 403, "unknown key_id", "verify_failed"),
        (b"off", {}, 403, "identity disabled", "verify_failed"),
        (b"past", {}, 403, "identity expired (not_after)", "verify_failed"),
        (
            b"probe",
            {"change": no_supplier},
            400,
            "supplier operator address required",
            "supplier_not_loaded",
        ),
        (
            b"probe",
            {"supplier": STRANGER.address},
            403,
            "supplier signing key not loaded on this relayer",
            "supplier_not_loaded",
        ),
        (
            b"probe",
            {"change": header(session_start_block_height=5)},
            403,
            "ring signature verification failed: ",
            "verify_failed",
        ),
        (
            b"probe",
            {"change": header(application_address=STRANGER.address)},
            403,
            "request application address does not match pinned identity",
            "identity_mismatch",
        ),
        (
            b"elsewhere",
            {},
            403,
            "service not allowed for this identity",
            "service_not_allowed",
        ),
        (b"probe", {"session_id": "simv1:x:1"}, 400, "malformed synthetic", "verify_failed"),
        (b"probe", {"session_id": "simv1:1:1:1"}, 400, "malformed synthetic", "verify_failed"),
        (b"probe", {"session_id": "simv1:1:"}, 400, "malformed synthetic", "verify_failed"),
        (
            b"probe",
            {"session_id": f"simv1:{int(time.time()) - 3600}:1"},
            403,
            "request timestamp outside freshness window",
            "verify_failed",
        ),
        (
            b"probe",
            {"ring": [APPLICATION, STRANGER]},
            403,
            "ring signature verification failed: ",
            "verify_failed",
        ),
    ],
)
async def test_refusals(
    redis_url: str, key_id: bytes, make: dict[str, Any], status: int, text: str, result: str
) -> None:
    """Rows 1 to 13 of the table: status, text, label; the backend hears of none."""
    async with bench(redis_url, configure=configured(*OTHERS)) as b:
        answer = await ask(b, simulated_request(b.chain, **make), key_id)
        assert answer.status == status
        assert error_of(answer).startswith(f"simulation rejected: simulation: {text}")
        total = b.metrics.registry.get_sample_value
        supplier = b.chain.supplier_keys[0].address
        known = "change" not in make or make["change"] is not no_supplier
        known = known and "supplier" not in make
        assert (
            total(
                "ha_relayer_simulated_relays_total",
                {
                    "transport": "jsonrpc",
                    "service": SERVICE,
                    "supplier": supplier if known else "unknown",
                    "result": result,
                },
            )
            == 1
        )
        assert not b.backend.requests
        assert not await b.logged()


async def test_an_unknown_service_is_404(redis_url: str) -> None:
    """Over HTTP step 5 says so before anything is simulated."""
    async with bench(redis_url, configure=configured()) as b:
        body = simulated_request(b.chain, change=header(service_id="other"))
        answer = await ask(b, body)
        assert answer.status == 404


async def test_the_same_request_twice_is_409(redis_url: str) -> None:
    """Through a second relayer on the same store, too."""
    async with bench(redis_url, configure=configured()) as b:
        body = simulated_request(b.chain)
        assert (await ask(b, body)).status == 200
        for _ in range(2):
            answer = await ask(b, body)
            assert answer.status == 409
            assert error_of(answer) == (
                "simulation rejected: simulation: request already seen (replay)"
            )
        assert counted(b, "replay_rejected") == 2
        assert len(b.backend.requests) == 1


async def test_junk_is_not_marked(redis_url: str) -> None:
    """K-37: a bad signature neither fills the store nor stands in the good one's way."""
    async with bench(redis_url, configure=configured()) as b:
        good = codec.decode(RelayRequest, simulated_request(b.chain))
        forged = RelayRequest()
        forged.CopyFrom(good)
        forged.payload += b"\x22\x00"
        assert (await ask(b, codec.encode(forged))).status == 403
        assert not await b.redis.command("KEYS", "*sim:replay*")
        assert (await ask(b, codec.encode(good))).status == 200
        [key] = await b.redis.command("KEYS", "*sim:replay*")
        assert 0 < await b.redis.command("TTL", key) <= 60


async def test_without_the_store_it_is_503(redis_url: str) -> None:
    """Whether it is a replay cannot be known: it fails closed."""
    async with bench(redis_url, configure=configured()) as b:
        simulated = b.relayer.engine.simulated
        assert simulated is not None

        class Away:
            async def mark(self, signature_hash: str, seconds: int) -> bool:
                del signature_hash, seconds
                raise StoreAwayError("away", maybe_executed=False)

        simulated.simulator._marks = Away()
        answer = await ask(b, simulated_request(b.chain))
        assert answer.status == 503
        assert error_of(answer) == (
            "simulation rejected: simulation: replay dedup store unavailable"
        )


async def test_the_rate_of_an_identity_is_bounded(redis_url: str) -> None:
    """As many at once as a second allows, then 429; another identity is not hindered."""
    slow = attrs.evolve(IDENTITY, max_rps=2)
    other = attrs.evolve(IDENTITY, key_id="other", max_rps=2)
    async with bench(redis_url, configure=configured(slow, other)) as b:
        answers = [await ask(b, simulated_request(b.chain)) for _ in range(4)]
        statuses = [answer.status for answer in answers]
        assert statuses[:2] == [200, 200]
        assert 429 in statuses
        refused = answers[statuses.index(429)]
        assert error_of(refused) == "simulation rate limit reached"
        assert (await ask(b, simulated_request(b.chain), b"other")).status == 200


async def test_no_more_than_so_many_at_once(redis_url: str) -> None:
    """The place is held until the answer."""
    release = trio.Event()
    backend = Backend(release=release)
    async with bench(redis_url, backend=backend, configure=configured(max_concurrent=1)) as b:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, b, simulated_request(b.chain))
            with trio.fail_after(2):
                while not backend.requests:
                    await trio.lowlevel.checkpoint()
            answer = await ask(b, simulated_request(b.chain))
            assert answer.status == 429
            assert error_of(answer) == "simulation concurrency limit reached"
            release.set()
        assert (await ask(b, simulated_request(b.chain))).status == 200


@pytest.mark.parametrize("status", [500, 503])
async def test_a_backend_error_is_passed_on_and_forgotten(redis_url: str, status: int) -> None:
    """One attempt; the breaker hears nothing, however often."""
    backend = Backend(lambda _: response_bytes(status, b"boom"))
    async with bench(redis_url, backend=backend, configure=configured()) as b:
        for _ in range(8):
            answer = await ask(b, simulated_request(b.chain))
            assert answer.status == status
            assert error_of(answer) == "backend service error"
        assert len(backend.requests) == 8
        assert counted(b, "backend_error") == 8
        pool = b.relayer.backends.routes[SERVICE].by_type["jsonrpc"].pool
        assert pool is not None
        assert pool.endpoints[0].failures == 0


async def test_an_unreachable_backend_is_502(redis_url: str) -> None:
    """Transport error: the same text as for a relay."""

    def configure(url: str) -> Any:
        del url
        return configured()("http://127.0.0.1:1")

    async with bench(redis_url, configure=configure) as b:
        answer = await ask(b, simulated_request(b.chain))
        assert answer.status == 502
        assert error_of(answer) == "backend error"


async def test_a_simulated_stream(redis_url: str) -> None:
    """Signed batches with the delimiter; streaming counters of bytes move, nothing is logged."""

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"data: 1\n\n")
        await upstream.end()

    async with bench(redis_url, backend=StreamBackend(script), configure=configured()) as b:
        client = await connect(b.address)
        body = simulated_request(b.chain)
        await client.wire.send(
            b"POST / HTTP/1.1\r\nPocket-Simulation-Key-Id: probe\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        stream = await read_stream(client)
        client.wire.close()
        assert stream.is_complete
        assert stream.body == b"data: 1\n\n"
        stream.batches[-1].check(b.chain.supplier_keys[0])
        assert counted(b, "success") == 1
        assert b.value("ha_relayer_streaming_batches_signed_total") == 1
        assert not b.value("ha_relayer_streaming_relays_served_total", service_id=SERVICE)
        assert not await b.logged()
