"""One exchange over HTTP/2: what is asked, and what has come of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from relayminer.net.errors import (
    BadRequestError,
    NetError,
    ResponseTooLargeError,
    TooMuchHeldError,
)
from relayminer.net.held import Allowance, HeldBytes
from relayminer.net.http_syntax import BAD_VALUE, MAY_BE_EMPTY, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    import trio

    from relayminer.net.http1 import Headers

_GRPC: Final = b"application/grpc"
_OF_A_CONNECTION: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)


@frozen
class Http2Request:
    """A request, ready to be sent.

    Attributes:
        fields: pseudo headers first, names in lower case.
    """

    fields: Headers
    body: bytes


def http2_request(
    method: bytes, target: bytes, scheme: bytes, authority: bytes, headers: Headers, body: bytes
) -> Http2Request:
    """A request; what HTTP/1.1 says about its connection is left out.

    Raises:
        BadRequestError: method, target or a header is not allowed in HTTP.
    """
    if not TOKEN.fullmatch(method):
        raise BadRequestError("the method is not a token")
    fields = [
        (b":method", method),
        (b":scheme", scheme),
        (b":authority", authority),
        (b":path", target),
    ]
    is_grpc = False
    for name, value in headers:
        if not TOKEN.fullmatch(name) or BAD_VALUE.search(value):
            raise BadRequestError("a header name or value is not allowed in HTTP")
        lowered = name.lower()
        if lowered not in _OF_A_CONNECTION:
            fields.append((lowered, value.strip()))
            is_grpc = is_grpc or (lowered == b"content-type" and value.startswith(_GRPC))
    if is_grpc:
        # gRPC servers refuse clients that do not say that they read trailers.
        fields.append((b"te", b"trailers"))
    elif body or method not in MAY_BE_EMPTY:
        fields.append((b"content-length", b"%d" % len(body)))
    return Http2Request(fields, body)


class Http2Stream:
    """What has come of an answer.

    Attributes:
        number: of the stream.
        began_at: Trio time of the request.
        status: 0 until the head is there.
        headers: names in lower case; trailers behind the headers.
        ended: the answer is complete.
        problem: why nothing more will come.
        news: set for whoever waits, None when nobody does.
        allowance: of the body.
        is_taken_by_piece: the body is.
        unread_bytes: of the windows, for pieces that nobody has taken yet.
    """

    __slots__ = (
        "_size",
        "allowance",
        "began_at",
        "ended",
        "headers",
        "is_taken_by_piece",
        "news",
        "number",
        "pieces",
        "problem",
        "status",
        "unread_bytes",
    )

    def __init__(
        self, number: int, began_at: float, max_body_bytes: int, held: HeldBytes | None = None
    ) -> None:
        self.number = number
        self.began_at = began_at
        self.status = 0
        self.headers: Headers = []
        self.pieces: list[bytes] = []
        self.ended = False
        self.problem: NetError | None = None
        self.news: trio.Event | None = None
        self.unread_bytes = 0
        self.is_taken_by_piece = False
        self.allowance = Allowance(held)
        self.allowance.begin(max_body_bytes)
        self._size = 0

    def wake(self) -> None:
        """Have the one who waits look again."""
        if self.news is not None:
            self.news.set()

    def fail(self, problem: NetError) -> None:
        """Nothing more will come, unless all is there already."""
        if not self.ended and self.problem is None:
            self.problem = problem
        self.wake()

    def begin(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """The head of the answer."""
        for name, value in fields:
            if name == b":status":
                self.status = int(value)
            else:
                self.headers.append((name, value))
                if name == b"content-length":
                    self._allow(int(value), exact=True)
        self.wake()

    def add(self, piece: bytes) -> None:
        """A piece of the body."""
        self.pieces.append(piece)
        self._size += len(piece)
        self._allow(self._size)
        self.wake()

    def _allow(self, size: int, *, exact: bool = False) -> None:
        if size <= self.allowance.size:
            return
        try:
            if self.allowance.extend(size, exact=exact):
                return
            self.fail(ResponseTooLargeError("the answer has more bytes than accepted"))
        except TooMuchHeldError as problem:
            self.fail(problem)
        self.pieces.clear()

    def pass_on(self) -> None:
        """The body is taken piece by piece from now on: nothing of it counts as held."""
        self.is_taken_by_piece = True
        self.allowance.count_no_more()

    def take(self) -> bytes:
        """The pieces so far."""
        data = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        self.pieces.clear()
        if self.is_taken_by_piece:
            self._size = 0
        return data

    def content_type(self) -> bytes:
        """Of the answer, or empty."""
        for name, value in self.headers:
            if name == b"content-type":
                return value
        return b""
