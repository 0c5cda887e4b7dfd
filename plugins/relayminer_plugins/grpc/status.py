"""What a gRPC client is told (relayer.md 4.2).

The engine knows that it answers a gRPC call: its words are those of the table already, and its
reasons tell which line it is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from attrs import frozen
from grpclib.const import Status

if TYPE_CHECKING:
    from relayminer.plugin import RelayAnswer

_OK: Final = 200
_BY_REASON: Final = {
    "recv_error": Status.INVALID_ARGUMENT,
    "no_signer": Status.FAILED_PRECONDITION,
    "implausible_session_heights": Status.PERMISSION_DENIED,
    "backend_5xx": Status.UNAVAILABLE,
}
_BY_HTTP_STATUS: Final = {
    400: Status.INVALID_ARGUMENT,
    403: Status.PERMISSION_DENIED,
    404: Status.NOT_FOUND,
    409: Status.ALREADY_EXISTS,
    413: Status.RESOURCE_EXHAUSTED,
    429: Status.RESOURCE_EXHAUSTED,
    500: Status.INTERNAL,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
}


@frozen
class CallStatus:
    """The end of a call.

    Attributes:
        message: for people.
    """

    code: Status
    message: str = ""


SUCCESS: Final = CallStatus(Status.OK)


def status_of(answer: RelayAnswer) -> CallStatus:
    """The status that goes with an answer of the engine."""
    if answer.status == _OK:
        return SUCCESS
    code = _BY_REASON.get(answer.reason)
    if code is None:
        code = _BY_HTTP_STATUS.get(answer.status, Status.UNKNOWN)
    return CallStatus(code, _text(answer))


def _text(answer: RelayAnswer) -> str:
    try:
        return str(json.loads(answer.body)["error"])
    except (ValueError, KeyError, TypeError):
        return answer.body.decode("utf-8", "replace")
