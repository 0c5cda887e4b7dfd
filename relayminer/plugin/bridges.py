"""What a transport of conversations is offered: many messages each way on one connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    import trio

    from relayminer.net.http1 import Headers
    from relayminer.net.wire import AnyWire


@frozen
class BridgeLimits:
    """What one conversation may cost. Sizes in bytes, times in seconds."""

    max_message_bytes: int = 15_728_640
    ping_interval_seconds: float = 27.0
    read_timeout_seconds: float = 30.0
    """Without a message or a pong of a side for so long, that side is gone."""
    write_timeout_seconds: float = 10.0
    close_timeout_seconds: float = 2.0
    """How long to wait for the other's half of a farewell."""


@frozen
class BridgeCall:
    """A request for a conversation, as a transport read it.

    Attributes:
        target: path and query.
        headers: names in lower case.
        transport: name of the transport.
    """

    target: str
    headers: Headers
    transport: str


@frozen
class BackendTarget:
    """A backend to open the other half of a conversation with.

    Attributes:
        wire: connected, TLS done; its deadline is looked after. The engine closes it when opening
            fails, the transport when the conversation is over.
        authority: for the Host header.
        target: path and query to ask for.
        headers: to send along.
    """

    wire: AnyWire
    authority: str
    target: str
    headers: Headers


Connect = Callable[[BackendTarget], Awaitable[None]]
"""Opens the backend's half; raises NetError when that endpoint cannot be used."""


@frozen
class BridgeEnd:
    """Why a conversation is over.

    Attributes:
        code: for the client (relayer.md 3.5).
        reason: at most 123 bytes.
        notice: a signed relay response to send first, or None.
    """

    code: int
    reason: str
    notice: bytes | None = None


class Bridge(Protocol):
    """One open conversation. Calls for one direction must follow each other, never overlap."""

    @property
    def ended(self) -> trio.Event:
        """Set once `ending` is known."""
        ...

    @property
    def ending(self) -> BridgeEnd | None:
        """Why it is over; None while it is not."""
        ...

    async def request(self, message: bytes) -> bytes | None:
        """A client's message, admitted and charged: what to send to the backend.

        None when it was refused; the conversation has ended then.
        """
        ...

    def delivered(self) -> None:
        """The last request is with the backend."""
        ...

    def undelivered(self) -> None:
        """The last request did not reach the backend: its charge is given back."""
        ...

    async def answer(self, message: bytes) -> bytes | None:
        """A backend's message, signed and logged: what to send to the client.

        None when there is nothing to send: it cannot be signed, or the conversation has ended.
        """
        ...

    async def hold(self, size: int) -> None:
        """A backend's message has `size` bytes in memory by now; returns when that may be.

        Ask before more of it is read: all answers in hand have a bound
        (`relayer.max_answer_bytes_in_flight`), and who does not read on makes its sender wait.
        """
        ...

    def let_go(self) -> None:
        """The client has the last answer, or will not get it."""
        ...

    def end(self, code: int, reason: str) -> None:
        """The conversation is over, if it is not already."""
        ...

    def close(self) -> None:
        """Nothing comes any more: what was charged and not answered is given back."""
        ...
