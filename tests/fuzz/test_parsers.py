"""Parsers survive whatever they are fed: an error of their own or a value, soon, nothing else."""

from __future__ import annotations

import hashlib

import pytest

from relayminer.net.errors import NetError, WireError
from relayminer.net.http1 import HttpLimits, RequestReader
from relayminer.net.response import ResponseParser
from relayminer.protocol import codec
from relayminer.protocol.envelope import decode_http_request, decode_http_response
from relayminer.protocol.errors import ProtocolError
from relayminer.protocol.mined_relay import decode_mined_relay
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.relay import check_request, request_hash
from relayminer.protocol.ring import parse_ring_signature, verify_ring_signature
from relayminer.smst import decode_proof, verify_closest_proof
from relayminer.smst.errors import SmstError
from tests.fuzz import corpora
from tests.fuzz.campaign import async_campaign, campaign, inputs
from tests.fuzz.mutate import Mutator

pytestmark = pytest.mark.timeout(1_800)  # the full counts take their time

DIGEST = hashlib.sha256(b"digest").digest()


class Pieces:
    """A wire that hands out its bytes in pieces, then ends."""

    def __init__(self, data: bytes, size: int) -> None:
        self._rest = data
        self._size = size
        self.expires_at = 0.0
        self.expired = False

    async def receive(self, limit: int = 0) -> bytes:
        """The next piece."""
        del limit
        piece, self._rest = self._rest[: self._size], self._rest[self._size :]
        return piece

    async def send(self, data: bytes) -> None:
        """Nobody reads it."""

    def is_stale(self) -> bool:
        """Never."""
        return False

    def expire(self) -> None:
        """Nobody waits."""

    def close(self) -> None:
        """Nothing is open."""


async def read_requests(data: bytes) -> None:
    """All requests of a connection."""
    size = 1 + len(data) // 3 if len(data) % 2 else 65_536
    reader = RequestReader(Pieces(data, size), HttpLimits(max_body_bytes=10_000))
    while (request := await reader.next()) is not None:
        assert len(request.body) <= 10_000
        assert all(name == name.lower() for name, _ in request.headers)


async def test_http_requests(*, soak: bool) -> None:
    """The head and body of requests: refused with a status, or a request."""
    mutator = Mutator("http requests", corpora.http_requests(), corpora.HTTP_WORDS)
    good = await async_campaign(
        mutator, read_requests, count=inputs(soak), allowed=(NetError, WireError)
    )
    assert good


def read_answer(data: bytes) -> None:
    """An answer of a backend, in two pieces."""
    parser = ResponseParser()
    parser.reset(max_body_bytes=10_000, head_only=False)
    half = len(data) // 2
    for piece in (data[:half], data[half:]):
        if piece and not parser.complete:
            parser.feed(piece)
    if not parser.complete:
        parser.end()


def test_http_answers(*, soak: bool) -> None:
    """What a sick backend sends: an error of the client, or an answer."""
    mutator = Mutator("http answers", corpora.http_answers(), corpora.HTTP_WORDS)
    assert campaign(mutator, read_answer, count=inputs(soak), allowed=(NetError,))


def read_relay(data: bytes) -> None:
    """A relay request as the engine reads it, up to the signature."""
    request = codec.decode(RelayRequest, data)
    decode_http_request(request.payload)
    request_hash(request)
    assert codec.decode(RelayRequest, codec.encode(request)) == request
    check_request(request)


def test_relay_requests(*, soak: bool) -> None:
    """Protobuf of strangers: refused, or a message that is itself when written again."""
    mutator = Mutator("relay requests", corpora.relays(), (b"\x0a", b"\x12", b"\x1a", b"\xe2\x28"))
    assert campaign(mutator, read_relay, count=inputs(soak), allowed=(ProtocolError,))


def read_envelopes(data: bytes) -> None:
    """A payload, and what the same bytes are as an answer and as a log entry."""
    for read in (decode_http_request, decode_http_response, decode_mined_relay):
        try:
            read(data)
        except ProtocolError:
            continue


def test_envelopes(*, soak: bool) -> None:
    """POKTHTTP requests and responses, and log entries."""
    mutator = Mutator("envelopes", corpora.envelopes(), (b"\x0a", b"\x12\x00", b"\x22"))
    assert campaign(mutator, read_envelopes, count=inputs(soak), allowed=())


def read_proof(data: bytes) -> None:
    """A proof, unfolded and verified."""
    proof = decode_proof(data).decompact()
    proof.validate()
    assert not verify_closest_proof(proof, b"\x01" * 48)


def test_proofs(*, soak: bool) -> None:
    """Go's gob: refused, or a proof that does not prove another root."""
    mutator = Mutator("proofs", corpora.proofs(), (b"\xfe", b"\xf8", b"\x01\x01"))
    campaign(mutator, read_proof, count=inputs(soak), allowed=(SmstError,))


def verify_ring(data: bytes) -> None:
    """A ring signature, verified against a message that it is not of."""
    assert not verify_ring_signature(DIGEST, parse_ring_signature(data))


def test_ring_signatures(*, soak: bool) -> None:
    """Refused, or a ring that does not close over another message."""
    mutator = Mutator("ring signatures", corpora.ring_signatures(), (b"\x02", b"\x03"))
    assert campaign(mutator, verify_ring, count=inputs(soak), allowed=(ProtocolError,))
