"""What a transport is, and what it may ask of the relayer."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from relayminer.telemetry.metrics import UNKNOWN

if TYPE_CHECKING:
    from relayminer.net.held import Lease
    from relayminer.net.http1 import Headers, HttpLimits, Request
    from relayminer.net.wire import Wire
    from relayminer.plugin.bridges import Bridge, BridgeCall, BridgeLimits, Connect


class Claim(enum.Enum):
    """What a transport says to the first bytes of a connection."""

    NO = "no"
    YES = "yes"
    MORE = "more"
    """Undecided: ask again when there are more bytes."""


class RelayCall:
    """A relay as a transport read it.

    Attributes:
        body: the serialized `RelayRequest`.
        headers: of the request that carried it; names in lower case.
        transport: name of the transport.
        may_compress: whether the answer's body may be gzip if `headers` accept it: the transport
            then passes the answer's own headers on.
        grpc: whether it came as a gRPC call, for which two rules differ (relayer.md 4.2, 4.3):
            without `rpc-type` the backend request's own content type may choose the gRPC backend,
            and a backend that cannot be reached is answered with a signed error response.
        service: its label in metrics, set by the engine; "unknown" until it is one of ours.
    """

    __slots__ = ("body", "grpc", "headers", "may_compress", "service", "transport")

    def __init__(
        self,
        body: bytes,
        headers: Headers,
        transport: str,
        *,
        may_compress: bool = False,
        grpc: bool = False,
    ) -> None:
        self.body = body
        self.headers = headers
        self.transport = transport
        self.may_compress = may_compress
        self.grpc = grpc
        self.service = UNKNOWN


class RelayAnswer:
    """What the engine answers, in HTTP's terms; a transport maps it to its own.

    Attributes:
        status: 200 for a signed relay response, else the reason's status.
        body: a serialized `RelayResponse`, or the JSON `{"error": ...}`.
        content_type: of the body.
        headers: further ones, or None.
        lease: counts a large body as held until nobody has the answer any more: let go of it when
            it is written.
        reason: why there is no relay response, as `relays_rejected_total` calls it; else empty.
    """

    __slots__ = ("body", "content_type", "headers", "lease", "reason", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: bytes = b"application/json",
        headers: Headers | None = None,
        reason: str = "",
        lease: Lease | None = None,
    ) -> None:
        self.lease = lease
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.reason = reason


class StreamAnswer:
    """What became of an answer that went to an `AnswerSink`.

    Attributes:
        complete: False when its end is missing. The client must be able to see that, by a missing
            last chunk or a reset.
    """

    __slots__ = ("complete",)

    def __init__(self, *, complete: bool) -> None:
        self.complete = complete


class AnswerSink(Protocol):
    """Where an answer goes that is written piece by piece: a transport's side of one request.

    `begin` and `send` raise WireError or WireTimeoutError when the client does not take them.
    """

    async def begin(self, status: int, headers: Headers) -> None:
        """Status and headers of the answer; called once, before the first piece.

        The headers say nothing about length, framing or the connection: that is the transport's.
        """
        ...

    async def send(self, piece: bytes) -> None:
        """Write `piece`, and do not keep it back."""
        ...

    async def gone(self) -> None:
        """Return when the client has hung up; it may be that this is never noticed."""
        ...


@runtime_checkable
class RequestTaker(Protocol):
    """A transport that also takes single HTTP requests, whatever connection they come by.

    A transport that has both methods is asked by whoever reads HTTP (`Engine.taker`).
    """

    def takes(self, request: Request) -> bool:
        """Whether the request is this transport's. Asked for every request: must be quick."""
        ...

    async def answer(self, request: Request, engine: Engine) -> RelayAnswer:
        """Answer it; never raises for what a client or a backend does."""
        ...


class Engine(Protocol):
    """What a transport may ask of the relayer."""

    @property
    def limits(self) -> HttpLimits:
        """What one connection may cost."""
        ...

    @property
    def draining(self) -> bool:
        """Whether the relayer is stopping: answer what is in hand, then hang up."""
        ...

    async def exchange(self, call: RelayCall) -> RelayAnswer:
        """One request, one signed answer: admitted, metered, forwarded, signed and logged.

        Never raises for what a client or a backend does. When it returns, the relay is logged.
        """
        ...

    async def stream(self, call: RelayCall, sink: AnswerSink) -> RelayAnswer | StreamAnswer:
        """As `exchange`, for transports whose answers may be written piece by piece.

        When the backend streams, `sink` gets signed batches while it does (each one followed by
        the delimiter that gateways split on), and the transport has but to end the answer. When
        the client hangs up, the backend's work is cancelled. Anything else is returned as from
        `exchange`, and `sink` is not used.
        """
        ...

    @property
    def bridge_limits(self) -> BridgeLimits:
        """What one conversation may cost."""
        ...

    async def bridge(self, call: BridgeCall, connect: Connect) -> Bridge | RelayAnswer:
        """Open a conversation; the answer to the handshake when there is none to be had.

        `connect` is called for one endpoint after another until one could be used; it opens the
        backend's half. Who gets a bridge closes it.
        """
        ...

    def taker(self, request: Request) -> RequestTaker | None:
        """The transport that takes this one request (gRPC-Web), None for a relay over HTTP."""
        ...

    def undelivered(self, call: RelayCall) -> None:
        """Count an answer to `call` that its client did not take; the relay stays logged."""
        ...

    def status(self, path: str) -> RelayAnswer | None:
        """The answer to `/health`, `/ready` and `/ready/{service}`; None for any other path."""
        ...

    def refuse(self, status: int, message: str, *, reason: str, grpc: bool = False) -> RelayAnswer:
        """The answer to bytes that never became a relay; counted as rejected for `reason`.

        `grpc` counts it among the errors of gRPC calls too.
        """
        ...


class Transport(Protocol):
    """Turns one wire into calls on the engine, and the answers back into that wire.

    One whose protocol has a name in ALPN (`h2`) has an attribute `alpn`, a tuple of names: they are
    offered to clients that speak TLS.

    A transport whose connections say goodbye themselves sets `ends_itself` of their wires and has
    a method `drain()`, which is called once when the relayer stops.
    """

    @property
    def name(self) -> str:
        """How settings, logs and metrics call it."""
        ...

    def claims(self, head: bytes) -> Claim:
        """Whether a connection that starts with `head` is this transport's. Must not block.

        Transports are asked in the order of `priority`; the first YES has it.
        """
        ...

    @property
    def priority(self) -> int:
        """Lower is asked earlier; one that claims whatever is left uses a high number."""
        ...

    async def serve(self, wire: Wire, engine: Engine) -> None:
        """Serve the connection until it ends. The caller closes the wire afterwards.

        Errors of the connection (`WireError`, `WireTimeoutError`) may leave this call.
        """
        ...
