"""From log entries to batches of relays per session: decoding and checks, no I/O.

What cannot be used is told apart here: an entry that is not a relay, or contradicts itself or its
stream, goes to the dead-letter stream with its reason. Trusting it would let one bad writer spoil
the claim of a whole session.

What an entry says of its session is only an envelope around what the relay says itself, and that
is what a proof is checked against. So the relay's own header is what counts, an entry that says
otherwise is damaged, and what older relayers left out (the hash, the start) is read there.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen
from google.protobuf.message import DecodeError

from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage
from relayminer.protocol.pb.service_pb2 import Relay as RelayMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.protocol.pb.session_pb2 import SessionHeader
    from relayminer.state.log_reader import LogEntry

HASH_BYTES: Final = 32
MAX_SESSION_BLOCKS: Final = 1_000_000
"""A session longer than this is nonsense: at 30 s a block it would last a year."""


Identity = tuple[str, str, str, int, int]
"""Of a session: id, service, application, first and last block."""

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
    known: dict[Identity, SessionInfo] = {}
    for entry in entries:
        if entry.data is None:
            result.poison.append(Poison(entry, "no data field"))
            continue
        try:
            message = MinedRelayMessage.FromString(entry.data)
        except DecodeError:
            result.poison.append(Poison(entry, "not a mined relay message"))
            continue
        value = message.relay_bytes
        try:
            relay = RelayMessage.FromString(value)
        except DecodeError:
            result.poison.append(Poison(entry, "the relay bytes are no relay"))
            continue
        digest = sha256(value).digest()
        identity = _identity(relay.req.meta.session_header)
        reason = _fault(message, digest, supplier) or _mismatch(message, relay, identity)
        info = known.get(identity)
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


def _identity(header: SessionHeader) -> Identity:
    return (
        header.session_id,
        header.service_id,
        header.application_address,
        header.session_start_block_height,
        header.session_end_block_height,
    )


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


def _mismatch(message: MinedRelayMessage, relay: RelayMessage, identity: Identity) -> str:
    """Why a message does not belong to the relay in it, or an empty string."""
    said = (
        message.session_id,
        message.service_id,
        message.application_address,
        message.session_start_height,
        message.session_end_height,
    )
    # What is not said at all does not contradict.
    if said != identity and any(
        one and one != other for one, other in zip(said, identity, strict=True)
    ):
        return "its session is not that of the relay in it"
    if relay.req.meta.supplier_operator_address != message.supplier_operator_address:
        return "its supplier is not that of the relay in it"
    if relay.res.meta.session_header != relay.req.meta.session_header:
        return "request and response are of different sessions"
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


def session_in(relay_bytes: bytes, supplier: str) -> SessionInfo | None:
    """The session that a supplier's relay says it is of; None when it says no such thing."""
    try:
        meta = RelayMessage.FromString(relay_bytes).req.meta
    except DecodeError:
        return None
    info = SessionInfo(*_identity(meta.session_header))
    if meta.supplier_operator_address != supplier or _session_fault(info):
        return None
    return info


def entry_order(entry_id: bytes) -> tuple[int, int]:
    """A stream entry id as something that compares: milliseconds and sequence."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence or 0)


def contradiction(known: SessionInfo, claimed: SessionInfo) -> str:
    """Why `claimed` cannot be the session known under the same id, or an empty string."""
    if known == claimed:
        return ""
    if (known.start_height, known.end_height) != (claimed.start_height, claimed.end_height):
        return "session heights differ from those of the session on record"
    return "service or application differ from those of the session on record"
