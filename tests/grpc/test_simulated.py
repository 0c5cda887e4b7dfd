"""Simulated relays as gRPC calls (relayer.md 11): really signed, never kept, with gRPC's codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from relayminer.net.http1 import response_bytes
from tests.grpc.kit import called, checked, refused, serving
from tests.relayer.kit import SERVICE, Backend, request_body, signed_request
from tests.simulation.test_admission import (
    IDENTITY,
    configured,
    counted,
    header,
    no_supplier,
    simulated_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Code = grpc.StatusCode
PROBE = (("pocket-simulation-key-id", "probe"),)


async def test_it_is_signed_and_leaves_no_trace(redis_url: str) -> None:
    """The backend's answer, the supplier's signature; no log, no ordinary counter."""
    async with serving(redis_url, configure=configured()) as b:
        answer = await called(b.address, simulated_request(b.chain), PROBE)
        assert checked(b, answer).status == 200
        assert counted(b, "success") == 1
        assert await b.logged() == []
        assert b.value("ha_relayer_grpc_relays_total", service_id=SERVICE) == 0


async def test_the_metadata_means_nothing_while_the_feature_is_off(redis_url: str) -> None:
    """An ordinary relay stays one."""
    async with serving(redis_url) as b:
        body = request_body(signed_request(b.chain))
        assert checked(b, await called(b.address, body, PROBE)).status == 200
        assert len(await b.logged()) == 1


REFUSED: list[tuple[Callable[..., Any] | None, str, Any, str]] = [
    (None, "nobody", Code.PERMISSION_DENIED, "simulation rejected: simulation: unknown key_id"),
    (
        header(application_address="pokt1x"),
        "probe",
        Code.PERMISSION_DENIED,
        "simulation rejected: simulation: ",
    ),
    (
        header(session_id="no such form"),
        "probe",
        Code.INVALID_ARGUMENT,
        "simulation rejected: simulation: malformed synthetic session id",
    ),
    (
        header(session_id="simv1:1:old"),
        "probe",
        Code.PERMISSION_DENIED,
        "simulation rejected: simulation: request timestamp outside freshness window",
    ),
    (
        header(service_id="nowhere"),
        "probe",
        Code.NOT_FOUND,
        "unknown service: nowhere",
    ),
    (
        no_supplier,
        "probe",
        Code.INVALID_ARGUMENT,
        "missing supplier operator address in RelayRequest",
    ),
]


@pytest.mark.parametrize(("change", "key_id", "code", "words"), REFUSED)
async def test_refusals(
    redis_url: str, change: Callable[..., Any] | None, key_id: str, code: Any, words: str
) -> None:
    """Each with its code; steps 2 to 6 of 4.2 come first."""
    async with serving(redis_url, configure=configured()) as b:
        body = simulated_request(b.chain, change=change)
        metadata = (("pocket-simulation-key-id", key_id),)
        got, said = await refused(b.address, body, metadata=metadata)
        assert got is code
        assert said.startswith(words)


async def test_the_same_request_twice(redis_url: str) -> None:
    """`ALREADY_EXISTS`."""
    async with serving(redis_url, configure=configured()) as b:
        body = simulated_request(b.chain)
        await called(b.address, body, PROBE)
        code, words = await refused(b.address, body, metadata=PROBE)
        assert code is Code.ALREADY_EXISTS
        assert words == "simulation rejected: simulation: request already seen (replay)"


async def test_too_many_a_second_and_too_many_at_once(redis_url: str) -> None:
    """Both are `RESOURCE_EXHAUSTED`, in words of their own."""
    slow = IDENTITY.__class__(
        key_id="probe",
        enabled=True,
        app_pubkey_hex=IDENTITY.app_pubkey_hex,
        gateway_pubkeys_hex=IDENTITY.gateway_pubkeys_hex,
        max_rps=1,
    )
    async with serving(redis_url, configure=configured(slow)) as b:
        await called(b.address, simulated_request(b.chain), PROBE)
        assert await refused(b.address, simulated_request(b.chain), metadata=PROBE) == (
            Code.RESOURCE_EXHAUSTED,
            "simulation rate limit reached",
        )


@pytest.mark.parametrize(
    ("backend", "metadata", "words"),
    [
        (
            Backend(lambda _: response_bytes(502, b"{}")),
            PROBE,
            "backend service error: HTTP 502",
        ),
        (Backend(lambda _: b""), PROBE, "backend error: it could not be reached"),
        (Backend(), (*PROBE, ("rpc-type", "4")), "backend unavailable"),
    ],
    ids=["5xx", "unreachable", "none"],
)
async def test_backends_that_fail(
    redis_url: str, backend: Backend, metadata: tuple[tuple[str, str], ...], words: str
) -> None:
    """`UNAVAILABLE`, and nothing is signed."""
    async with serving(redis_url, configure=configured(), backend=backend) as b:
        answer = await refused(b.address, simulated_request(b.chain), metadata=metadata)
        assert answer == (Code.UNAVAILABLE, words)
