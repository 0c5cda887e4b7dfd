"""`pocket.service.RelayService/SendRelay`: each message is a relay, each answer its response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from grpclib.const import Status
from grpclib.metadata import decode_timeout, encode_grpc_message

from relayminer.plugin import RelayCall
from relayminer_plugins.grpc.messages import (
    ENCODINGS,
    GZIP,
    CallError,
    MessageReader,
    framed,
    not_received,
)
from relayminer_plugins.grpc.status import SUCCESS, CallStatus, status_of

if TYPE_CHECKING:
    from relayminer.plugin import Engine, Headers
    from relayminer_plugins.grpc.streams import TrioStream

SEND_RELAY: Final = b"/pocket.service.RelayService/SendRelay"
CONTENT_TYPE: Final = b"application/grpc"
_PROTO: Final = b"application/grpc+proto"
_IDENTITY: Final = frozenset({b"", b"identity"})
NAME: Final = "grpc"


class Call:
    """One call of a client.

    Args:
        stream: of the connection.
        headers: of the request.
        engine: answers the relays.
    """

    def __init__(self, stream: TrioStream, headers: Headers, engine: Engine) -> None:
        self._stream = stream
        self._engine = engine
        self._headers = headers
        fields = dict(headers)
        self._path = fields.get(b":path", b"")
        self._type = _PROTO if fields.get(b"content-type") == _PROTO else CONTENT_TYPE
        self._encoding = fields.get(b"grpc-encoding", b"")
        self._timeout = fields.get(b"grpc-timeout", b"")
        self._compress = self._encoding == GZIP and GZIP in fields.get(b"grpc-accept-encoding", b"")

    async def serve(self) -> None:
        """Answer messages until the client has no more, or one of them is refused."""
        try:
            with trio.move_on_after(self._seconds()) as patience:
                status = await self._exchange_all()
            if patience.cancelled_caught:
                status = CallStatus(Status.DEADLINE_EXCEEDED, "the call's own deadline has passed")
        except CallError as error:
            status = error.status
            # Counted, and worded by the status.
            self._engine.refuse(400, status.message, reason="recv_error")
        await self._finish(status)

    def _seconds(self) -> float:
        if not self._timeout:
            return float("inf")
        try:
            return float(decode_timeout(self._timeout.decode("ascii")))
        except ValueError:
            raise not_received("invalid grpc-timeout") from None

    async def _exchange_all(self) -> CallStatus:
        if self._path != SEND_RELAY:
            method = self._path.decode("latin-1")
            return CallStatus(Status.UNIMPLEMENTED, f"unknown method: {method}")
        if self._encoding not in _IDENTITY and self._encoding != GZIP:
            encoding = self._encoding.decode("latin-1")
            return CallStatus(
                Status.UNIMPLEMENTED, f"grpc: no decompressor for grpc-encoding {encoding!r}"
            )
        reader = MessageReader(
            self._stream.inbox.take, self._engine.limits.max_grpc_message_bytes, self._encoding
        )
        count = 0
        while True:
            message = await self._receive(reader, count)
            if message is None:
                break
            count += 1
            call = RelayCall(message, self._headers, NAME, grpc=True)
            answer = await self._engine.exchange(call)
            status = status_of(message, answer, self._engine)
            if status is not SUCCESS:
                return status
            await self._send(answer.body)
        if not count:
            raise not_received("no message")
        return SUCCESS

    async def _receive(self, reader: MessageReader, count: int) -> bytes | None:
        if self._stream.inbox.ended:
            return await reader.next()
        limits = self._engine.limits
        seconds = limits.idle_timeout_seconds if count else limits.body_timeout_seconds
        with trio.move_on_after(seconds):
            return await reader.next()
        raise not_received("not received in time")

    async def _send(self, body: bytes) -> None:
        with trio.fail_after(self._engine.limits.write_timeout_seconds):
            await self._begin()
            await self._stream.send_data(framed(body, compress=self._compress))

    async def _begin(self) -> None:
        if not self._stream.began:
            self._stream.began = True
            await self._stream.send_fields(self._head())

    def _head(self) -> Headers:
        head = [(b":status", b"200"), (b"content-type", self._type)]
        if self._compress:
            head.append((b"grpc-encoding", GZIP))
        return [*head, (b"grpc-accept-encoding", ENCODINGS)]

    async def _finish(self, status: CallStatus) -> None:
        trailers = trailers_of(status)
        if not self._stream.began:
            self._stream.began = True
            trailers = [*self._head(), *trailers]
        with trio.fail_after(self._engine.limits.write_timeout_seconds):
            await self._stream.send_fields(trailers, end_stream=True)


def trailers_of(status: CallStatus) -> Headers:
    """`grpc-status` and, when there is something to say, `grpc-message`."""
    trailers = [(b"grpc-status", b"%d" % status.code.value)]
    if status.message:
        trailers.append((b"grpc-message", encode_grpc_message(status.message).encode("ascii")))
    return trailers
