"""The backend's answer, turned into the signed response (relayer.md 2.6)."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING

from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpResponse, encode_http_response
from relayminer.protocol.errors import ProtocolError
from relayminer.protocol.pb.service_pb2 import RelayMinerError
from relayminer.protocol.relay import sign_response
from relayminer.relayer.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.net.http1 import Headers
    from relayminer.net.response import Response
    from relayminer.protocol.signature import SigningKey
    from relayminer.relayer.relay import Relay

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_NAMES = 1_000
_CONTENT_ENCODING = "Content-Encoding"
_HOP_BY_HOP = "Transfer-Encoding"


class Signer:
    """Signs with the suppliers' keys.

    Args:
        keys: by operator address.
        max_body_bytes: a body that inflates beyond it is passed on as it came.
    """

    def __init__(self, keys: Mapping[str, SigningKey], max_body_bytes: int) -> None:
        self._keys = keys
        self._max_body_bytes = max_body_bytes
        self._names: dict[bytes, str] = {}

    def sign(self, relay: Relay, response: Response) -> tuple[bytes, bytes]:
        """The response to send, and the same without its payload, which is what is mined.

        Raises:
            RefusedError: 500, the answer cannot be carried (a header that is not UTF-8).
        """
        try:
            payload = self._payload(response)
            return relay.own_forms().response(payload, self._keys[relay.supplier])
        except (ProtocolError, KeyError, UnicodeDecodeError) as error:
            raise RefusedError(500, "failed to sign response", "signing_error") from error

    def sign_batch(self, relay: Relay, status: int, body: bytes) -> tuple[bytes, bytes]:
        """As `sign`, for a piece of a streamed answer: the envelope has a status and no headers.

        Raises:
            RefusedError: 500, there is no key.
        """
        payload = encode_http_response(HttpResponse(status, {}, body))
        try:
            return relay.own_forms().response(payload, self._keys[relay.supplier])
        except (ProtocolError, KeyError) as error:
            raise RefusedError(500, "failed to sign response", "signing_error") from error

    def sign_failure(self, relay: Relay, text: str) -> bytes:
        """A signed response that says that the backend gave none (relayer.md 4.2, step 12).

        It is never mined.
        """
        body = json.dumps({"error": text}).encode()
        payload = encode_http_response(
            HttpResponse(500, {"Content-Type": ["application/json"]}, body)
        )
        error = RelayMinerError(code=500, description=text)
        header = relay.request.meta.session_header
        key = self._keys[relay.supplier]
        return codec.encode(sign_response(header, payload, key, error=error))

    def _payload(self, response: Response) -> bytes:
        headers = self._headers(response.headers)
        body = response.body
        encoding = headers.get(_CONTENT_ENCODING)
        if body.startswith(_GZIP_MAGIC) or (encoding and encoding[0].lower() == "gzip"):
            plain = gunzip(body, self._max_body_bytes)
            if plain is not None:
                body = plain
                headers.pop(_CONTENT_ENCODING, None)
        return encode_http_response(HttpResponse(response.status, headers, body))

    def _headers(self, received: Headers) -> dict[str, list[str]]:
        headers: dict[str, list[str]] = {}
        names = self._names
        for raw, value in received:
            name = names.get(raw)
            if name is None:
                name = canonical_name(raw)
                if len(names) < _MAX_NAMES:
                    names[raw] = name
            if name in headers:
                headers[name].append(value.decode())
            elif name != _HOP_BY_HOP:
                headers[name] = [value.decode()]
        return headers


def canonical_name(raw: bytes) -> str:
    """`content-TYPE` as `Content-Type`, the way Go names headers."""
    return "-".join(part.capitalize() for part in raw.decode("ascii").split("-"))


def gunzip(body: bytes, max_bytes: int) -> bytes | None:
    """The inflated body; None when it is not gzip after all, or more than `max_bytes`."""
    try:
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        plain = inflater.decompress(body, max_bytes + 1)
    except zlib.error:
        return None
    if len(plain) > max_bytes or not inflater.eof:
        return None
    if not inflater.unused_data:
        return plain
    return _gunzip_members(inflater.unused_data, plain, max_bytes)


def _gunzip_members(rest: bytes, first: bytes, max_bytes: int) -> bytes | None:
    """Several gzip members behind one another are one body."""
    parts = [first]
    total = len(first)
    while rest:
        try:
            inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            plain = inflater.decompress(rest, max_bytes - total + 1)
        except zlib.error:
            return None
        total += len(plain)
        if total > max_bytes or not inflater.eof:
            return None
        parts.append(plain)
        rest = inflater.unused_data
    return b"".join(parts)


__all__ = ["Signer", "canonical_name", "gunzip"]
