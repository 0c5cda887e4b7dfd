"""The JSON-RPC calls inside a request body, read once and only when something asks for them."""

from __future__ import annotations

import json
from typing import Any, Final

MAX_READ_BYTES: Final = 262_144
"""A longer body is not read: that would hold up everybody else's relays."""
_NAMES: Final = frozenset({"jsonrpc", "id", "method", "params"})


class Calls:
    """What a body asks for.

    Attributes:
        calls: the JSON-RPC requests; empty when the body holds none.
        is_batch: whether they came as a list.
        is_opaque: what it asks for cannot be told: too long to look, or written such that one
            reader sees another method than the next.
    """

    __slots__ = ("calls", "is_batch", "is_opaque")

    def __init__(self, body: bytes) -> None:
        self.calls: list[dict[str, Any]] = []
        self.is_batch = False
        self.is_opaque = len(body) > MAX_READ_BYTES
        if self.is_opaque or not body:
            return
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return
        self.is_batch = isinstance(value, list)
        for item in value if self.is_batch else (value,):
            if isinstance(item, dict):
                self.calls.append(item)
                if not _NAMES.issuperset(item):
                    # Go finds `method` in `Method` too, and takes the last of several.
                    self.is_opaque = self.is_opaque or any(
                        name not in _NAMES and name.lower() in _NAMES for name in item
                    )

    @property
    def single(self) -> dict[str, Any] | None:
        """The one request of a body that is no batch and plain to read."""
        if self.is_batch or self.is_opaque or len(self.calls) != 1:
            return None
        return self.calls[0]

    @property
    def methods(self) -> list[str]:
        """The methods that are asked for."""
        return [method for call in self.calls if isinstance(method := call.get("method"), str)]
