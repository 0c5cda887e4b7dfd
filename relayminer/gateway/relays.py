"""Relays as a gateway makes and judges them: payload, signature, and every check of an answer.

It checks more than real gateways do: also that the session is its own and that the payload hash is
the payload's.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from coincurve import PublicKey

from relayminer.gateway.errors import GatewayError
from relayminer.protocol.address import address_of
from relayminer.protocol.codec import decode, encode
from relayminer.protocol.errors import ProtocolError
from relayminer.protocol.pb import http_pb2, service_pb2
from relayminer.protocol.relay import check_response, request_hash, response_hash
from relayminer.protocol.ring import sign_ring
from relayminer.protocol.signature import SIGNATURE_LENGTH, verify_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relayminer.protocol.pb.session_pb2 import SessionHeader
    from relayminer.protocol.signature import SigningKey

EXCERPT_CHARACTERS = 200
_HTTP_ERROR = 400
_HTTP_OK = 200
_GRPC_PREFIX_BYTES = 5


def jsonrpc_body(method: str = "eth_blockNumber", params: object = (), number: int = 1) -> bytes:
    """A JSON-RPC call; keys in the order of their names."""
    call = {"id": number, "jsonrpc": "2.0", "method": method, "params": params}
    return json.dumps(call, separators=(",", ":")).encode()


def jsonrpc_payload(method: str = "eth_blockNumber", params: object = (), number: int = 1) -> bytes:
    """A serialized `POKTHTTPRequest` that carries one JSON-RPC call."""
    return http_payload("POST", "/", jsonrpc_body(method, params, number))


def http_payload(
    method: str,
    url: str,
    body: bytes,
    content_type: str = "application/json",
    more_headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A serialized `POKTHTTPRequest`; map keys sorted, as every client writes them."""
    request = http_pb2.POKTHTTPRequest(method=method, url=url, body_bz=body)
    for name, value in (("Content-Type", content_type), *more_headers):
        header = request.header[name]
        header.key = name
        header.values.append(value)
    return request.SerializeToString(deterministic=True)


def sign_relay(
    header: SessionHeader, supplier: str, payload: bytes, ring: Sequence[bytes], key: SigningKey
) -> bytes:
    """The bytes of a fresh `RelayRequest`; no two are equal, as the ring's nonces are not."""
    request = service_pb2.RelayRequest(payload=payload)
    request.meta.session_header.CopyFrom(header)
    request.meta.supplier_operator_address = supplier
    request.meta.signature = sign_ring(request_hash(request), ring, key)
    return encode(request)


def opened(data: bytes, header: SessionHeader, signed_by: Callable[[bytes, bytes], bool]) -> bytes:
    """The payload of a relay response, once everything about its envelope is in order.

    Args:
        data: a serialized `RelayResponse`.
        header: of the session that the relay was sent in.
        signed_by: whether a signature (second) over a hash (first) is the supplier's.

    Raises:
        GatewayError: the answer is refused; says why.
        ProtocolError: it does not decode, or is not a valid response.
    """
    response = decode(service_pb2.RelayResponse, data)
    check_response(response)
    if response.meta.session_header != header:
        raise GatewayError("the answer is for another session")
    if not signed_by(response_hash(response), response.meta.supplier_operator_signature):
        raise GatewayError("the supplier's signature does not verify")
    if response.HasField("relay_miner_error"):
        problem = response.relay_miner_error
        text = f": {problem.description}" if problem.description else ""
        raise GatewayError(f"relay miner error {problem.codespace} {problem.code}{text}")
    if response.payload_hash != sha256(response.payload).digest():
        raise GatewayError("the payload hash is not the payload's")
    return response.payload


def key_check(public_key: bytes) -> Callable[[bytes, bytes], bool]:
    """Whether a signature is of this key (33 bytes)."""
    return lambda digest, signature: verify_signature(public_key, digest, signature)


def address_check(address: str) -> Callable[[bytes, bytes], bool]:
    """Whether a signature is of the key behind this address, which nobody has told us.

    A signature and what it signs give the four keys that it may be of; the right one has the
    address. It is remembered, so this costs once.
    """
    found: list[Callable[[bytes, bytes], bool]] = []

    def check(digest: bytes, signature: bytes) -> bool:
        if not found and len(signature) == SIGNATURE_LENGTH:
            for recovery in range(4):
                try:
                    key = PublicKey.from_signature_and_message(
                        signature + bytes((recovery,)), digest
                    ).format()
                except Exception:  # noqa: BLE001, S112 - coincurve raises bare Exceptions: not this one
                    continue
                if address_of(key) == address:
                    found.append(key_check(key))
                    break
        return bool(found) and found[0](digest, signature)

    return check


def judge_http(payload: bytes) -> tuple[int, bytes, str]:
    """Status, body and complaint of a payload that is a `POKTHTTPResponse`.

    What is none is looked at as it is: status 0.
    """
    try:
        response = decode(http_pb2.POKTHTTPResponse, payload)
    except ProtocolError:
        return 0, payload, _jsonrpc_error(payload) or "the payload is no HTTP response"
    status, body = response.status_code, response.body_bz
    if status >= _HTTP_ERROR:
        excerpt = body.decode("utf-8", "replace")[:EXCERPT_CHARACTERS]
        return status, body, f"backend answered {status}: {excerpt}"
    return status, body, _jsonrpc_error(body)


def judge_message(payload: bytes) -> tuple[int, bytes, str]:
    """The same of a message of a conversation: bare, but for what the relayer itself says."""
    if payload[:1] not in {b"{", b"["}:
        try:
            response = decode(http_pb2.POKTHTTPResponse, payload)
        except ProtocolError:
            return _HTTP_OK, payload, ""
        if response.status_code:
            return judge_http(payload)
    return _HTTP_OK, payload, _jsonrpc_error(payload)


def judge_grpc(payload: bytes) -> tuple[int, bytes, str]:
    """The same of a gRPC call's answer: status 0, one frame that is as long as it says."""
    status, body, complaint = judge_http(payload)
    if not complaint and status != _HTTP_OK:
        complaint = f"backend answered {status}"
    if not complaint:
        complaint = _grpc_status_complaint(payload) or _frame_complaint(body)
    return status, body, complaint


def _grpc_status_complaint(payload: bytes) -> str:
    headers = decode(http_pb2.POKTHTTPResponse, payload).header
    said = {name.lower(): list(one.values) for name, one in headers.items()}
    status = next(iter(said.get("grpc-status", ())), "none")
    text = next(iter(said.get("grpc-message", ())), "")
    return "" if status == "0" else f"gRPC status {status} {text}".rstrip()


def _frame_complaint(body: bytes) -> str:
    if len(body) <= _GRPC_PREFIX_BYTES:
        return "the gRPC answer is empty"
    if body[0]:
        return "the gRPC answer is compressed"
    if int.from_bytes(body[1:_GRPC_PREFIX_BYTES]) != len(body) - _GRPC_PREFIX_BYTES:
        return "the gRPC frame is not as long as it says"
    return ""


def _jsonrpc_error(body: bytes) -> str:
    """What a JSON-RPC answer complains of; empty when it does not, or is none."""
    if b'"error"' not in body:
        return ""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    error = document.get("error") if isinstance(document, dict) else None
    if not error:
        return ""
    return f"JSON-RPC error: {json.dumps(error)[:EXCERPT_CHARACTERS]}"
