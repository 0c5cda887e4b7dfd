"""What is different for a relay that came as a gRPC call (relayer.md 4.2).

The stages are the same for all. A call has an order of its own for what can be wrong with a
request, other words and other counters, and it learns under our signature that its backend could
not be reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from relayminer.plugin import RelayAnswer, StreamAnswer
from relayminer.protocol import codec
from relayminer.protocol.envelope import decode_http_request
from relayminer.protocol.errors import DecodeError
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.relayer.answer import error_answer, refusal_answer
from relayminer.relayer.errors import RefusedError
from relayminer.relayer.relay import Relay
from relayminer.telemetry.metrics import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from relayminer.cache.moment import ChainMoment
    from relayminer.net.http1 import Request
    from relayminer.plugin import RelayCall
    from relayminer.protocol.envelope import HttpRequest
    from relayminer.relayer.routes import ServiceRoutes
    from relayminer.relayer.sign import Signer
    from relayminer.telemetry.metrics import Metrics

_RPC_TYPE = b"rpc-type"
_GRPC = b"grpc"
_BACKEND_ERROR = "backend_error"
# The names of relayer.md 4.2 for what all transports share; the others keep their names.
_REASONS = {
    "stake_exhausted": "meter_rejected",
    "implausible_session_heights": "validation_failed",
    "backend_timeout": _BACKEND_ERROR,
    "backend_network_error": _BACKEND_ERROR,
    "bad_backend_request": _BACKEND_ERROR,
    "signing_error": "sign_error",
}
_WORDS = {
    "stake_exhausted": "relay rejected - stake limit exceeded",
    "implausible_session_heights": "relay validation failed: {text}",
    "no_healthy_backend": "all backends unhealthy for service {service}",
    "backend_5xx": "backend service error: HTTP {status}",
    "signing_error": "failed to build/sign response: {cause}",
    "internal_error": "internal server error",
}
# Of a backend no more is told than that: its address is the operator's.
_PROBLEMS = {
    "backend_timeout": "no answer in time",
    "bad_backend_request": "the request cannot be written as HTTP",
}
_NOT_COUNTED = "no_healthy_backend"
"""Counted in `fast_fails_total`."""


class CallMetrics:
    """Of all gRPC calls (relayer.md 13)."""

    def __init__(self, metrics: Metrics) -> None:
        prefix, service = "ha_relayer_grpc_", ("service_id",)
        self.relays = metrics.counter(prefix + "relays", "Relays answered over gRPC", service)
        self.published = metrics.counter(
            prefix + "relays_published", "gRPC relays written to the log", service
        )
        self.errors = metrics.counter(
            prefix + "relay_errors", "gRPC relays refused", (*service, "reason")
        )
        self.latency = metrics.histogram(
            prefix + "relay_latency_seconds", "gRPC relays from start to answer", service
        )
        self.web = metrics.counter(
            prefix + "web_requests", "gRPC-Web requests that name their service", service
        )


class Calls:
    """Reads, refuses and counts gRPC calls.

    Args:
        routes: by service id.
        keys: operator addresses whose keys are loaded.
        signer: signs failures.
        moment: knows the height.
        metrics: counters.
    """

    def __init__(
        self,
        *,
        routes: Mapping[str, ServiceRoutes],
        keys: Container[str],
        signer: Signer,
        moment: ChainMoment,
        metrics: CallMetrics,
    ) -> None:
        self._routes = routes
        self._keys = keys
        self._signer = signer
        self._moment = moment
        self.metrics = metrics

    def decode(self, call: RelayCall) -> Relay:
        """Steps 1 to 6 and 10, in their order.

        Raises:
            RefusedError: the words and the reason are the table's.
        """
        try:
            request = codec.decode(RelayRequest, call.body)
        except DecodeError as error:
            raise RefusedError(400, f"failed to receive request: {error}", "recv_error") from error
        if not request.meta.HasField("session_header"):
            raise _missing("session header in RelayRequest", "session_header")
        service = request.meta.session_header.service_id
        if not service or not isinstance(service, str):
            raise _missing("service ID in session header", "service_id")
        routes = self._routes.get(service)
        if routes is not None:
            call.service = service
        supplier = request.meta.supplier_operator_address
        if not supplier:
            raise _missing("supplier operator address in RelayRequest", "supplier_address")
        if not isinstance(supplier, str) or supplier not in self._keys:
            raise RefusedError(403, f"no signer for supplier {supplier!s}", "no_signer")
        if routes is None:
            raise RefusedError(404, f"unknown service: {service}", "unknown_service")
        try:
            http = decode_http_request(request.payload)
        except DecodeError as error:
            text = f"failed to deserialize POKTHTTPRequest: {error}"
            raise RefusedError(400, text, "payload_deserialize_error") from error
        return Relay(
            request,
            http,
            routes.pick(_rpc_type(call, http)),
            call.headers,
            arrival_height=self._moment.height,
            arrived_at=trio.current_time(),
        )

    def answered(self, call: RelayCall, relay: Relay) -> None:
        """Count a relay that was answered."""
        self.metrics.relays.bind(call.service).value += 1
        if relay.published:
            self.metrics.published.bind(call.service).value += 1
        seconds = trio.current_time() - relay.arrived_at
        self.metrics.latency.bind(call.service).observe(seconds)

    def failed(self, call: RelayCall, reason: str) -> None:
        """Count a call that was not answered, or whose answer was not taken."""
        self.metrics.errors.bind(call.service, reason).value += 1

    def count_web(self, request: Request) -> None:
        """Count a gRPC-Web request that says which service it is for."""
        service = request.header(b"pocket-service-id").decode("latin-1")
        if service:
            self.metrics.web.bind(service if service in self._routes else UNKNOWN).value += 1

    def refused(self, call: RelayCall, relay: Relay | None, refusal: RefusedError) -> RelayAnswer:
        """Count it, and say why in the table's words."""
        reason = refusal.reason
        named = _REASONS.get(reason, reason)
        if reason != _NOT_COUNTED:
            self.failed(call, named)
        if relay is not None and named == _BACKEND_ERROR:
            text = f"backend error: {_PROBLEMS.get(reason, 'it gave no answer')}"
            return RelayAnswer(200, self._signer.sign_failure(relay, text), reason=reason)
        return _worded(refusal_answer(refusal), _words(call, refusal))

    def simulated(self, answer: RelayAnswer | StreamAnswer) -> RelayAnswer | StreamAnswer:
        """The answer to a simulated relay (relayer.md 11): its failures are never signed."""
        if isinstance(answer, StreamAnswer):
            return answer
        if answer.reason == _NOT_COUNTED:
            return _worded(answer, "backend unavailable")
        if answer.reason == "backend_5xx":
            return _worded(answer, f"backend service error: HTTP {answer.status}")
        if answer.reason == _BACKEND_ERROR:
            return _worded(answer, "backend error: it could not be reached")
        return answer


def _missing(what: str, reason: str) -> RefusedError:
    return RefusedError(400, f"missing {what}", f"missing_{reason}")


def _words(call: RelayCall, refusal: RefusedError) -> str:
    """Those of the table, where they are not the transports' common ones."""
    words = _WORDS.get(refusal.reason)
    if words is None:
        return str(refusal)
    cause = refusal.__cause__ or refusal
    return words.format(text=refusal, service=call.service, status=refusal.status, cause=cause)


def _worded(answer: RelayAnswer, words: str) -> RelayAnswer:
    worded = error_answer(answer.status, words)
    worded.reason = answer.reason
    return worded


def _rpc_type(call: RelayCall, http: HttpRequest) -> bytes:
    """What the metadata says, or that the backend request calls itself gRPC (relayer.md 4.3)."""
    for name, value in call.headers:
        if name == _RPC_TYPE and value:
            return value
    for header, values in http.headers.items():
        if header.lower() == "content-type" and values:
            return _GRPC if values[0].startswith("application/grpc") else b""
    return b""
