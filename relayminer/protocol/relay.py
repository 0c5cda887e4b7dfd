"""Relay requests and responses: what is hashed, what is signed, what is mined.

Source: `poktroll: x/service/types/relay.go`, `x/session/types/session_header.go`.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.protocol import codec
from relayminer.protocol.address import decode_address
from relayminer.protocol.errors import InvalidAddressError, InvalidRelayError
from relayminer.protocol.pb.service_pb2 import Relay, RelayRequest, RelayResponse

if TYPE_CHECKING:
    from relayminer.protocol.pb.service_pb2 import RelayMinerError
    from relayminer.protocol.pb.session_pb2 import SessionHeader
    from relayminer.protocol.signature import SigningKey

# Error codes of the codespace `service`.
INVALID_RESPONSE = 1110
INVALID_REQUEST = 1111

MAX_SERVICE_ID_LENGTH = 42
_SERVICE_ID = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_SERVICE_ID_LENGTH}}}")


@frozen
class StoredRelay:
    """What the trie keeps of a relay.

    Attributes:
        relay_bytes: the serialized `Relay`, response payload dropped: the leaf's value.
        relay_hash: 32 bytes, its SHA-256: the leaf's key, and what difficulty is measured on.
    """

    relay_bytes: bytes
    relay_hash: bytes


def request_hash(request: RelayRequest) -> bytes:
    """The 32 bytes that the ring signature of `request` signs."""
    copy = RelayRequest()
    copy.CopyFrom(request)
    copy.meta.ClearField("signature")
    return hashlib.sha256(codec.encode(copy)).digest()


def response_hash(response: RelayResponse) -> bytes:
    """The 32 bytes that the supplier signs (the signature scheme hashes them once more).

    A payload hash stands in for the payload, even an empty one that was on the wire.
    """
    copy = RelayResponse()
    copy.CopyFrom(response)
    copy.meta.ClearField("supplier_operator_signature")
    if copy.HasField("payload_hash"):
        copy.ClearField("payload")
    return hashlib.sha256(codec.encode(copy)).digest()


def sign_response(
    header: SessionHeader,
    payload: bytes,
    key: SigningKey,
    *,
    error: RelayMinerError | None = None,
) -> RelayResponse:
    """Build and sign the response that carries `payload` back to the gateway.

    Raises:
        InvalidRelayError: code 1110, the payload is empty: the chain's own helper refuses to sign
            such a response.
    """
    if not payload:
        raise InvalidRelayError("a relay response with an empty payload", INVALID_RESPONSE)
    response = RelayResponse(payload_hash=hashlib.sha256(payload).digest(), relay_miner_error=error)
    response.meta.session_header.CopyFrom(header)
    digest = hashlib.sha256(codec.encode(response)).digest()
    response.meta.supplier_operator_signature = key.sign(digest)
    response.payload = payload
    return response


def stored_relay(request: RelayRequest, response: RelayResponse) -> StoredRelay:
    """What is mined of a relay: the full request and the very response, its payload dropped.

    Raises:
        InvalidRelayError: code 1110, the response has no payload hash: without the payload its
            signature could never be verified.
    """
    if not response.payload_hash:
        raise InvalidRelayError("a relay response without payload hash", INVALID_RESPONSE)
    relay = Relay(req=request, res=response)
    relay.res.ClearField("payload")
    relay_bytes = codec.encode(relay)
    return StoredRelay(relay_bytes, hashlib.sha256(relay_bytes).digest())


def is_service_id(text: str) -> bool:
    """Whether `text` is 1 to 42 letters, digits, `_` and `-`."""
    return _SERVICE_ID.fullmatch(text) is not None


def check_session_header(header: SessionHeader, code: int = INVALID_REQUEST) -> None:
    """Check what can be known of a session header without asking the chain.

    Raises:
        InvalidRelayError: with `code`: application address, session id, service id, start or end
            height, in this order.
    """
    # Text that is not UTF-8 comes out of the message as bytes. The chain would let it pass in the
    # session id, where it can match no session; here it ends the matter at once.
    if not all(
        isinstance(text, str)
        for text in (header.application_address, header.session_id, header.service_id)
    ):
        raise InvalidRelayError("invalid session header: text is not UTF-8", code)
    try:
        decode_address(header.application_address)
    except InvalidAddressError as error:
        raise InvalidRelayError(
            f"invalid session header: application address: {error}", code
        ) from error
    if not header.session_id:
        raise InvalidRelayError("invalid session header: no session id", code)
    if not is_service_id(header.service_id):
        raise InvalidRelayError("invalid session header: invalid service id", code)
    start, end = header.session_start_block_height, header.session_end_block_height
    if start < 1:
        raise InvalidRelayError(f"invalid session header: it starts at height {start}", code)
    if end <= start:
        raise InvalidRelayError(f"invalid session header: from {start} to {end}", code)


def check_request(request: RelayRequest) -> None:
    """Check that a request has a valid header, a signature and a supplier; nothing is verified.

    Raises:
        InvalidRelayError: code 1111.
    """
    meta = request.meta
    if not meta.HasField("session_header"):
        raise InvalidRelayError("the relay request has no session header", INVALID_REQUEST)
    check_session_header(meta.session_header, INVALID_REQUEST)
    if not meta.signature:
        raise InvalidRelayError("the relay request has no signature", INVALID_REQUEST)
    if not meta.supplier_operator_address:
        raise InvalidRelayError("the relay request names no supplier", INVALID_REQUEST)
    if not isinstance(meta.supplier_operator_address, str):
        raise InvalidRelayError("the supplier's address is not UTF-8", INVALID_REQUEST)


def check_response(response: RelayResponse) -> None:
    """Check that a response has a valid header and a signature; nothing is verified.

    Raises:
        InvalidRelayError: code 1110.
    """
    meta = response.meta
    if not meta.HasField("session_header"):
        raise InvalidRelayError("the relay response has no session header", INVALID_RESPONSE)
    check_session_header(meta.session_header, INVALID_RESPONSE)
    if not meta.supplier_operator_signature:
        raise InvalidRelayError("the relay response has no signature", INVALID_RESPONSE)
