"""A request over HTTP/2 that is not gRPC: answered as over HTTP/1.1 (relayer.md 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from h2.errors import ErrorCodes

from relayminer.plugin import RelayAnswer, RelayCall, Request, StreamAnswer
from relayminer_plugins.grpc.streams import TooMuchHeldError

if TYPE_CHECKING:
    from relayminer.plugin import Engine, Headers
    from relayminer_plugins.grpc.streams import TrioStream

NAME: Final = "http2"
_STATUS_PATHS: Final = (b"/health", b"/ready")
_MAX_DIGITS: Final = 18
_CONTINUE: Final = [(b":status", b"100")]
_BODILESS: Final = frozenset({204, 304})


class TooLargeError(Exception):
    """The body is over its limit."""


async def serve_request(stream: TrioStream, headers: Headers, engine: Engine) -> None:
    """Read the request, answer it.

    Raises:
        WireError: the client left.
        WireTimeoutError: it does not take the answer.
    """
    answer: RelayAnswer | StreamAnswer
    try:
        request = await _request(stream, headers, engine)
    except TooLargeError:
        answer = engine.refuse(413, "request body too large", reason="body_too_large")
        return await _write(stream, answer)
    except TooMuchHeldError:
        text = "too much at once on this connection"
        return await _write(stream, engine.refuse(503, text, reason="at_capacity"))
    except trio.TooSlowError:
        return await _write(stream, _too_slow(engine))
    sink = StreamSink(stream)
    stream.at_work = True
    answer = await _answer(request, engine, sink)
    if isinstance(answer, StreamAnswer):
        return await sink.end(complete=answer.complete)
    if sink.begun:
        return await sink.end(complete=False)
    return await _write(stream, answer, head_only=request.method == b"HEAD")


async def _request(stream: TrioStream, headers: Headers, engine: Engine) -> Request:
    limits = engine.limits
    max_bytes = limits.max_body_bytes
    method = target = b""
    fields: Headers = []
    for name, value in headers:
        if not name.startswith(b":"):
            fields.append((name, value))
            if name == b"content-length" and _is_more(value, max_bytes):
                raise TooLargeError
        elif name == b":method":
            method = value
        elif name == b":path":
            target = value
        elif name == b":authority":
            fields.append((b"host", value))
    if not stream.inbox.ended and (b"expect", b"100-continue") in fields:
        await stream.send_fields(_CONTINUE)
    deadline = trio.current_time() + limits.body_timeout_seconds
    pieces, size = [], 0
    while (piece := await stream.take(deadline)) is not None:
        pieces.append(piece)
        size += len(piece)
        if size > max_bytes:
            raise TooLargeError
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return Request(method, target, fields, body, keep_alive=True, version="2")


def _too_slow(engine: Engine) -> RelayAnswer:
    if engine.draining:
        return engine.refuse(503, "relayer is shutting down", reason="draining")
    return engine.refuse(408, "request not received in time", reason="request_timeout")


def _is_more(digits: bytes, limit: int) -> bool:
    return digits.isdigit() and (len(digits) > _MAX_DIGITS or int(digits) > limit)


async def _answer(request: Request, engine: Engine, sink: StreamSink) -> RelayAnswer | StreamAnswer:
    if request.target.startswith(_STATUS_PATHS):
        page = engine.status(request.target.partition(b"?")[0].decode("latin-1"))
        if page is not None:
            return page
    taker = engine.taker(request)
    if taker is not None:
        return await taker.answer(request, engine)
    call = RelayCall(request.body, request.headers, NAME, may_compress=True)
    return await engine.stream(call, sink)


async def _write(stream: TrioStream, answer: RelayAnswer, *, head_only: bool = False) -> None:
    head = [
        (b":status", b"%d" % answer.status),
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
    ]
    if answer.status in _BODILESS:
        del head[1:]
    head.extend((name.lower(), value) for name, value in answer.headers or ())
    await stream.respond(head, b"" if head_only else answer.body)


class StreamSink:
    """An answer that is written piece by piece: DATA frames."""

    __slots__ = ("_stream", "begun")

    def __init__(self, stream: TrioStream) -> None:
        self._stream = stream
        self.begun = False

    async def begin(self, status: int, headers: Headers) -> None:
        """Status and headers."""
        self.begun = True
        head = [(b":status", b"%d" % status)]
        head.extend((name.lower(), value) for name, value in headers)
        await self._stream.send_fields(head)
        await self._stream.outbox.flush()

    async def send(self, piece: bytes) -> None:
        """Some DATA frames, as fast as the client's window lets them."""
        await self._stream.send_piece(piece)
        await self._stream.outbox.flush()

    async def gone(self) -> None:
        """Return when the client has reset the stream, or is gone altogether."""
        await self._stream.left.wait()

    async def end(self, *, complete: bool) -> None:
        """The end of the answer; without it the stream is reset, so that the client can tell."""
        if complete:
            await self._stream.send_piece(b"", end_stream=True)
        elif self._stream.closable:
            self._stream.reset_nowait(ErrorCodes.INTERNAL_ERROR)
