"""Relay messages, envelopes and signatures against the reference."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import pytest

from relayminer.protocol import codec
from relayminer.protocol.envelope import (
    HttpRequest,
    HttpResponse,
    decode_http_request,
    decode_http_response,
    encode_http_request,
    encode_http_response,
)
from relayminer.protocol.errors import DecodeError, EncodeError, InvalidRelayError
from relayminer.protocol.mined_relay import MinedRelay, decode_mined_relay, encode_mined_relay
from relayminer.protocol.pb import service_pb2
from relayminer.protocol.pb.service_pb2 import (
    Relay,
    RelayMinerError,
    RelayRequest,
    RelayResponse,
)
from relayminer.protocol.pb.session_pb2 import SessionHeader
from relayminer.protocol.relay import (
    check_request,
    check_response,
    request_hash,
    response_hash,
    sign_response,
    stored_relay,
)
from relayminer.protocol.signature import SigningKey, verify_signature
from tests.vector_data import load

pytestmark = pytest.mark.vectors


def basic_check(message: RelayRequest | RelayResponse | Relay) -> int | None:
    """The error code of the basic checks, None when they pass."""
    try:
        if isinstance(message, RelayRequest):
            check_request(message)
        elif isinstance(message, RelayResponse):
            check_response(message)
    except InvalidRelayError as error:
        return error.code
    return None


def test_relay_decode() -> None:
    """Every input decodes, re-encodes, hashes and validates as in Go."""
    for case in load("relay_decode.json")["cases"]:
        label = case["label"]
        message_type = getattr(service_pb2, case["message"])
        data = bytes.fromhex(case["input"])
        if case.get("decode_error"):
            with pytest.raises(DecodeError):
                codec.decode(message_type, data)
            continue
        message = codec.decode(message_type, data)
        assert codec.encode(message).hex() == case["reencoded"], label
        if isinstance(message, RelayRequest):
            assert request_hash(message).hex() == case["signable_hash"], label
            assert bool(message.meta.signature) <= case["signature_present"], label
        elif isinstance(message, RelayResponse):
            assert response_hash(message).hex() == case["signable_hash"], label
            assert message.HasField("payload_hash") == case["payload_hash_present"], label
        else:
            relay_hash = hashlib.sha256(codec.encode(message)).hexdigest()
            assert relay_hash == case["relay_hash"], label
        expected = case.get("validate_basic")
        assert basic_check(message) == (expected["code"] if expected else None), label


def text_headers(case: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The headers of a case; bytes that are no text as surrogates."""
    if "headers_hex" in case:
        return {
            name: tuple(bytes.fromhex(value).decode("utf-8", "surrogateescape") for value in values)
            for name, values in case["headers_hex"].items()
        }
    return {name: tuple(values or ()) for name, values in (case["headers"] or {}).items()}


def encode_case(case: dict[str, Any]) -> bytes:
    """The envelope of a case, serialized."""
    body = bytes.fromhex(case["body"])
    if case["kind"] == "request":
        return encode_http_request(
            HttpRequest(case["method"], case["url"], text_headers(case), body)
        )
    return encode_http_response(HttpResponse(case["status_code"], text_headers(case), body))


def test_http_envelopes() -> None:
    """Every envelope serializes to the reference's bytes and back."""
    for case in load("http_envelopes.json")["cases"]:
        if case["kind"] == "decode_request":
            check_decode(case)
            continue
        if case.get("error"):
            with pytest.raises(EncodeError):
                encode_case(case)
            continue
        data = encode_case(case)
        assert data.hex() == case["serialized"], case["label"]
        decoded: HttpRequest | HttpResponse
        decoded = (
            decode_http_request(data) if case["kind"] == "request" else decode_http_response(data)
        )
        assert decoded.headers == text_headers(case)
        assert decoded.body.hex() == case["body"]


def check_decode(case: dict[str, Any]) -> None:
    """One unusual input of the envelope decoder."""
    data = bytes.fromhex(case["serialized"])
    if case.get("error"):
        with pytest.raises(DecodeError):
            decode_http_request(data)
        return
    request = decode_http_request(data)
    assert (request.method, request.url) == (case["method"], case["url"]), case["label"]
    assert request.body.hex() == case["body"]
    expected = {name: tuple(header["values"]) for name, header in case["headers"].items()}
    assert request.headers == expected, case["label"]


def test_relay_pipeline() -> None:
    """From request and backend body to signed responses, the stored relay and the log entry."""
    for case in load("relay_messages.json")["cases"]:
        header = SessionHeader(**case["session_header"])
        key = SigningKey(bytes.fromhex(case["supplier_private_key"]))
        assert key.public_key.hex() == case["supplier_public_key"]
        request = codec.decode(RelayRequest, bytes.fromhex(case["request"]))
        assert codec.encode(request).hex() == case["request"]
        assert request_hash(request).hex() == case["request_signable_hash"]
        unsigned = codec.decode(RelayRequest, bytes.fromhex(case["request_unsigned"]))
        assert request_hash(unsigned).hex() == case["request_signable_hash"]

        http = encode_http_response(forwarded(case))
        assert http.hex() == case["http_response"]["payload"]
        check_response_case(sign_response(header, http, key), case["http_response"], key)
        raw = sign_response(header, bytes.fromhex(case["backend_body"]), key)
        check_response_case(raw, case["websocket_response"], key)
        check_error_case(case, header, key)
        check_mined_case(case, request, raw)


def forwarded(case: dict[str, Any]) -> HttpResponse:
    """The backend's answer as it goes into the envelope: unpacked where it was packed."""
    headers = {name: tuple(values) for name, values in case["backend_headers"].items()}
    body = bytes.fromhex(case["backend_body"])
    if headers.get("Content-Encoding") == ("gzip",):
        del headers["Content-Encoding"]
        body = gzip.decompress(body)
    return HttpResponse(case["backend_status"], headers, body)


def check_response_case(response: RelayResponse, case: dict[str, Any], key: SigningKey) -> None:
    """A signed response equals the recorded one and verifies."""
    assert response.payload_hash.hex() == case["payload_hash"]
    assert response_hash(response).hex() == case["signable_hash"]
    signature = response.meta.supplier_operator_signature
    assert signature.hex() == case["signature"]
    assert codec.encode(response).hex() == case["response"]
    assert verify_signature(key.public_key, response_hash(response), signature)


def check_error_case(case: dict[str, Any], header: SessionHeader, key: SigningKey) -> None:
    """The error reply equals the recorded one, whose error part we take from its bytes."""
    recorded = codec.decode(RelayResponse, bytes.fromhex(case["error_response"]["response"]))
    error = RelayMinerError()
    error.CopyFrom(recorded.relay_miner_error)
    payload = bytes.fromhex(case["error_response"]["payload"])
    response = sign_response(header, payload, key, error=error)
    check_response_case(response, case["error_response"], key)


def check_mined_case(case: dict[str, Any], request: RelayRequest, response: RelayResponse) -> None:
    """The stored relay, its hash and path, and the log entry equal the recorded ones."""
    mined = case["mined"]
    stored = stored_relay(request, response)
    assert stored.relay_bytes.hex() == mined["relay_bytes"]
    assert stored.relay_hash.hex() == mined["relay_hash"]
    assert hashlib.sha256(stored.relay_hash).hexdigest() == mined["trie_path"]
    relay = codec.decode(Relay, stored.relay_bytes)
    assert codec.encode(relay.res).hex() == mined["stored_response"]
    assert response_hash(relay.res).hex() == mined["response_signable_hash"]

    recorded = case["mined_relay_message"]
    entry = MinedRelay(
        relay_hash=stored.relay_hash,
        relay_bytes=stored.relay_bytes,
        compute_units_per_relay=recorded["compute_units_per_relay"],
        session_id=recorded["session_id"],
        session_end_height=recorded["session_end_height"],
        supplier_operator_address=recorded["supplier_operator_address"],
        service_id=recorded["service_id"],
        application_address=recorded["application_address"],
        arrival_block_height=recorded["arrival_block_height"],
        published_at_unix_nano=int(recorded["published_at_unix_nano"]),
        session_start_height=recorded["session_start_height"],
    )
    assert encode_mined_relay(entry).hex() == recorded["serialized"]
    assert decode_mined_relay(bytes.fromhex(recorded["serialized"])) == entry


def test_empty_backend_body() -> None:
    """An empty body is answered in an envelope; without one the response cannot be signed."""
    empty = load("relay_messages.json")["empty_body"]
    request = codec.decode(RelayRequest, bytes.fromhex(empty["request"]))
    key = SigningKey(b"\x01" * 32)
    response = sign_response(request.meta.session_header, bytes.fromhex(empty["http_payload"]), key)
    recorded = codec.decode(RelayResponse, bytes.fromhex(empty["http_response"]))
    assert response_hash(response) == response_hash(recorded)
    with pytest.raises(InvalidRelayError) as refused:
        sign_response(request.meta.session_header, b"", key)
    assert refused.value.code == empty["websocket_error"]["code"]
    assert encode_http_response(HttpResponse(0)).hex() == empty["http_status_0_no_headers"]


def test_ecdsa_signatures() -> None:
    """Signatures are accepted and refused as by the SDK, and ours are the recorded ones."""
    for case in load("ecdsa_signatures.json")["cases"]:
        message = bytes.fromhex(case["message"])
        assert hashlib.sha256(message).hexdigest() == case["digest"]
        accepted = verify_signature(
            bytes.fromhex(case["public_key"]), message, bytes.fromhex(case["signature"])
        )
        assert accepted == case["accept"], case["label"]
        if accepted and case.get("private_key"):
            key = SigningKey(bytes.fromhex(case["private_key"]))
            assert key.sign(message).hex() == case["signature"], case["label"]
