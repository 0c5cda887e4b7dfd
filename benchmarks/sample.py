"""Relays of the usual size and shape, for figures that need no chain."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from attrs import field, frozen

from relayminer.protocol.envelope import (
    HttpRequest,
    HttpResponse,
    encode_http_request,
    encode_http_response,
)
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.pb.session_pb2 import SessionHeader
from relayminer.protocol.relay import request_hash
from relayminer.protocol.ring import sign_ring
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from collections.abc import Sequence

JSON_HEADERS = {"Content-Type": ("application/json",)}


@frozen
class Parties:
    """Who takes part in the sample relays."""

    application: SigningKey = field(factory=lambda: SigningKey.from_seed(b"an application"))
    gateway: SigningKey = field(factory=lambda: SigningKey.from_seed(b"a gateway"))
    supplier: SigningKey = field(factory=lambda: SigningKey.from_seed(b"a supplier"))

    @property
    def ring(self) -> tuple[bytes, ...]:
        """The two keys that requests are signed with."""
        return (self.application.public_key, self.gateway.public_key)

    @property
    def header(self) -> SessionHeader:
        """A session of theirs."""
        return SessionHeader(
            application_address=self.application.address,
            service_id="develop-http",
            session_id=sha256(b"benchmark session").hexdigest(),
            session_start_block_height=1,
            session_end_block_height=10,
        )


def request_payload(number: int) -> bytes:
    """A JSON-RPC call in its envelope; no two are equal."""
    call = {"id": number, "jsonrpc": "2.0", "method": "eth_getBalance", "params": ["0x", "latest"]}
    body = json.dumps(call, separators=(",", ":")).encode()
    return encode_http_request(HttpRequest("POST", "/", JSON_HEADERS, body))


def response_payload() -> bytes:
    """A node's answer in its envelope."""
    body = b'{"jsonrpc":"2.0","id":1,"result":"0x' + b"0" * 64 + b'"}'
    return encode_http_response(HttpResponse(200, JSON_HEADERS, body))


def signed_request(
    header: SessionHeader,
    supplier: str,
    ring: Sequence[bytes],
    key: SigningKey,
    number: int,
) -> RelayRequest:
    """A relay request with its ring signature."""
    request = RelayRequest(payload=request_payload(number))
    request.meta.session_header.CopyFrom(header)
    request.meta.supplier_operator_address = supplier
    request.meta.signature = sign_ring(request_hash(request), ring, key)
    return request
