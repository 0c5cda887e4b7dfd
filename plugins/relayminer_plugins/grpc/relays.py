"""A request over HTTP/2 that is not gRPC: answered as over HTTP/1.1 (relayer.md 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from relayminer.plugin import RelayAnswer, RelayCall, Request, StreamAnswer

if TYPE_CHECKING:
    from relayminer.plugin import Engine, Headers
    from relayminer_plugins.grpc.streams import TrioStream

NAME: Final = "http2"
_STATUS_PATHS: Final = (b"/health", b"/ready")
_BODILESS: Final = frozenset({204, 304})


class TooLargeError(Exception):
    """The body is over its limit."""


async def serve_request(stream: TrioStream, headers: Headers, engine: Engine) -> None:
    """Read the request, answer it."""
    sink = StreamSink(stream, engine)
    answer: RelayAnswer | StreamAnswer
    try:
        with trio.fail_after(engine.limits.body_timeout_seconds):
            request = await _request(stream, headers, engine.limits.max_body_bytes)
    except TooLargeError:
        answer = engine.refuse(413, "request body too large", reason="body_too_large")
        return await _write(stream, engine, answer)
    except trio.TooSlowError:
        answer = engine.refuse(408, "request not received in time", reason="request_timeout")
        return await _write(stream, engine, answer)
    answer = await _answer(request, engine, sink)
    if isinstance(answer, StreamAnswer):
        return await sink.end(complete=answer.complete)
    if sink.begun:
        return await sink.end(complete=False)
    return await _write(stream, engine, answer, head_only=request.method == b"HEAD")


async def _request(stream: TrioStream, headers: Headers, max_bytes: int) -> Request:
    method = target = b""
    fields: Headers = []
    for name, value in headers:
        if name == b":method":
            method = value
        elif name == b":path":
            target = value
        elif name == b":authority":
            fields.append((b"host", value))
        elif name == b"content-length" and value.isdigit() and int(value) > max_bytes:
            raise TooLargeError
        elif not name.startswith(b":"):
            fields.append((name, value))
    pieces, size = [], 0
    while (piece := await stream.inbox.take()) is not None:
        pieces.append(piece)
        size += len(piece)
        if size > max_bytes:
            raise TooLargeError
    return Request(method, target, fields, b"".join(pieces), keep_alive=True)


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


async def _write(
    stream: TrioStream, engine: Engine, answer: RelayAnswer, *, head_only: bool = False
) -> None:
    head = [
        (b":status", b"%d" % answer.status),
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
    ]
    if answer.status in _BODILESS:
        del head[1:]
    head.extend((name.lower(), value) for name, value in answer.headers or ())
    with trio.fail_after(engine.limits.write_timeout_seconds):
        bare = head_only or not answer.body
        await stream.send_fields(head, end_stream=bare)
        if not bare:
            await stream.send_data(answer.body, end_stream=True)


class StreamSink:
    """An answer that is written piece by piece: DATA frames."""

    __slots__ = ("_engine", "_stream", "begun")

    def __init__(self, stream: TrioStream, engine: Engine) -> None:
        self._stream = stream
        self._engine = engine
        self.begun = False

    async def begin(self, status: int, headers: Headers) -> None:
        """Status and headers."""
        self.begun = True
        head = [(b":status", b"%d" % status)]
        head.extend((name.lower(), value) for name, value in headers)
        await self._stream.send_fields(head)

    async def send(self, piece: bytes) -> None:
        """Some DATA frames, as fast as the client's window lets them."""
        await self._stream.send_data(piece)

    async def gone(self) -> None:
        """Return when the client has reset the stream."""
        await self._stream.left.wait()

    async def end(self, *, complete: bool) -> None:
        """The end of the answer; without it the stream is reset, so that the client can tell."""
        if complete:
            await self._stream.send_data(b"", end_stream=True)
        else:
            await self._stream.reset()
