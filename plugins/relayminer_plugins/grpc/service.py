"""`pocket.service.RelayService/SendRelay`: each message is a relay, each answer its response."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import trio
from grpclib.const import Status
from grpclib.metadata import decode_timeout, encode_grpc_message

from relayminer.plugin import RelayCall, WireError, WireTimeoutError
from relayminer_plugins.grpc.messages import (
    ENCODINGS,
    GZIP,
    CallError,
    MessageReader,
    framed,
    not_received,
)
from relayminer_plugins.grpc.status import SUCCESS, CallStatus, status_of
from relayminer_plugins.grpc.streams import TooMuchHeldError

if TYPE_CHECKING:
    from relayminer.plugin import Engine, Headers
    from relayminer_plugins.grpc.streams import TrioStream

SEND_RELAY: Final = b"/pocket.service.RelayService/SendRelay"
CONTENT_TYPE: Final = b"application/grpc"
NAME: Final = "grpc"
_PROTO: Final = b"application/grpc+proto"
_IDENTITY: Final = frozenset({b"", b"identity"})
_NEEDED: Final = frozenset(
    {b":path", b"content-type", b"grpc-encoding", b"grpc-timeout", b"grpc-accept-encoding"}
)
_SAID: Final = frozenset({b"rpc-type", b"traceparent"})
_MAX_WORDS: Final = 1_000
"""Characters of a message: what a client sent may be in it, and headers are dear to encode."""
_STATUS: Final = b"grpc-status"
_OK_TRAILERS: Final = [(_STATUS, b"0")]


class Call:
    """One call of a client: unary, or any number of messages each way.

    Args:
        stream: of the connection.
        headers: of the request.
        engine: answers the relays.
    """

    def __init__(self, stream: TrioStream, headers: Headers, engine: Engine) -> None:
        self._stream = stream
        self._engine = engine
        self._metadata = metadata(headers)
        fields = {name: value for name, value in headers if name in _NEEDED}
        self._path = fields.get(b":path", b"")
        self._type = _PROTO if fields.get(b"content-type") == _PROTO else CONTENT_TYPE
        self._encoding = fields.get(b"grpc-encoding", b"")
        self._timeout = fields.get(b"grpc-timeout", b"")
        self._compress = self._encoding == GZIP and GZIP in fields.get(b"grpc-accept-encoding", b"")
        self._began = False
        self._deadline = math.inf
        self._patience_ends = math.inf

    async def serve(self) -> None:
        """Answer messages until the client has no more, or one of them is refused.

        Raises:
            WireError: the client left.
            WireTimeoutError: it does not take its answers.
        """
        try:
            status = await self._exchange_all()
        except CallError as error:
            status = error.status
            if error.is_counted:
                self._engine.refuse(400, status.message, reason="recv_error", grpc=True)
        if status is not None:
            await self._finish(status)

    async def _exchange_all(self) -> CallStatus | None:
        """How the call ends; None when the client has been told already."""
        if self._path != SEND_RELAY:
            method = self._path.decode("latin-1")
            return CallStatus(Status.UNIMPLEMENTED, f"unknown method: {method}")
        if self._encoding not in _IDENTITY and self._encoding != GZIP:
            encoding = self._encoding.decode("latin-1")
            return CallStatus(
                Status.UNIMPLEMENTED,
                f'grpc: Decompressor is not installed for grpc-encoding "{encoding}"',
            )
        self._deadline = trio.current_time() + self._seconds()
        limits = self._engine.limits
        reader = MessageReader(self._take, limits.max_grpc_message_bytes, self._encoding)
        patience_seconds = limits.body_timeout_seconds
        while True:
            message = await self._receive(reader, patience_seconds)
            if message is None:
                break
            call = RelayCall(message, self._metadata, NAME, grpc=True)
            self._stream.at_work = True
            answer = await self._engine.exchange(call)
            status = status_of(answer)
            if status is not SUCCESS:
                return status
            is_last = reader.between and self._stream.inbox.finished
            await self._send(call, answer.body, is_last=is_last)
            if is_last:
                return None
            self._stream.let_go()
            # Nothing of them is kept while the client thinks.
            del message, call, answer
            patience_seconds = limits.idle_timeout_seconds
        if not self._began:
            raise not_received("EOF")
        return SUCCESS

    def _seconds(self) -> float:
        """How long the client waits for the call as a whole."""
        if not self._timeout:
            return math.inf
        try:
            return float(decode_timeout(self._timeout.decode("ascii")))
        except ValueError:
            raise not_received("malformed grpc-timeout") from None

    async def _receive(self, reader: MessageReader, seconds: float) -> bytes | None:
        """The next message, None at the end; its time is bounded by ours and by the call's own."""
        now = trio.current_time()
        if now >= self._deadline:
            raise CallError(_TOO_LATE, is_counted=False)
        self._patience_ends = min(now + seconds, self._deadline)
        try:
            return await reader.next()
        except trio.TooSlowError:
            if trio.current_time() >= self._deadline:
                raise CallError(_TOO_LATE, is_counted=False) from None
            if self._engine.draining:
                raise CallError(_STOPPING, is_counted=False) from None
            raise not_received("not received in time") from None
        except TooMuchHeldError:
            raise CallError(_TOO_MUCH) from None

    async def _take(self) -> bytes | None:
        return await self._stream.take(self._patience_ends)

    async def _send(self, call: RelayCall, body: bytes, *, is_last: bool) -> None:
        """One response; with the end of the call, when the client has said its own."""
        body = framed(body, compress=self._compress)
        stream = self._stream
        try:
            if not self._began and is_last:
                await stream.respond(self._head(), body, _OK_TRAILERS)
                return
            if not self._began:
                self._began = True
                await stream.send_fields(self._head())
            await stream.send_piece(body)
            if is_last:
                await stream.send_fields(_OK_TRAILERS, end_stream=True)
            await stream.outbox.flush_exposed()
        except (WireError, WireTimeoutError):
            self._engine.undelivered(call)
            raise

    def _head(self) -> Headers:
        head = [(b":status", b"200"), (b"content-type", self._type)]
        if self._compress:
            head.append((b"grpc-encoding", GZIP))
        head.append((b"grpc-accept-encoding", ENCODINGS))
        return head

    async def _finish(self, status: CallStatus) -> None:
        trailers = trailers_of(status)
        if self._began:
            await self._stream.send_fields(trailers, end_stream=True)
        else:
            await self._stream.respond([*self._head(), *trailers], b"")


_TOO_LATE: Final = CallStatus(Status.DEADLINE_EXCEEDED, "the call's own deadline has passed")
_STOPPING: Final = CallStatus(Status.UNAVAILABLE, "relayer is shutting down")
_TOO_MUCH: Final = CallStatus(
    Status.RESOURCE_EXHAUSTED, "failed to receive request: too much at once on this connection"
)


def metadata(headers: Headers) -> Headers:
    """What of the call's headers is said of its relays; the others are gRPC's own."""
    return [field for field in headers if field[0].startswith(b"pocket-") or field[0] in _SAID]


def trailers_of(status: CallStatus) -> Headers:
    """`grpc-status` and, when there is something to say, `grpc-message`."""
    trailers = [(_STATUS, b"%d" % status.code.value)]
    if status.message:
        words = status.message[:_MAX_WORDS]
        trailers.append((b"grpc-message", encode_grpc_message(words).encode("ascii")))
    return trailers
