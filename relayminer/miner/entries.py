"""From log entries to batches of relays per session: decoding and checks, no I/O.

What cannot be used is told apart here: an entry that is not a relay, or contradicts itself or its
stream, goes to the dead-letter stream with its reason. Trusting it would let one bad writer spoil
the claim of a whole session.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen
from google.protobuf.message import DecodeError

from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.state.log_reader import LogEntry

HASH_BYTES: Final = 32
MAX_SESSION_BLOCKS: Final = 1_000_000
"""A session longer than this is nonsense: at 30 s a block it would last a year."""


MAX_COMPUTE_UNITS: Final = 1 << 32
"""More for one relay is nonsense (poktroll: x/service allows 2^20), and two thousand million relays
of it would overflow the counters."""


@frozen
class SessionInfo:
    """What every relay of a session says about it."""

    session_id: str
    service_id: str
    application_address: str
    start_height: int
    end_height: int


@frozen
class Relay:
    """A relay as it enters the trie."""

    key: bytes
    """The relay hash: 32 bytes, SHA-256 of `value`."""
    value: bytes
    weight: int
    """Compute units."""
    entry: LogEntry


@frozen
class Poison:
    """An entry that cannot be used, and why."""

    entry: LogEntry
    reason: str


@define
class Sorted:
    """A batch of entries, sorted by session."""

    sessions: dict[SessionInfo, list[Relay]] = field(factory=dict)
    poison: list[Poison] = field(factory=list)


def sort_entries(entries: Iterable[LogEntry], supplier: str) -> Sorted:
    """Decode and check the entries of `supplier`'s stream and group them by session.

    Order within a session is the stream's. The relay hash is recomputed for every entry: the log
    is a boundary, and a key that does not belong to its value would make a worthless leaf.
    """
    result = Sorted()
    sessions = result.sessions
    # Most entries of a batch share a few sessions; this spares their checks and hashing.
    known: dict[tuple[str, str, str, int, int], SessionInfo] = {}
    for entry in entries:
        if entry.data is None:
            result.poison.append(Poison(entry, "no data field"))
            continue
        try:
            message = MinedRelayMessage.FromString(entry.data)
        except DecodeError:
            result.poison.append(Poison(entry, "not a mined relay message"))
            continue
        identity = (
            message.session_id,
            message.service_id,
            message.application_address,
            message.session_start_height,
            message.session_end_height,
        )
        info = known.get(identity)
        value = message.relay_bytes
        digest = sha256(value).digest()
        reason = _fault(message, digest, supplier)
        if not reason and info is None:
            info = SessionInfo(*identity)
            reason = _session_fault(info)
            if not reason:
                known[identity] = info
                sessions[info] = []
        if reason or info is None:
            result.poison.append(Poison(entry, reason))
            continue
        sessions[info].append(Relay(digest, value, message.compute_units_per_relay, entry))
    return result


def _fault(message: MinedRelayMessage, digest: bytes, supplier: str) -> str:
    """Why a message cannot be used, or an empty string."""
    if message.supplier_operator_address != supplier:
        return "supplier is not the stream's"
    if not message.relay_bytes:
        return "no relay bytes"
    if message.compute_units_per_relay > MAX_COMPUTE_UNITS:
        return "more compute units than a relay can have"
    # An empty hash is what older relayers write; it means "compute it".
    if message.relay_hash and message.relay_hash != digest:
        return "relay hash is not the SHA-256 of the relay bytes"
    return ""


def _session_fault(info: SessionInfo) -> str:
    """Why a session cannot exist, or an empty string."""
    texts = (info.session_id, info.service_id, info.application_address)
    blocks = info.end_height - info.start_height
    faults = {
        # The messages do not insist on UTF-8; what is not comes out as bytes.
        "a name is not UTF-8": not all(isinstance(text, str) for text in texts),
        "a name is missing": not all(texts),
        "session heights make no session": (
            info.start_height < 1 or not 0 <= blocks < MAX_SESSION_BLOCKS
        ),
    }
    for reason, found in faults.items():
        if found:
            return reason
    return "session id would break key names" if ":" in info.session_id else ""


def contradiction(known: SessionInfo, claimed: SessionInfo) -> str:
    """Why `claimed` cannot be the session known under the same id, or an empty string."""
    if known == claimed:
        return ""
    if (known.start_height, known.end_height) != (claimed.start_height, claimed.end_height):
        return "session heights differ from those of the session on record"
    return "service or application differ from those of the session on record"
