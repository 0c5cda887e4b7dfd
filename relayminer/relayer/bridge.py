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

from relayminer.net.held import Lease
from relayminer.plugin import BridgeEnd
from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpResponse, encode_http_response
from relayminer.protocol.errors import ProtocolError
from relayminer.protocol.pb.service_pb2 import RelayMinerError
from relayminer.protocol.relay import sign_response
from relayminer.relayer.bridge_turns import turns_of
from relayminer.relayer.errors import InvalidRelayError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from relayminer.cache.moment import ChainMoment
    from relayminer.net.http1 import Headers
    from relayminer.protocol.signature import SigningKey
    from relayminer.relayer.admit import Admission
    from relayminer.relayer.bridge_metrics import ServiceBridgeMetrics
    from relayminer.relayer.forward_traffic import Permit
    from relayminer.relayer.meter import Meter
    from relayminer.relayer.relay import Relay, SessionContext
    from relayminer.relayer.replay import ReplayGuard
    from relayminer.relayer.routes import Route
    from relayminer.relayer.simulate import Simulator
    from relayminer.relayer.tracing import RelayTracer

MESSAGE_TOO_BIG: Final = 1009
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
        simulator: admits simulated relays; None when the feature is off.
        tracer: tells of messages that are refused; None when relays are not traced.
    """

    __slots__ = (
        "admission",
        "check",
        "keys",
        "meter",
        "moment",
        "record",
        "replays",
        "simulator",
        "tracer",
    )

    def __init__(
        self,
        admission: Admission,
        meter: Meter,
        moment: ChainMoment,
        keys: Mapping[str, SigningKey],
        check: Callable[[], None],
        record: Callable[..., Awaitable[bool]],
        replays: ReplayGuard | None,
        simulator: Simulator | None = None,
        tracer: RelayTracer | None = None,
    ) -> None:
        self.replays = replays
        self.simulator = simulator
        self.tracer = tracer
        self.check = check
        self.admission = admission
        self.meter = meter
        self.moment = moment
        self.keys = keys
        self.record = record


class Accepted:
    """A request that was let through.

    Attributes:
        context: None of a simulated relay: its session never was.
        charged: it was paid for.
        permit: its place at the backend, where places are counted.
    """

    __slots__ = ("charged", "context", "permit", "relay")

    def __init__(self, relay: Relay, context: SessionContext | None) -> None:
        self.relay = relay
        self.context = context
        self.charged = False
        self.permit: Permit | None = None


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
        self._unanswered: deque[Accepted] = deque()
        self._latest: Accepted | None = None
        self._turns = turns_of(route)
        self._entering: Relay | None = None
        self._lease = Lease(route.held)
        self._holding = trio.CancelScope()
        self._draining = False
        self.ended = trio.Event()
        self.ending: BridgeEnd | None = None
        metrics.total.value += 1
        metrics.active.value += 1

    @property
    def grace_end_height(self) -> int:
        """The last height of the latest request's session and grace; 0 before the first."""
        if self._latest is None or self._latest.context is None:
            return 0
        return self._latest.context.grace_end_height

    async def request(self, message: bytes) -> bytes | None:
        """A client's message, admitted and charged: its payload; None when it was refused."""
        self._metrics.to_backend.value += 1
        if self._draining:
            # Nothing new is taken, and nothing more is read: the sender keeps what it has.
            await self.ended.wait()
        if self.ending is not None:
            return None
        if len(message) > self._route.max_message_bytes:
            self.end(MESSAGE_TOO_BIG, "message too big")
            return None
        self._count_request(message)
        try:
            accepted = await self._accept(message)
        except RefusedError as refusal:
            self._trace_refused(message, refusal)
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

    def delivered(self) -> None:
        """The last request is with the backend."""

    def undelivered(self) -> None:
        """The last request did not reach the backend: its charge is given back."""
        if self._unanswered:
            self._give_back(self._unanswered.pop())

    async def hold(self, size: int) -> None:
        """Wait until `size` bytes of a backend's message may be in memory, or it is too late."""
        if self.ending is not None:
            return
        # Whoever waits for room must not outlast the conversation, nor what a relay may take.
        with trio.move_on_after(self._route.timeouts.request_seconds) as self._holding:
            await self._lease.wait_for(size)
            return
        self.end(TRY_AGAIN_LATER, "too many answers in hand")

    def let_go(self) -> None:
        """The message is not in memory any more."""
        self._lease.release()

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
        self.let_go()
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

    def release_turns(self, now: float) -> None:
        """Requests that nobody answers (notifications) hold no place at the backend for ever."""
        if self._turns is not None:
            self._turns.release(now)

    def give_up(self) -> None:
        """The drain has taken long enough."""
        self._restart()

    def _restart(self) -> None:
        self.end(SERVICE_RESTART, "relayer is shutting down")

    def _end(self, ending: BridgeEnd) -> None:
        if self.ending is None:
            self.ending = ending
            self.ended.set()
            self._holding.cancel()
            if self._turns is not None:
                self._turns.close()

    def _count_request(self, message: bytes) -> None:
        metrics = self._route.metrics
        metrics.received.value += 1
        metrics.request_bytes.observe(len(message))

    async def _accept(self, message: bytes) -> Accepted:
        stages = self._stages
        self._entering = None
        stages.check()
        relay = stages.admission.decode_message(message, self._route, self._headers)
        self._entering = relay
        await stages.admission.open_message(relay)
        self._check_same(relay)
        if self._turns is not None:
            self._turns.check(relay)
        context = await stages.admission.verify(relay)
        accepted = Accepted(relay, context)
        try:
            if stages.replays is not None:
                stages.replays.enter(relay)
            accepted.charged = await stages.meter.take(relay, context)
            if self._turns is not None:
                accepted.permit = await self._turns.enter(relay)
        except BaseException:
            self._give_back(accepted)
            raise
        return accepted

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

    def _answered(self) -> Accepted | None:
        """The request that a message is the answer to; None for a push."""
        if not self._unanswered:
            return None
        accepted = self._unanswered.popleft()
        self._leave(accepted)
        return accepted

    async def _emit(self, latest: Accepted, message: bytes) -> bytes:
        stages, height = self._stages, self._stages.moment.height
        answered = self._answered()
        relay, context = (answered or latest).relay, (answered or latest).context
        if context is None:
            raise RefusedError(500, "no session", "internal_error")
        if answered is not None:
            charged = answered.charged
        else:
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

    def _notice(self, latest: Accepted) -> bytes | None:
        key = self._stages.keys.get(latest.relay.supplier)
        if key is None:
            return None
        error = RelayMinerError(code=410, description="session expired")
        header = latest.relay.request.meta.session_header
        return codec.encode(sign_response(header, _EXPIRED_PAYLOAD, key, error=error))

    def _give_back(self, accepted: Accepted) -> None:
        self._leave(accepted)
        if self._stages.replays is not None:
            self._stages.replays.forget(accepted.relay)
        if accepted.charged and accepted.context is not None:
            self._stages.meter.refund(accepted.relay, accepted.context)

    def _leave(self, accepted: Accepted) -> None:
        if self._turns is not None and accepted.permit is not None:
            self._turns.leave(accepted.permit)

    def _trace_refused(self, message: bytes, refusal: RefusedError) -> None:
        if self._stages.tracer is not None:
            self._stages.tracer.refused(message, self._entering, refusal.reason, self._route)

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
