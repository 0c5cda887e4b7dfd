"""Text frames that carry any bytes.

Gateways copy the frame type of their user, so protobuf travels in text frames, both ways. wsproto
insists on UTF-8; these two classes map each byte to the character of the same number instead, and
back. Written for wsproto 1.2 and 1.3: their `FrameProtocol` keeps a decoder in `_message_decoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsproto.frame_protocol import Frame, MessageDecoder, Opcode, ParseFailed
from wsproto.utilities import LocalProtocolError

if TYPE_CHECKING:
    from wsproto import WSConnection


class RawMessageDecoder(MessageDecoder):
    """Joins frames to messages without looking into text."""

    def process_frame(self, frame: Frame) -> Frame:
        """A data frame as part of its message; text as one character per byte.

        Raises:
            ParseFailed: a continuation of nothing, or a new message within another.
        """
        opcode = self.opcode
        if opcode is None:
            if frame.opcode is Opcode.CONTINUATION:
                raise ParseFailed("unexpected CONTINUATION")
            opcode = self.opcode = frame.opcode
        elif frame.opcode is not Opcode.CONTINUATION:
            raise ParseFailed(f"expected CONTINUATION, got {frame.opcode!r}")
        payload = frame.payload
        if opcode is Opcode.TEXT and isinstance(payload, bytes):
            payload = payload.decode("latin-1")
        finished = frame.frame_finished and frame.message_finished
        if finished:
            self.opcode = None
        return Frame(opcode, payload, frame.frame_finished, finished)


class RawText(str):
    """Text whose encoding, whichever is asked for, is the bytes that it was made of."""

    __slots__ = ("raw",)

    raw: bytes

    @classmethod
    def of(cls, data: bytes) -> RawText:
        """`data`, to be sent as text."""
        text = cls()
        text.raw = data
        return text

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002 - the signature of str
        """The bytes themselves."""
        return self.raw


def make_raw(connection: WSConnection) -> None:
    """Let text frames of an open connection carry any bytes."""
    if connection.connection is None:
        raise LocalProtocolError("no handshake yet")
    connection.connection._proto._message_decoder = RawMessageDecoder()  # noqa: SLF001 - wsproto has no public way
