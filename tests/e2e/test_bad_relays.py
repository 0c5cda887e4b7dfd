"""Relays that break a rule, sent to a real `relayminer run`: refused with the documented status.

And afterwards the next relay is served, and nothing of them is kept.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from relayminer.protocol.codec import decode, encode
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.relay import request_hash
from relayminer.protocol.signature import SigningKey
from tests.e2e.hostile import Signer, answer_to, connect, message, post, signer, still_serves
from tests.grpc.client import METHOD, framed
from tests.grpc.client import connect as http2_connect

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = pytest.mark.e2e

GROWTH_KIB = 6_000
FORGERIES = 300
FORGERIES_SOAK = 2_000
WARM_FORGERIES = 20
GRPC_PERMISSION_DENIED = 7
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
BLOCKS_BEYOND = 12
"""More than what is left of a session of ten blocks and its grace period of one."""


async def test_a_body_that_is_no_relay_is_400(node: Node) -> None:
    """Empty, garbage, JSON, and a relay cut at any place."""
    good = (await signer(node)).body()
    bodies = [b"", b"\xff" * 100, b'{"jsonrpc":"2.0"}', b"\x0a\xff\xff\xff\xff\x0f" + good]
    bodies += [good[:cut] for cut in range(1, len(good) - 1, 7)]
    for body in bodies:
        response = await answer_to(node, post(body))
        # Cut between two fields it still decodes; then it is the signature that is missing.
        assert response.status in {400, 403}, body
        assert message(response)
    await still_serves(node)


async def test_a_relay_that_breaks_a_rule_is_refused(node: Node) -> None:
    """Wrong ring, supplier, service, session: each with its status, and nothing is logged."""
    signing = await signer(node)
    stranger = SigningKey.from_seed(b"stranger")

    def renamed(request: RelayRequest) -> None:
        request.meta.session_header.service_id = 'no "such" service'

    def orphaned(request: RelayRequest) -> None:
        request.meta.supplier_operator_address = ""

    def moved(request: RelayRequest) -> None:
        request.meta.supplier_operator_address = stranger.address

    def from_the_future(request: RelayRequest) -> None:
        request.meta.session_header.session_start_block_height += 1_000_000
        request.meta.session_header.session_end_block_height += 1_000_000

    def elsewhere(request: RelayRequest) -> None:
        request.meta.session_header.session_id = "0" * 64

    ring = (stranger.public_key, *signing.session.ring[1:])
    cases = [
        (signing.body(ring=ring, key=stranger), 403),
        (signing.body(change=renamed), 404),
        (signing.body(change=orphaned), 400),
        (signing.body(change=moved), 503),
        (signing.body(change=from_the_future), 400),
        (signing.body(change=elsewhere), 403),
    ]
    for body, status in cases:
        response = await answer_to(node, post(body))
        assert response.status == status, message(response)
    await still_serves(node)


async def test_forged_signatures_are_403_and_leave_nothing(node: Node, *, soak: bool) -> None:
    """Thousands of them, each different: all refused, memory flat, none answered or logged."""
    signing = await signer(node)
    dice = random.Random(2)  # noqa: S311 - forgeries, but the same every time
    warm = forged(signing, dice, 0)
    for _ in range(20):
        assert (await answer_to(node, post(warm))).status == 403
    before = node.rss_kib()
    async with connect(node) as client:
        for number in range(FORGERIES_SOAK if soak else FORGERIES):
            await client.say(post(forged(signing, dice, number)))
            response = await client.answer()
            assert response.status == 403, (number, response.body)
            assert message(response).startswith("relay validation failed: ring signature")
        assert node.rss_kib() - before < GROWTH_KIB
    await still_serves(node)


async def test_forged_signatures_over_http2_leave_nothing(node: Node, *, soak: bool) -> None:
    """As calls, as plain requests and as gRPC-Web, in turn over one connection: all refused."""
    signing = await signer(node)
    dice = random.Random(3)  # noqa: S311 - forgeries, but the same every time
    client = await http2_connect(("127.0.0.1", node.port))
    web = [("content-type", "application/grpc-web")]
    before = 0
    for number in range(FORGERIES_SOAK if soak else FORGERIES):
        body = forged(signing, dice, number)
        if number % 3 == 0:
            answer = await client.answer(await client.call(body))
            code, words = answer.grpc
            assert code == GRPC_PERMISSION_DENIED, (number, words)
            assert words.startswith("relay validation failed: ring signature")
        elif number % 3 == 1:
            answer = await client.answer(await client.post(body))
            assert answer.status == "403", number
        else:
            answer = await client.answer(await client.post(framed(body), METHOD, web))
            assert b"grpc-status: %d\r\n" % GRPC_PERMISSION_DENIED in answer.body, number
        client.answers.clear()
        if number == WARM_FORGERIES:
            before = node.rss_kib()
    assert node.rss_kib() - before < GROWTH_KIB
    await client.aclose()
    await still_serves(node)


def forged(signing: Signer, dice: random.Random, number: int) -> bytes:
    """A relay whose signature is right but for one thing."""
    request = decode(RelayRequest, signing.body(number))
    signature = bytearray(request.meta.signature)
    place = dice.randrange(len(signature))
    match number % 4:
        case 0:
            signature[place] ^= 1 << dice.randrange(8)
        case 1:
            signature = signature[:place]
        case 2:
            signature[-32:] = (SECP256K1_ORDER + dice.randrange(1 << 100)).to_bytes(32, "big")
        case _:
            signature[36:69] = dice.randbytes(33)
    request.meta.signature = bytes(signature)
    return encode(request)


async def test_a_relay_that_was_changed_after_signing_is_403(node: Node) -> None:
    """Not one byte of what was signed may differ."""
    signing = await signer(node)
    request = decode(RelayRequest, signing.body())
    digest = request_hash(request)
    request.payload = request.payload.replace(b"eth_", b"ETH_")
    assert request_hash(request) != digest
    response = await answer_to(node, post(encode(request)))
    assert response.status == 403
    await still_serves(node)


async def test_an_expired_session_is_403(node: Node) -> None:
    """A relay that was good is refused after the grace period; the next session is served."""
    signing = await signer(node)
    assert (await answer_to(node, post(signing.body()))).status == 200
    node.catch_up(node.step(BLOCKS_BEYOND))
    response = await answer_to(node, post(signing.body(2)))
    assert response.status == 403
    assert "session expired" in message(response)
    await still_serves(node)
