"""One conversation: many requests, many signed answers, one backend connection (relayer.md 3).

Every message of the client is admitted as an HTTP relay is, and charged. Every message of the
backend is an answer: to the oldest request that has none, else (a subscription's push) to the
latest request. A push is charged for itself (K-9). An answer is logged before it is handed out.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.plugin import BridgeEnd
from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpResponse, encode_http_response
from relayminer.protocol.errors import ProtocolError
from relayminer.protocol.pb.service_pb2 import RelayMinerError
from relayminer.protocol.relay import sign_response
from relayminer.relayer.errors import InvalidRelayError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from relayminer.cache.moment import ChainMoment
    from relayminer.net.http1 import Headers
    from relayminer.protocol.signature import SigningKey
    from relayminer.relayer.admit import Admission
    from relayminer.relayer.bridge_metrics import ServiceBridgeMetrics
    from relayminer.relayer.meter import Meter
    from relayminer.relayer.relay import Relay, SessionContext
    from relayminer.relayer.replay import ReplayGuard
    from relayminer.relayer.routes import Route

INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012
TRY_AGAIN_LATER: Final = 1013
SESSION_EXPIRED: Final = 4000
VALIDATION_FAILED: Final = 4001
LIMIT_EXCEEDED: Final = 4002

MAX_UNANSWERED: Final = 1_000
"""Requests that wait for an answer; of more, the oldest gets its charge back."""
_MAX_REASON_BYTES: Final = 123
_EXPIRED_PAYLOAD: Final = encode_http_response(
    HttpResponse(410, {"Content-Type": ["application/json"]}, b'{"error":"session expired"}')
)
_UNAVAILABLE: Final = 503
_SERVER_ERROR: Final = 500
_OVER_LIMIT: Final = 429


class BridgeStages:
    """The stages that conversations share with every other relay.

    Attributes:
        check: whether relays can be logged now; RefusedError when not.
        replays: refuses requests that were answered; None when they are relays like any other.
        record: logs a relay; True when it is mined, False when its charge was given back.
    """

    __slots__ = ("admission", "check", "keys", "meter", "moment", "record", "replays")

    def __init__(
        self,
        admission: Admission,
        meter: Meter,
        moment: ChainMoment,
        keys: Mapping[str, SigningKey],
        check: Callable[[], None],
        record: Callable[..., Awaitable[bool]],
        replays: ReplayGuard | None,
    ) -> None:
        self.replays = replays
        self.check = check
        self.admission = admission
        self.meter = meter
        self.moment = moment
        self.keys = keys
        self.record = record


class _Accepted:
    """A request that was let through."""

    __slots__ = ("charged", "context", "relay")

    def __init__(self, relay: Relay, context: SessionContext, *, charged: bool) -> None:
        self.relay = relay
        self.context = context
        self.charged = charged


class OpenBridge:
    """What a transport gets (`relayminer.plugin.Bridge`).

    Args:
        stages: of the engine.
        route: the service's WebSocket backend.
        headers: of the handshake.
        metrics: of the service.
        forget: called once, when the conversation is closed.
    """

    def __init__(
        self,
        stages: BridgeStages,
        route: Route,
        headers: Headers,
        metrics: ServiceBridgeMetrics,
        forget: Callable[[OpenBridge], None],
    ) -> None:
        self._stages = stages
        self._route = route
        self._headers = headers
        self._metrics = metrics
        self._forget = forget
        self._unanswered: deque[_Accepted] = deque()
        self._latest: _Accepted | None = None
        self._draining = False
        self.ended = trio.Event()
        self.ending: BridgeEnd | None = None
        metrics.total.value += 1
        metrics.active.value += 1

    @property
    def grace_end_height(self) -> int:
        """The last height of the latest request's session and grace; 0 before the first."""
        return 0 if self._latest is None else self._latest.context.grace_end_height

    async def request(self, message: bytes) -> bytes | None:
        """A client's message, admitted and charged: its payload; None when it was refused."""
        self._metrics.to_backend.value += 1
        if self._draining:
            # Nothing new is taken, and nothing more is read: the sender keeps what it has.
            await self.ended.wait()
        if self.ending is not None:
            return None
        metrics = self._route.metrics
        metrics.received.value += 1
        metrics.request_bytes.observe(len(message))
        try:
            accepted = await self._accept(message)
        except RefusedError as refusal:
            self._refused(refusal)
            return None
        except Exception:  # noqa: BLE001 - one message's accident ends its conversation and no other
            structlog.get_logger("relayminer.relayer").exception("relay_failed")
            self.end(INTERNAL_ERROR, "internal error")
            return None
        if len(self._unanswered) >= MAX_UNANSWERED:
            self._give_back(self._unanswered.popleft())
        self._unanswered.append(accepted)
        self._latest = accepted
        return accepted.relay.request.payload

    def undelivered(self) -> None:
        """The last request did not reach the backend: its charge is given back."""
        if self._unanswered:
            self._give_back(self._unanswered.pop())

    async def answer(self, message: bytes) -> bytes | None:
        """A backend's message, signed and logged; None when there is nothing to send."""
        self._metrics.to_gateway.value += 1
        if self.ending is not None:
            return None
        latest = self._latest
        if latest is None:
            # Nobody has asked for anything that could be signed: as it comes, and for free.
            return message
        if not message:
            # The chain's rules have no signature for an empty answer.
            return None
        try:
            body = await self._emit(latest, message)
        except RefusedError as refusal:
            self._refused(refusal)
            return None
        except Exception:  # noqa: BLE001 - as in `request`
            structlog.get_logger("relayminer.relayer").exception("relay_failed")
            self.end(INTERNAL_ERROR, "internal error")
            return None
        if self._draining and not self._unanswered:
            self._restart()
        return body

    def end(self, code: int, reason: str) -> None:
        """The conversation is over, if it is not already."""
        self._end(BridgeEnd(code, short_reason(reason)))

    def close(self) -> None:
        """Give back what was charged and not answered."""
        self.end(1000, "bridge closing")
        while self._unanswered:
            self._give_back(self._unanswered.popleft())
        self._metrics.active.value -= 1
        if self.ending is not None:
            self._metrics.closed(self.ending.code)
        self._forget(self)

    def expire(self) -> None:
        """The session and its grace period are over: say so, signed, and end."""
        latest = self._latest
        notice = None if latest is None else self._notice(latest)
        self._end(BridgeEnd(SESSION_EXPIRED, "session expired", notice))

    def drain(self) -> None:
        """The relayer stops: no more requests, and the end once all were answered."""
        self._draining = True
        if not self._unanswered:
            self._restart()

    def give_up(self) -> None:
        """The drain has taken long enough."""
        self._restart()

    def _restart(self) -> None:
        self.end(SERVICE_RESTART, "relayer is shutting down")

    def _end(self, ending: BridgeEnd) -> None:
        if self.ending is None:
            self.ending = ending
            self.ended.set()

    async def _accept(self, message: bytes) -> _Accepted:
        stages = self._stages
        stages.check()
        relay = stages.admission.decode_message(message, self._route, self._headers)
        await stages.admission.open_message(relay)
        self._check_same(relay)
        context = await stages.admission.verify(relay)
        if stages.replays is None:
            charged = await stages.meter.take(relay, context)
            return _Accepted(relay, context, charged=charged)
        stages.replays.enter(relay)
        try:
            charged = await stages.meter.take(relay, context)
        except BaseException:
            stages.replays.forget(relay)
            raise
        return _Accepted(relay, context, charged=charged)

    def _check_same(self, relay: Relay) -> None:
        """K-5: one service, one supplier, one application on one connection."""
        if relay.request.meta.session_header.service_id != self._route.service:
            raise InvalidRelayError("the session's service is not the connection's")
        if self._latest is None:
            return
        first = self._latest.relay
        if relay.supplier != first.supplier:
            raise InvalidRelayError("the supplier is not the connection's")
        if relay.application != first.application:
            raise InvalidRelayError("the application is not the connection's")

    async def _emit(self, latest: _Accepted, message: bytes) -> bytes:
        stages, height = self._stages, self._stages.moment.height
        if self._unanswered:
            accepted = self._unanswered.popleft()
            relay, context, charged = accepted.relay, accepted.context, accepted.charged
        else:
            relay, context = latest.relay, latest.context
            if height > context.grace_end_height:
                self.expire()
                raise _expired()
            relay.arrival_height = height
            charged = await stages.meter.take(relay, context)
        try:
            body, stored_response = self._sign(relay, message)
        except BaseException:
            if charged:
                stages.meter.refund(relay, context)
            raise
        try:
            if await stages.record(relay, context, stored_response, charged=charged):
                self._metrics.emitted.value += 1
        except UnavailableError:
            if stages.replays is not None:
                # Not answered after all: its client may send it again.
                stages.replays.forget(relay)
            raise
        # The request is answered; what else is paired with it is no replay of it.
        relay.once = None
        self._route.metrics.response_bytes.observe(len(message))
        return body

    def _sign(self, relay: Relay, payload: bytes) -> tuple[bytes, bytes]:
        try:
            return relay.own_forms().response(payload, self._stages.keys[relay.supplier])
        except (ProtocolError, KeyError) as error:
            raise RefusedError(500, "failed to sign response", "signing_error") from error

    def _notice(self, latest: _Accepted) -> bytes | None:
        key = self._stages.keys.get(latest.relay.supplier)
        if key is None:
            return None
        error = RelayMinerError(code=410, description="session expired")
        header = latest.relay.request.meta.session_header
        return codec.encode(sign_response(header, _EXPIRED_PAYLOAD, key, error=error))

    def _give_back(self, accepted: _Accepted) -> None:
        if self._stages.replays is not None:
            self._stages.replays.forget(accepted.relay)
        if accepted.charged:
            self._stages.meter.refund(accepted.relay, accepted.context)

    def _refused(self, refusal: RefusedError) -> None:
        self._route.metrics.rejected(refusal.reason).value += 1
        if refusal.status == _OVER_LIMIT:
            self.end(LIMIT_EXCEEDED, "stake limit exceeded")
        elif refusal.status == _UNAVAILABLE:
            self.end(TRY_AGAIN_LATER, str(refusal))
        elif refusal.status >= _SERVER_ERROR:
            self.end(INTERNAL_ERROR, str(refusal))
        else:
            self.end(VALIDATION_FAILED, "relay validation failed")


def short_reason(reason: str) -> str:
    """As much of `reason` as fits into a close frame (K-10)."""
    return reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")


def _expired() -> RefusedError:
    return RefusedError(410, "session expired", "session_expired")
