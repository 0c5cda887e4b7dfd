"""HTTP requests and responses as relay payloads (`sdk.types.POKTHTTP*`).

Unlike the chain's own messages these go through protobuf proper in Go: text must be UTF-8, and
unknown fields are no error.

Source: `shannon-sdk: proto/types/http.proto, types/request.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen
from google.protobuf.message import DecodeError as ProtobufDecodeError

from relayminer.protocol.errors import DecodeError, EncodeError
from relayminer.protocol.pb.http_pb2 import Header, POKTHTTPRequest, POKTHTTPResponse

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence


@frozen
class HttpRequest:
    """What a client asks of a backend.

    Attributes:
        method: empty means GET.
        url: as the client had it; only its path and query matter to a supplier.
        headers: canonical name (`Content-Type`) to its values.
        body: as sent.
    """

    method: str
    url: str
    headers: Mapping[str, Sequence[str]] = field(factory=dict)
    body: bytes = b""


@frozen
class HttpResponse:
    """What a backend answered.

    Attributes:
        status: HTTP status code.
        headers: canonical name to its values, in the backend's order for each name.
        body: as received.
    """

    status: int
    headers: Mapping[str, Sequence[str]] = field(factory=dict)
    body: bytes = b""


def encode_http_request(request: HttpRequest) -> bytes:
    """Serialize, headers sorted by name.

    Raises:
        EncodeError: text that is not UTF-8.
    """
    try:
        message = POKTHTTPRequest(method=request.method, url=request.url, body_bz=request.body)
        _write_headers(message.header, request.headers)
    except ValueError as error:
        raise EncodeError(f"an HTTP request with text that is not UTF-8: {error}") from error
    return message.SerializeToString(deterministic=True)


def decode_http_request(data: bytes) -> HttpRequest:
    """Parse the payload of a relay request.

    Raises:
        DecodeError: no such message, or text that is not UTF-8.
    """
    try:
        message = POKTHTTPRequest.FromString(data)
    except ProtobufDecodeError as error:
        raise DecodeError(f"the payload is no HTTP request envelope: {error}") from error
    return HttpRequest(message.method, message.url, _read_headers(message.header), message.body_bz)


def encode_http_response(response: HttpResponse) -> bytes:
    """Serialize, headers sorted by name.

    Raises:
        EncodeError: text that is not UTF-8, or a status outside 0 ... 2^32 - 1.
    """
    try:
        message = POKTHTTPResponse(status_code=response.status, body_bz=response.body)
        _write_headers(message.header, response.headers)
    except ValueError as error:
        raise EncodeError(f"an HTTP response that no envelope can carry: {error}") from error
    return message.SerializeToString(deterministic=True)


def decode_http_response(data: bytes) -> HttpResponse:
    """Parse the payload of a relay response.

    Raises:
        DecodeError: no such message, or text that is not UTF-8.
    """
    try:
        message = POKTHTTPResponse.FromString(data)
    except ProtobufDecodeError as error:
        raise DecodeError(f"the payload is no HTTP response envelope: {error}") from error
    return HttpResponse(message.status_code, _read_headers(message.header), message.body_bz)


def _write_headers(
    target: MutableMapping[str, Header], headers: Mapping[str, Sequence[str]]
) -> None:
    for name, values in headers.items():
        entry = target[name]
        entry.key = name
        entry.values.extend(values)


def _read_headers(source: Mapping[str, Header]) -> dict[str, tuple[str, ...]]:
    # The map's key is the name, as in the reference, whatever the entry says.
    return {name: tuple(entry.values) for name, entry in source.items()}
