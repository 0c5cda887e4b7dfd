"""What a gRPC client is told (relayer.md 4.2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from attrs import frozen
from grpclib.const import Status

from relayminer.plugin import decode_message, service_pb2

if TYPE_CHECKING:
    from relayminer.plugin import Engine, RelayAnswer

_OK: Final = 200
_BY_HTTP_STATUS: Final = {
    400: Status.INVALID_ARGUMENT,
    403: Status.PERMISSION_DENIED,
    404: Status.NOT_FOUND,
    408: Status.INVALID_ARGUMENT,
    409: Status.ALREADY_EXISTS,
    413: Status.RESOURCE_EXHAUSTED,
    429: Status.RESOURCE_EXHAUSTED,
    500: Status.INTERNAL,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
}
_UNDECODED: Final = "invalid_relay_request"
_UNKNOWN_SERVICE: Final = "unknown_service"
_BACKEND_5XX: Final = "backend_5xx"
_SIMULATION: Final = "simulation"


@frozen
class CallStatus:
    """The end of a call.

    Attributes:
        message: for people.
    """

    code: Status
    message: str = ""


SUCCESS: Final = CallStatus(Status.OK)


def status_of(body: bytes, answer: RelayAnswer, engine: Engine) -> CallStatus:
    """The status that goes with an answer of the engine.

    Args:
        body: the message that the client sent.
        answer: to it.
        engine: knows whose keys are loaded.
    """
    if answer.status == _OK:
        return SUCCESS
    text = _text(answer)
    if text.startswith(_SIMULATION):
        return CallStatus(_BY_HTTP_STATUS.get(answer.status, Status.UNKNOWN), text)
    return (
        _wrong_request(body, answer, engine)
        or _by_reason(answer, text)
        or CallStatus(_BY_HTTP_STATUS.get(answer.status, Status.UNKNOWN), text)
    )


def _wrong_request(body: bytes, answer: RelayAnswer, engine: Engine) -> CallStatus | None:
    """Steps 1 to 6 and 10, which blame the request, in their order."""
    try:
        request = decode_message(service_pb2.RelayRequest, body)
    except Exception as error:  # noqa: BLE001 - whatever the decoder says of hostile bytes
        return CallStatus(Status.INVALID_ARGUMENT, f"failed to receive request: {error}")
    meta = request.meta
    missing = _missing(meta)
    if missing:
        return CallStatus(Status.INVALID_ARGUMENT, f"missing {missing}")
    supplier = meta.supplier_operator_address
    if not isinstance(supplier, str) or not engine.signs_for(supplier):
        return CallStatus(Status.FAILED_PRECONDITION, f"no signer for supplier {supplier}")
    if answer.reason == _UNKNOWN_SERVICE:
        service = meta.session_header.service_id
        return CallStatus(Status.NOT_FOUND, f"unknown service: {service}")
    if answer.reason == _UNDECODED:
        return CallStatus(
            Status.INVALID_ARGUMENT,
            "failed to deserialize POKTHTTPRequest: the payload is not its encoding",
        )
    return None


def _missing(meta: service_pb2.RelayRequestMetadata) -> str:
    if not meta.HasField("session_header"):
        return "session header in RelayRequest"
    if not meta.session_header.service_id:
        return "service ID in session header"
    if not meta.supplier_operator_address:
        return "supplier operator address in RelayRequest"
    return ""


def _by_reason(answer: RelayAnswer, text: str) -> CallStatus | None:
    if answer.reason == "stake_exhausted":
        return CallStatus(Status.RESOURCE_EXHAUSTED, "relay rejected - stake limit exceeded")
    if answer.reason == "no_healthy_backend":
        service = json.loads(answer.body).get("service", "")
        return CallStatus(Status.UNAVAILABLE, f"all backends unhealthy for service {service}")
    if answer.reason == _BACKEND_5XX:
        return CallStatus(Status.UNAVAILABLE, f"backend service error: HTTP {answer.status}")
    if answer.reason == "signing_error":
        return CallStatus(Status.INTERNAL, f"failed to build/sign response: {text}")
    if answer.reason == "internal_error":
        return CallStatus(Status.INTERNAL, "internal server error")
    return None


def _text(answer: RelayAnswer) -> str:
    try:
        return str(json.loads(answer.body)["error"])
    except (ValueError, KeyError, TypeError):
        return answer.body.decode("utf-8", "replace")
