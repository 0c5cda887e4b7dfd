"""Close codes: what each side is told when the other one leaves (relayer.md 3.5)."""

from __future__ import annotations

MESSAGE_TOO_BIG = 1009
INTERNAL_ERROR = 1011
GOING_AWAY = 1001
_FIRST = 1000
_LAST_OF_PROTOCOL = 1015
_LAST = 4999
# Not to be sent: they stand for what happened, not for what was said (K-10).
_RESERVED = frozenset({1004, 1005, 1006, 1015})
_FOR_BACKEND = {
    4000: (1001, "session ended"),
    4001: (1008, "request rejected"),
    4002: (1013, "rate limited"),
    4003: (1011, "connection failed"),
}


def sendable(code: int) -> int:
    """`code`, or 1011 when it must not be sent."""
    if code in _RESERVED or not _FIRST <= code <= _LAST:
        return INTERNAL_ERROR
    return code


def for_backend(code: int, reason: str) -> tuple[int, str]:
    """What the backend is told of the end: the codes of gateways mean nothing to it."""
    if _FIRST <= code <= _LAST_OF_PROTOCOL:
        return sendable(code), reason
    return _FOR_BACKEND.get(code, (GOING_AWAY, "connection closing"))
