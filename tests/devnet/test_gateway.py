"""The gateway client against a relayer that is honest, or not."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.devnet.gateway import Gateway, RelayRecord, served
from relayminer.devnet.http_client import HttpClient
from relayminer.devnet.http_message import HttpRequest, HttpResponse
from relayminer.gateway.chain import Endpoint, GatewayChain, OpenSession
from relayminer.gateway.relays import jsonrpc_payload
from relayminer.protocol.codec import decode, encode
from relayminer.protocol.pb import http_pb2, service_pb2, session_pb2, shared_pb2
from relayminer.protocol.relay import sign_response
from relayminer.protocol.ring import check_ring_signature
from relayminer.protocol.signature import SigningKey
from tests.devnet.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.devnet.server import Devnet

APPLICATION, GATEWAY, SUPPLIER = (SigningKey.from_seed(bytes([number])) for number in (1, 2, 3))
RING = (APPLICATION.public_key, GATEWAY.public_key)
HEADER = session_pb2.SessionHeader(
    application_address=APPLICATION.address,
    service_id="svc",
    session_id="ab" * 32,
    session_start_block_height=11,
    session_end_block_height=20,
)


def session(url: str) -> OpenSession:
    """A session with one supplier at `url`."""
    endpoint = Endpoint(SUPPLIER.address, url, SUPPLIER.public_key)
    return OpenSession(HEADER, 10, RING, {SUPPLIER.address: endpoint})


class Relayer:
    """Answers every relay with a signed payload, after `spoil` had its way with it."""

    def __init__(
        self,
        status: int = 200,
        spoil: Callable[[service_pb2.RelayResponse], None] = lambda _response: None,
    ) -> None:
        self.status = status
        self.spoil = spoil
        self.requests: list[tuple[HttpRequest, service_pb2.RelayRequest]] = []

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """A signed answer."""
        relay = decode(service_pb2.RelayRequest, request.body)
        self.requests.append((request, relay))
        backend = http_pb2.POKTHTTPResponse(status_code=self.status, body_bz=b"pong")
        response = sign_response(relay.meta.session_header, backend.SerializeToString(), SUPPLIER)
        self.spoil(response)
        return HttpResponse(200, (), encode(response))


async def relay(relayer: Relayer, key: SigningKey = GATEWAY) -> RelayRecord:
    """One relay through `relayer`."""
    async with serving(relayer.answer) as url, HttpClient() as http:
        gateway = Gateway(key, http)
        return await gateway.relay(session(url), SUPPLIER.address, jsonrpc_payload())


@pytest.mark.parametrize("key", [GATEWAY, APPLICATION])
async def test_a_relay_is_signed_and_its_answer_checked(key: SigningKey) -> None:
    """The request verifies against the ring and arrives as gateways send it; the answer counts."""
    relayer = Relayer()
    record = await relay(relayer, key)
    assert (record.ok, record.error, record.status, record.body) == (True, "", 200, b"pong")
    assert record.session_id == HEADER.session_id
    [(request, message)] = relayer.requests
    check_ring_signature(message, frozenset(RING))
    assert request.method == "POST"
    assert request.header("rpc-type") == str(shared_pb2.JSON_RPC)
    assert message.meta.supplier_operator_address == SUPPLIER.address
    call = decode(http_pb2.POKTHTTPRequest, message.payload)
    assert call.method == "POST"
    assert list(call.header["Content-Type"].values) == ["application/json"]


async def test_every_request_is_fresh() -> None:
    """Two requests of the same payload carry different signatures, so both are paid."""
    relayer = Relayer()
    async with serving(relayer.answer) as url, HttpClient() as http:
        gateway = Gateway(GATEWAY, http)
        one, two = (gateway.sign(session(url), SUPPLIER.address, b"x") for _ in range(2))
    assert one != two


def drop_signature(response: service_pb2.RelayResponse) -> None:
    """No signature."""
    response.meta.supplier_operator_signature = b""


def sign_by_another(response: service_pb2.RelayResponse) -> None:
    """Signed by the gateway instead of the supplier."""
    other = sign_response(HEADER, response.payload, GATEWAY)
    response.CopyFrom(other)


def change_payload(response: service_pb2.RelayResponse) -> None:
    """A payload that is not the signed one."""
    response.payload = http_pb2.POKTHTTPResponse(status_code=200).SerializeToString()


def change_session(response: service_pb2.RelayResponse) -> None:
    """A valid answer for another session."""
    header = session_pb2.SessionHeader()
    header.CopyFrom(HEADER)
    header.session_id = "cd" * 32
    response.CopyFrom(sign_response(header, response.payload, SUPPLIER))


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (drop_signature, "signature"),
        (sign_by_another, "does not verify"),
        (change_payload, "payload hash"),
        (change_session, "another session"),
    ],
)
async def test_dishonest_answers(
    spoil: Callable[[service_pb2.RelayResponse], None], error: str
) -> None:
    """An answer that is not the supplier's own, for this session and payload, does not count."""
    record = await relay(Relayer(spoil=spoil))
    assert not record.ok
    assert error in record.error


async def test_backend_errors_do_not_count_as_served() -> None:
    """A signed answer that carries a backend's error is told as such."""
    record = await relay(Relayer(status=404))
    assert (record.ok, record.status, record.error) == (False, 404, "backend answered 404")


async def test_relayers_that_refuse_hang_or_are_not_there() -> None:
    """Transport troubles end in the record, never in an exception."""

    async def refuse(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(503, (), b'{"error":"no"}')

    async def hang(_request: HttpRequest) -> HttpResponse:
        await trio.sleep_forever()

    async with HttpClient() as http:
        gateway = Gateway(GATEWAY, http, timeout_seconds=0.05)
        async with serving(refuse) as url:
            record = await gateway.relay(session(url), SUPPLIER.address, b"")
            assert record.error == 'HTTP 503: {"error":"no"}'
        record = await gateway.relay(session(url), SUPPLIER.address, b"")
        assert record.error.startswith("relayer not reached")
        async with serving(hang) as url:
            record = await gateway.relay(session(url), SUPPLIER.address, b"")
            assert record.error == "no answer within 0.05 s"
        record = await gateway.relay(session(url), GATEWAY.address, b"")
        assert "has no JSON-RPC endpoint" in record.error


async def test_many_relays() -> None:
    """All are sent, several at once, and what was served is counted by session and supplier."""
    relayer = Relayer()
    async with serving(relayer.answer) as url, HttpClient() as http:
        gateway = Gateway(GATEWAY, http)
        targets = [(session(url), SUPPLIER.address), (session(url), "pokt1nobody")]
        records = await gateway.send_many(targets, 21, concurrency=4)
    assert len(records) == 21
    assert len(relayer.requests) == 11
    assert served(records) == {(HEADER.session_id, SUPPLIER.address): 11}
    payloads = {sha256(message.payload).digest() for _, message in relayer.requests}
    assert len(payloads) == 11


async def test_a_relay_in_a_session_of_the_chain(devnet: Devnet) -> None:
    """A session opened on the devnet carries relays whose rings its own application allows."""
    application, gateway_party = devnet.info.applications[0], devnet.info.gateways[0]
    keys = {party.address: SigningKey(party.secret) for party in devnet.info.suppliers}
    requests: list[service_pb2.RelayRequest] = []

    async def answer(request: HttpRequest) -> HttpResponse:
        message = decode(service_pb2.RelayRequest, request.body)
        requests.append(message)
        key = keys[message.meta.supplier_operator_address]
        payload = http_pb2.POKTHTTPResponse(status_code=200, body_bz=b"pong").SerializeToString()
        return HttpResponse(
            200, (), encode(sign_response(message.meta.session_header, payload, key))
        )

    async with (
        serving(answer) as url,
        HttpClient() as http,
        GatewayChain(devnet.info.grpc_url) as chain,
    ):
        opened = await chain.open_session(application.service_ids[0], application.address)
        gateway = Gateway(SigningKey(gateway_party.secret), http)
        targets = [(opened, supplier) for supplier in opened.endpoints]
        records = await gateway.send_many(targets, 6, url=url)
    assert [record.error for record in records] == [""] * 6
    assert {record.supplier for record in records} == set(keys)
    members = {SigningKey(party.secret).public_key for party in (application, gateway_party)}
    for message in requests:
        check_ring_signature(message, frozenset(members))
