"""What the cache types share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relayminer.plugin import ALL, decode_message, encode_message

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from relayminer.plugin import KeyNames, Moment

EXTRA_GRACE_BLOCKS = 2
SESSION_SLACK_SECONDS = 10.0
IMMUTABLE_SECONDS = 1_800.0
"""How long memory keeps what can never change."""


PARAMS_SECONDS = 600.0
"""How long the store keeps parameters that may change."""


def invalidated_key(payload: bytes, field: str) -> Any:
    """The key in `{"<field>": "..."}`; all for exactly `{}`; None for anything else."""
    if payload == b"{}":
        return ALL
    value = json.loads(payload)
    return value.get(field) if isinstance(value, dict) else None


def announced_key(key: str, field: str) -> bytes:
    """`{"<field>": "<key>"}`."""
    return json.dumps({field: key}, separators=(",", ":")).encode()


def session_seconds(end_height: int, now: Moment) -> float:
    """How long what belongs to a session is kept in the store (state.md 4.4).

    Before the first block the rule would give months: one block time then.
    """
    until = end_height + now.grace_blocks + EXTRA_GRACE_BLOCKS
    if now.height <= 0 or now.height >= until:
        return now.block_seconds
    return (until - now.height) * now.block_seconds + SESSION_SLACK_SECONDS


class LiveParams:
    """Parameters of one of the chain's modules in force now; the key is the empty text."""

    name: str
    message: type[Message]
    memory_seconds = 60.0
    absent_seconds = 0.0

    def store_seconds(self, key: str, value: Any, now: Moment) -> float:
        """Ten minutes."""
        del key, value, now
        return PARAMS_SECONDS

    def encode(self, value: Message) -> bytes:
        """Protobuf."""
        return encode_message(value)

    def decode(self, data: bytes) -> Any:
        """Protobuf."""
        return decode_message(self.message, data)

    def channel(self, names: KeyNames) -> str:
        """Any message drops them."""
        return names.event_channel(self.name, "invalidate")

    def invalidated(self, payload: bytes) -> Any:
        """Whatever is said, it is about all there is."""
        del payload
        return ALL

    def announcement(self, key: str) -> bytes:
        """Anything would do."""
        del key
        return b"{}"


class Unannounced:
    """For what never changes, or whose changes nobody announces."""

    def channel(self, names: KeyNames) -> None:
        """No channel."""
        del names

    def invalidated(self, payload: bytes) -> None:
        """Never called."""
        del payload

    def announcement(self, key: Any) -> bytes:
        """Nothing to say."""
        del key
        return b""


class MemoryOnly(Unannounced):
    """For what is not kept in the store."""

    def store_key(self, names: KeyNames, key: Any) -> None:
        """No entry."""
        del names, key

    def store_seconds(self, key: Any, value: Any, now: Moment) -> float:
        """Not at all."""
        del key, value, now
        return 0.0

    def encode(self, value: Any) -> bytes:
        """Never called."""
        raise TypeError(f"{type(value).__name__} is kept in memory only")

    def decode(self, data: bytes) -> Any:
        """Never called."""
        raise TypeError(f"{len(data)} bytes of something that is kept in memory only")
