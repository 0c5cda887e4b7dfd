"""Answers to clients that are not relay responses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relayminer.plugin import RelayAnswer

if TYPE_CHECKING:
    from relayminer.net.http1 import Headers
    from relayminer.net.response import Response
    from relayminer.relayer.errors import RefusedError
    from relayminer.relayer.relay import Relay

_JSON = b"application/json"
_MAX_ACCEPT = 256


def json_answer(status: int, value: Any) -> RelayAnswer:
    """A JSON page."""
    return RelayAnswer(status, json.dumps(value, separators=(",", ":")).encode())


def error_answer(status: int, message: str, more: dict[str, str] | None = None) -> RelayAnswer:
    """`{"error": message}`, escaped, unsigned."""
    return json_answer(status, {"error": message, **(more or {})})


def refusal_answer(refusal: RefusedError) -> RelayAnswer:
    """What the client of a refused relay reads."""
    answer = error_answer(refusal.status, str(refusal), refusal.more)
    answer.reason = refusal.reason
    return answer


def served_answer(relay: Relay, response: Response, body: bytes, retries: int) -> RelayAnswer:
    """The signed response `body` to a relay that its backend has answered."""
    kind = _content_type(relay.outer_headers)
    headers = [(b"Backend-Retries", b"%d" % retries)] if retries else None
    return RelayAnswer(200, body, kind, headers, lease=response.lease)


def _content_type(headers: Headers) -> bytes:
    """What the client says it accepts, word for word (relayer.md 2.6)."""
    for name, value in headers:
        if name == b"accept":
            if not value or value == b"*/*" or len(value) > _MAX_ACCEPT:
                return _JSON
            return value
    return _JSON
