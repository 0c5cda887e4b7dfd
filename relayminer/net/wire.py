"""A connected socket, read and written from the loop with as few turns of it as can be.

Trio's own socket stream passes through the scheduler on every send and receive. On the relay path
that costs as much as a signature, so `Wire` waits for readability, the one turn that is needed, and
writes at once. Deadlines cost nothing per message either: a `Watchdog` looks at `expires_at` of all
wires several times a second and wakes the late ones by shutting their socket down.
"""

from __future__ import annotations

import math
import socket
from typing import Protocol

import trio
from trio.lowlevel import notify_closing, wait_readable, wait_writable

from relayminer.net.errors import WireError, WireTimeoutError

RECEIVE_BYTES = 65_536


class AnyWire(Protocol):
    """What the HTTP code needs of a connection."""

    expires_at: float
    expired: bool

    async def receive(self, limit: int = RECEIVE_BYTES) -> bytes:
        """Up to `limit` bytes, empty at the end of the peer's data."""
        ...

    async def send(self, data: bytes) -> None:
        """Write all of `data`."""
        ...

    def is_stale(self) -> bool:
        """Whether the peer has closed, or said something unasked, while nobody was reading."""
        ...

    def expire(self) -> None:
        """Wake whoever waits on this wire; its call raises WireTimeoutError."""
        ...

    def close(self) -> None:
        """Give the socket back. Never blocks."""
        ...


class Wire:
    """A non-blocking stream socket.

    Attributes:
        expires_at: Trio time after which the watchdog wakes the wire's reader or writer.
        expired: whether that has happened.
        ends_itself: its owner says goodbye when the process stops, and must hear the answer.
    """

    __slots__ = ("_descriptor", "_socket", "_writing", "ends_itself", "expired", "expires_at")

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)  # noqa: FBT003 - the name of the standard library's argument
        if connected.family in {socket.AF_INET, socket.AF_INET6}:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._descriptor = connected.fileno()
        self._writing = False
        self.expires_at = math.inf
        self.expired = False
        self.ends_itself = False

    async def receive(self, limit: int = RECEIVE_BYTES) -> bytes:
        """Up to `limit` bytes, empty at the end of the peer's data.

        Raises:
            WireTimeoutError: the watchdog woke us.
            WireError: the connection broke.
        """
        while True:
            if self._descriptor < 0:
                raise WireError("the connection is closed")
            try:
                await wait_readable(self._descriptor)
                data = self._socket.recv(limit)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError) as error:
                raise self._error(error) from error
            if not data and self.expired:
                raise WireTimeoutError("the peer was silent for too long")
            return data

    async def send(self, data: bytes) -> None:
        """Write all of `data`; waits only while the socket's buffer is full.

        Raises:
            WireTimeoutError: the watchdog woke us.
            WireError: the connection broke.
        """
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self._error(error) from error
        if sent < len(data):
            await self._send_rest(memoryview(data)[sent:])

    async def _send_rest(self, rest: memoryview) -> None:
        self._writing = True
        try:
            while rest:
                await wait_writable(self._descriptor)
                try:
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    continue
        except (OSError, trio.ClosedResourceError) as error:
            raise self._error(error) from error
        finally:
            self._writing = False

    async def drain(self, pending: bytearray) -> None:
        """Write all of `pending` and take out what is written; it may grow meanwhile.

        Cancelled, what was not written is still there. One task at a time.

        Raises:
            WireTimeoutError: the watchdog woke us.
            WireError: the connection broke.
        """
        self._writing = True
        try:
            while pending:
                try:
                    del pending[: self._socket.send(pending)]
                except BlockingIOError:
                    await wait_writable(self._descriptor)
        except (OSError, trio.ClosedResourceError) as error:
            raise self._error(error) from error
        finally:
            self._writing = False

    def drain_some(self, pending: bytearray) -> None:
        """As `drain`, but only what the socket takes at once; a broken one takes nothing."""
        try:
            while pending:
                del pending[: self._socket.send(pending)]
        except OSError:
            return

    def receive_now(self) -> bytes | None:
        """As `receive`, but None when there is nothing yet.

        Raises:
            WireError: the connection broke.
        """
        try:
            return self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> WireTimeoutError | WireError:
        if self.expired:
            return WireTimeoutError("the peer took longer than it was given")
        return WireError(f"connection broken: {error}")

    async def peek(self, limit: int) -> bytes:
        """The next bytes, left where they are; empty at the end of the peer's data.

        Raises:
            WireTimeoutError: the watchdog woke us.
            WireError: the connection broke.
        """
        while True:
            try:
                await wait_readable(self._descriptor)
                data = self._socket.recv(limit, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError) as error:
                raise self._error(error) from error
            if not data and self.expired:
                raise WireTimeoutError("the peer was silent for too long")
            return data

    def is_stale(self) -> bool:
        """Whether the peer has closed, or said something unasked, while nobody was reading."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def expire(self) -> None:
        """Wake whoever waits on this wire; its call raises WireTimeoutError.

        A reader's write side stays open, so that it can still say why it hangs up.
        """
        self.expired = True
        self._shutdown(socket.SHUT_RDWR if self._writing else socket.SHUT_RD)

    def stop_reading(self) -> None:
        """As `expire` for a reader; a writer is left to finish."""
        self.expired = True
        self._shutdown(socket.SHUT_RD)

    def finish_writing(self) -> None:
        """Tell the peer that nothing more comes."""
        self._shutdown(socket.SHUT_WR)

    def _shutdown(self, how: int) -> None:
        try:
            self._socket.shutdown(how)
        except OSError:
            return

    def close(self) -> None:
        """Give the socket back. Never blocks."""
        if self._descriptor >= 0:
            notify_closing(self._descriptor)
            self._descriptor = -1
            self._socket.close()

    def detach(self) -> socket.socket:
        """Hand the socket over to another owner; the wire is closed for us."""
        owned = self._socket
        if self._descriptor >= 0:
            notify_closing(self._descriptor)
            self._descriptor = -1
        return owned
