"""The bytes of one session's relays with one supplier, written without a message object.

Everything in a relay but payloads, hashes and signatures is the same for all relays of a session
and a supplier. So their encodings are spliced from parts that are made once; the tests hold each
form against `relayminer.protocol`. On the relay path this saves a quarter of a ring verification.

Source of the forms: wire.md 2.1, 9.1 to 9.3 (`poktroll: proto/pocket/service/relay.proto`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from relayminer.protocol import codec

if TYPE_CHECKING:
    from relayminer.protocol.pb.session_pb2 import SessionHeader
    from relayminer.protocol.signature import SigningKey

_FIELD_1 = b"\x0a"
_FIELD_2 = b"\x12"
_FIELD_3 = b"\x1a"
_FIELD_4 = b"\x22"
_ONE_BYTE = 0x80


class RelayForms:
    """The forms of one session and supplier."""

    __slots__ = ("_header_field", "_supplier_field", "_unsigned_meta", "_unsigned_response_meta")

    def __init__(self, header: SessionHeader, supplier: str) -> None:
        self._header_field = _field(_FIELD_1, codec.encode(header))
        self._supplier_field = _field(_FIELD_3, supplier.encode())
        self._unsigned_meta = _field(_FIELD_1, self._header_field + self._supplier_field)
        self._unsigned_response_meta = _field(_FIELD_1, self._header_field)

    def request_digest(self, payload: bytes) -> bytes:
        """The 32 bytes that the ring signs (wire.md 9.1)."""
        return hashlib.sha256(self._unsigned_meta + _payload(payload)).digest()

    def request(self, signature: bytes, payload: bytes) -> bytes:
        """The canonical bytes of the request."""
        meta = b"".join((self._header_field, _field(_FIELD_2, signature), self._supplier_field))
        return _field(_FIELD_1, meta) + _payload(payload)

    def response(self, payload: bytes, key: SigningKey) -> tuple[bytes, bytes]:
        """Sign `payload` (not empty): the response to send, and the same without its payload."""
        payload_hash = _field(_FIELD_4, hashlib.sha256(payload).digest())
        digest = hashlib.sha256(self._unsigned_response_meta + payload_hash).digest()
        meta = _field(_FIELD_1, self._header_field + _field(_FIELD_2, key.sign(digest)))
        return b"".join((meta, _payload(payload), payload_hash)), meta + payload_hash

    def stored(self, signature: bytes, payload: bytes, stored_response: bytes) -> bytes:
        """The leaf's value: the whole request and the response without its payload."""
        request = self.request(signature, payload)
        return _field(_FIELD_1, request) + _field(_FIELD_2, stored_response)


def _payload(payload: bytes) -> bytes:
    return _field(_FIELD_2, payload) if payload else b""


def _field(tag: bytes, value: bytes) -> bytes:
    length = len(value)
    if length < _ONE_BYTE:
        return b"%b%c%b" % (tag, length, value)
    return b"%b%b%b" % (tag, codec.write_varint(length), value)
