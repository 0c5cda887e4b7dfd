"""The client's side of HTTP/1.1: one answer out of the bytes of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import httptools

from relayminer.net.errors import (
    BadResponseError,
    HeadTooLargeError,
    NetError,
    ResponseTooLargeError,
    TooMuchHeldError,
)
from relayminer.net.held import Allowance, HeldBytes, Lease

if TYPE_CHECKING:
    from relayminer.net.http1 import Headers

MAX_HEAD_BYTES = 1_048_576
MAX_HEADERS = 1_000
_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL_STATUS = 200


class Response:
    """One answer, complete.

    Attributes:
        status: HTTP status code.
        headers: names as sent, in order, repeated names kept.
        body: as sent, not decompressed.
        lease: on the bytes of a large body; it goes with whatever is made of them.
    """

    __slots__ = ("body", "headers", "lease", "status")

    def __init__(
        self, status: int, headers: Headers, body: bytes, lease: Lease | None = None
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.lease = lease

    def header(self, name: bytes) -> bytes:
        """The first value of `name` (lower case), or empty."""
        for known, value in self.headers:
            if known.lower() == name:
                return value
        return b""


class ResponseParser:
    """Turns bytes into responses, one after another. Its callbacks are llhttp's.

    Args:
        held: what all bodies are counted against; None counts nothing.

    Attributes:
        head_complete: the final status and headers are there.
        content_type: of the final headers, empty when there is none.
        complete: the whole answer is there.
        reusable: the connection may carry another exchange.
        touched: at least one byte of the answer has come.
    """

    __slots__ = (
        "_allowance",
        "_body",
        "_body_bytes",
        "_delimited",
        "_fed",
        "_head_only",
        "_headers",
        "_parser",
        "_problem",
        "complete",
        "content_type",
        "head_complete",
        "reusable",
        "status",
        "touched",
    )

    def __init__(self, held: HeldBytes | None = None) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._allowance = Allowance(held)
        self.status = 0
        self.reset(max_body_bytes=0, head_only=False)

    def reset(self, *, max_body_bytes: int, head_only: bool) -> None:
        """Get ready for the answer to the next request.

        Args:
            max_body_bytes: a longer body is refused.
            head_only: the request was a HEAD, its answer ends with its headers.
        """
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._delimited = False
        self._fed = 0
        self._head_only = head_only
        self._allowance.begin(max_body_bytes)
        self._problem: NetError | None = None
        self.content_type = b""
        self.head_complete = False
        self.complete = False
        self.reusable = False
        self.touched = False

    def feed(self, data: bytes) -> None:
        """Parse `data`.

        Raises:
            ResponseTooLargeError: head or body is over its limit.
            BadResponseError: this is not HTTP/1.1.
        """
        self.touched = True
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise BadResponseError("the backend switched protocols unasked") from None
        except httptools.HttpParserCallbackError:
            if not self.complete:
                raise self._problem or BadResponseError("malformed HTTP answer") from None
            self.reusable = False
        except httptools.HttpParserError as error:
            if not self.complete:
                raise BadResponseError(f"malformed HTTP answer: {error}") from None
            self.reusable = False
        if not self.head_complete and self._fed > MAX_HEAD_BYTES:
            raise HeadTooLargeError("the answer's headers have more bytes than accepted")

    def end(self) -> bool:
        """The server has closed: whether that completes the answer."""
        if self.head_complete and not self._delimited:
            self.complete = True
            self.reusable = False
        return self.complete

    def response(self) -> Response:
        """The complete answer."""
        body, self._body = self._body, []
        whole = body[0] if len(body) == 1 else b"".join(body)
        return Response(self.status, self._headers, whole, self._allowance.take_lease())

    def pass_on(self) -> None:
        """The body is taken piece by piece from now on: nothing of it counts as held."""
        self._allowance.count_no_more()

    @property
    def headers(self) -> Headers:
        """The headers so far, trailers included."""
        return self._headers

    def take_body(self) -> bytes:
        """What has come of the body since it was last asked for; the limit starts anew."""
        body = self._body
        self._body = []
        self._body_bytes = 0
        return body[0] if len(body) == 1 else b"".join(body)

    def on_message_begin(self) -> None:
        """An answer starts: the first, the one after a 1xx, or one too many."""
        if self.complete:
            self._stop(BadResponseError("the backend answered twice"))
        self._headers = []

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """One header, or one trailer."""
        self._headers.append((name, value or b""))
        if len(self._headers) > MAX_HEADERS:
            self._stop(HeadTooLargeError("the answer has more headers than accepted"))

    def on_headers_complete(self) -> None:
        """Status and headers are there."""
        self.status = self._parser.get_status_code()
        if self.status < _FIRST_FINAL_STATUS and self.status != _SWITCHING_PROTOCOLS:
            return
        self.head_complete = True
        for name, value in self._headers:
            lowered = name.lower()
            if lowered == b"content-length":
                self._delimited = True
                if not self._head_only and int(value) > self._allowance.size:
                    self._extend(int(value), exact=True)
            elif lowered == b"transfer-encoding":
                self._delimited = True
            elif lowered == b"content-type":
                self.content_type = value
        if self._head_only:
            # llhttp would wait for the body that a HEAD's headers announce.
            self.complete = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._allowance.size:
            self._extend(self._body_bytes)

    def on_message_complete(self) -> None:
        """An answer is complete; a 1xx is only an announcement."""
        if self.head_complete and not self.complete:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()

    def _extend(self, size: int, *, exact: bool = False) -> None:
        try:
            is_within = self._allowance.extend(size, exact=exact)
        except TooMuchHeldError as problem:
            self._stop(problem)
        if not is_within:
            self._stop(ResponseTooLargeError("the answer has more bytes than accepted"))

    def _stop(self, problem: NetError) -> NoReturn:
        self._problem = problem
        raise problem
