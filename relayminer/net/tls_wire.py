"""The same wire over TLS: OpenSSL works on two buffers in memory, the socket is ours.

Nothing here waits that `Wire` would not wait for, so a relay over TLS costs its ciphers and little
else, and deadlines, `expire` and `stop_reading` mean what they mean without TLS.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from relayminer.net.errors import WireError
from relayminer.net.wire import RECEIVE_BYTES, Wire

if TYPE_CHECKING:
    import socket

_ENCRYPT_BYTES = 262_144
_RECORD_BYTES = 16_384


class TlsWire(Wire):
    """A non-blocking stream socket with TLS on it, from `handshake` on.

    Before that it is as a `Wire`: that is where a PROXY header is read, and where who speaks no
    TLS can be told so.

    What was encrypted is sent in its order, whoever was cancelled meanwhile: it waits in `_unsent`
    for the next write.

    Args:
        connected: the socket.
        context: of either side.
        server_name: whom a client wants to talk to; None on a server's side.
    """

    __slots__ = (
        "_ahead",
        "_ended",
        "_established",
        "_inbound",
        "_outbound",
        "_secure",
        "_tls",
        "_unsent",
    )

    def __init__(
        self, connected: socket.socket, context: ssl.SSLContext, *, server_name: str | None = None
    ) -> None:
        super().__init__(connected)
        self._inbound = ssl.MemoryBIO()
        self._outbound = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._inbound,
            self._outbound,
            server_side=server_name is None,
            server_hostname=server_name,
        )
        self._unsent = bytearray()
        self._ahead = bytearray()
        self._secure = False
        self._established = False
        self._ended = False

    async def handshake(self) -> None:
        """Agree on keys; the peer learns of it when we cannot.

        Raises:
            WireTimeoutError: the watchdog woke us.
            WireError: the connection broke, or the peers have no ground in common.
        """
        self._secure = True
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                self._feed(await super().receive(RECEIVE_BYTES))
            except (ssl.SSLError, ValueError) as error:
                # ValueError: a certificate with a name that no host can have.
                self._flush_some()
                self._secure = False
                raise WireError(f"no TLS: {getattr(error, 'reason', None) or error}") from error
            else:
                self._established = True
                await self._flush()
                return

    @property
    def protocol(self) -> str:
        """What both sides agreed to speak (ALPN), or empty."""
        return self._tls.selected_alpn_protocol() or ""

    async def receive(self, limit: int = RECEIVE_BYTES) -> bytes:
        """As `Wire.receive`."""
        if not self._secure:
            return await super().receive(limit)
        if self._ahead:
            data = bytes(self._ahead[:limit])
            del self._ahead[:limit]
            return data
        while True:
            plain = self._decrypt(limit)
            if plain is not None:
                return plain
            self._feed(await super().receive(RECEIVE_BYTES))

    async def send(self, data: bytes) -> None:
        """As `Wire.send`."""
        if not self._secure:
            await super().send(data)
            return
        view = memoryview(data)
        for start in range(0, len(view), _ENCRYPT_BYTES):
            self._encrypt(view[start : start + _ENCRYPT_BYTES])
            await self._flush()

    async def drain(self, pending: bytearray) -> None:
        """As `Wire.drain`."""
        if not self._secure:
            await super().drain(pending)
            return
        while pending:
            piece = bytes(memoryview(pending)[:_ENCRYPT_BYTES])
            self._encrypt(memoryview(piece))
            del pending[: len(piece)]
            await self._flush()
        await self._flush()

    def drain_some(self, pending: bytearray) -> None:
        """As `Wire.drain_some`."""
        self._flush_some()
        while pending and not self._unsent:
            piece = bytes(memoryview(pending)[:_RECORD_BYTES])
            try:
                self._encrypt(memoryview(piece))
            except WireError:
                return
            del pending[: len(piece)]
            self._flush_some()

    def receive_now(self) -> bytes | None:
        """As `Wire.receive_now`."""
        self._look()
        if self._ahead or self._ended:
            data = bytes(self._ahead)
            self._ahead.clear()
            return data
        return None

    async def peek(self, limit: int) -> bytes:
        """As `Wire.peek`: waits for a first byte, then shows all that are there."""
        if not self._secure:
            return await super().peek(limit)
        if self._ahead:
            self._look()
        else:
            self._ahead += await self.receive(max(limit, RECEIVE_BYTES))
        return bytes(self._ahead[:limit])

    def is_stale(self) -> bool:
        """As `Wire.is_stale`; session tickets and the like are no news."""
        try:
            self._look()
        except WireError:
            return True
        return self._ended or bool(self._ahead)

    def finish_writing(self) -> None:
        """Tell the peer that nothing more comes."""
        self._say_goodbye()
        super().finish_writing()

    def close(self) -> None:
        """Give the socket back, with a farewell if that takes no waiting. Never blocks."""
        self._say_goodbye()
        super().close()

    def _feed(self, data: bytes) -> None:
        if data:
            self._inbound.write(data)
        else:
            self._inbound.write_eof()

    def _decrypt(self, limit: int) -> bytes | None:
        """What has come, empty at the peer's end, None when more has to come first."""
        try:
            plain = self._tls.read(limit)
        except ssl.SSLWantReadError:
            self._flush_some()
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            # Many end without a farewell; that an answer is complete, its framing says.
            plain = b""
        except ssl.SSLError as error:
            self._flush_some()
            raise WireError(f"connection broken: {error.reason or error}") from error
        if not plain:
            self._ended = True
            return plain
        while len(plain) < limit and (self._tls.pending() or self._inbound.pending):
            try:
                plain += self._tls.read(limit - len(plain))
            except ssl.SSLError:
                # Half a record, or the end: the next call sees it again.
                break
        return plain

    def _look(self) -> None:
        """Take what has come, without waiting."""
        while not self._ended and len(self._ahead) < RECEIVE_BYTES:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                raise self._error(error) from error
            self._feed(data)
            self._ahead += self._decrypt(RECEIVE_BYTES) or b""

    def _encrypt(self, piece: memoryview) -> None:
        try:
            self._tls.write(piece)
        except ssl.SSLError as error:
            raise WireError(f"connection broken: {error.reason or error}") from error

    async def _flush(self) -> None:
        self._unsent += self._outbound.read()
        await super().drain(self._unsent)

    def _flush_some(self) -> None:
        """Send what the socket takes at once; the rest waits for the next write."""
        self._unsent += self._outbound.read()
        super().drain_some(self._unsent)

    def _say_goodbye(self) -> None:
        if not self._established or self._descriptor < 0:
            return
        self._established = False
        # We do not wait for the peer's half.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush_some()
