"""Answers to clients that are not relay responses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relayminer.plugin import RelayAnswer

if TYPE_CHECKING:
    from relayminer.relayer.errors import RefusedError


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
