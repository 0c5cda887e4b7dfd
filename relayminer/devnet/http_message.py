"""HTTP/1.1 messages and the assembling of them from `httptools` callbacks.

Shared by the demo backend and the gateway client. Deliberately not the relayer's HTTP code: the
two ends of a test must not agree on a mistake.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import field, frozen

from relayminer.devnet.errors import HttpError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httptools

MAX_HEADER_BYTES = 1_048_576
MAX_BODY_BYTES = 209_715_200
READ_BYTES = 65_536

Headers = tuple[tuple[str, str], ...]


@frozen
class HttpRequest:
    """A whole request; header names are lower case."""

    method: str
    target: str
    headers: Headers
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return urlsplit(self.target).query

    def header(self, name: str, default: str = "") -> str:
        """The first header called `name` (lower case)."""
        return first_header(self.headers, name, default)


@frozen
class HttpResponse:
    """A whole response; header names read from the wire are lower case."""

    status: int
    headers: Headers
    body: bytes = field(repr=False)

    def header(self, name: str, default: str = "") -> str:
        """The first header called `name` (lower case)."""
        return first_header(self.headers, name, default)


@frozen
class StreamedResponse:
    """A response whose body is made while it is sent; chunked, it ends with its pieces."""

    status: int
    headers: Headers
    pieces: AsyncIterator[bytes] = field(repr=False)


def first_header(headers: Headers, name: str, default: str = "") -> str:
    """The first value under `name`, else `default`."""
    return next((value for key, value in headers if key == name), default)


class Assembly:
    """Callbacks of an `httptools` parser; collects one message at a time.

    Attributes:
        complete: whether the whole message has been read.
        body_until_close: whether a response without length goes on until the peer closes.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the message; the next one begins."""
        self.target = b""
        self.headers: list[tuple[str, str]] = []
        self.headers_done = False
        self.complete = False
        self._body = bytearray()
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self.target += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._count_header(len(name) + len(value))
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """The blank line was read."""
        self.headers_done = True

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if len(self._body) + len(data) > MAX_BODY_BYTES:
            raise HttpError(f"body is longer than {MAX_BODY_BYTES} bytes")
        self._body += data

    def on_message_complete(self) -> None:
        """The message is whole."""
        self.complete = True

    def request(self, parser: httptools.HttpRequestParser) -> HttpRequest:
        """The request that was read."""
        return HttpRequest(
            method=parser.get_method().decode("ascii"),
            target=self.target.decode("latin-1"),
            headers=tuple(self.headers),
            body=bytes(self._body),
        )

    def response(self, parser: httptools.HttpResponseParser) -> HttpResponse:
        """The response that was read."""
        return HttpResponse(
            status=parser.get_status_code(),
            headers=tuple(self.headers),
            body=bytes(self._body),
        )

    def _count_header(self, size_bytes: int) -> None:
        self._header_bytes += size_bytes
        if self._header_bytes > MAX_HEADER_BYTES:
            raise HttpError(f"headers are longer than {MAX_HEADER_BYTES} bytes")


def render_request(request: HttpRequest, host: str) -> bytes:
    """The bytes of a request with a Content-Length."""
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    lines.append(f"Content-Length: {len(request.body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body


def render_head(status: int, headers: Headers) -> bytes:
    """The head of a chunked response."""
    lines = [f"HTTP/1.1 {status} {_reason(status)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode("latin-1")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def render_response(response: HttpResponse, *, keep_alive: bool) -> bytes:
    """The bytes of a response with a Content-Length."""
    lines = [f"HTTP/1.1 {response.status} {_reason(response.status)}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    lines.append(f"Content-Length: {len(response.body)}")
    if not keep_alive:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + response.body
