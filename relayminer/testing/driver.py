"""What the author of a transport writes so that the conformance suite can drive it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from relayminer.errors import RelayMinerError

if TYPE_CHECKING:
    import trio

Bodies = Callable[[int], bytes]
"""What a backend says to its n-th request, counted from 0."""


class HungUpError(RelayMinerError):
    """The relayer ended the connection without a word."""


@frozen
class Reply:
    """What a client was told.

    Attributes:
        response: a serialized `RelayResponse`, empty when the relay was refused.
        refusal: the relayer's words, empty when the relay was served.
        ended: the connection cannot carry another relay.
    """

    response: bytes = b""
    refusal: str = ""
    ended: bool = False


class ConnectRefusedError(RelayMinerError):
    """The relayer refused before a relay could be sent; the text is what it said."""


class DrivenConnection(Protocol):
    """One client's connection to the relayer."""

    async def send(self, body: bytes) -> None:
        """Send the bytes of a `RelayRequest`, or what pretends to be one.

        A relayer that hung up meanwhile is told by `receive`, not here.
        """
        ...

    async def receive(self) -> Reply:
        """The answer to the oldest relay that has none yet.

        Raises:
            HungUpError: the relayer ended the connection without an answer.
        """
        ...

    async def aclose(self) -> None:
        """Go away at once, without a farewell."""
        ...


class DrivenBackend(Protocol):
    """The node behind the relayer, as this transport's relays need it.

    Attributes:
        hold: while set to an event, answers wait for it.
    """

    hold: trio.Event | None

    @property
    def url(self) -> str:
        """What the relayer's configuration calls it."""
        ...

    @property
    def asked(self) -> int:
        """Requests seen so far."""
        ...

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled."""
        ...


class TransportDriver(Protocol):
    """Plays the client of one transport, and the node that its relays are for."""

    @property
    def name(self) -> str:
        """The transport's, for reports."""
        ...

    @property
    def backend_type(self) -> str:
        """The key below `relayer.services.*.backends` that its relays go to."""
        ...

    def oversize_bytes(self, max_body_bytes: int) -> int:
        """The size of a payload that is too large for a service with this `max_body_bytes`."""
        ...

    def payload(self, number: int) -> bytes:
        """The payload of a relay request; different for each number."""
        ...

    def backend(self, bodies: Bodies) -> DrivenBackend:
        """A node that answers its n-th request with `bodies(n)`."""
        ...

    async def connect(self, address: tuple[str, int], service: str) -> DrivenConnection:
        """A new connection to the relayer at `address`, for relays of `service`.

        Raises:
            ConnectRefusedError: the relayer said no.
            OSError: nobody listens.
        """
        ...
