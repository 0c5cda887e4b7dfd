"""The sessions of one supplier, as the miner holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from relayminer.miner.entries import SessionInfo
from relayminer.miner.lifecycle import SessionState
from relayminer.smst import root_count, root_sum

if TYPE_CHECKING:
    from relayminer.state.rebroadcast import Rebroadcast
    from relayminer.state.snapshots import Snapshot


@frozen
class Missing:
    """What a session had once and has no more."""

    relays: int
    compute_units: int

    def less(self, relays: int, compute_units: int) -> Missing | None:
        """What is still missing when so much was found again."""
        if relays >= self.relays:
            return None
        return Missing(self.relays - relays, max(0, self.compute_units - compute_units))


@define
class Attempt:
    """The last time that a claim or a proof was sent, or was about to be.

    Stored before the broadcast, so that whoever resumes knows that a transaction may be underway
    and gives it time to show before sending another one.
    """

    submit_height: int
    """Last committed block when it was first sent."""
    last_height: int
    """The same of the last time."""
    message: bytes = field(default=b"", repr=False)
    """The protobuf message."""
    tx_hash: str = ""
    """Hash of the last transaction; empty while its broadcast is not known to have succeeded."""
    original_tx_hash: str = ""
    """Hash of the first transaction; empty while no broadcast is known to have succeeded."""
    resends: int = 0
    reason: str = ""
    """Why the last one was refused; empty when it was accepted or its fate is unknown."""
    refused: bool = False

    @property
    def deferred(self) -> bool:
        """Whether nothing was broadcast the last time, through no fault of the message."""
        return bool(self.reason) and not self.refused


@define
class Look:
    """A look at every node of a stored trie."""

    root: bytes
    waiting: list[tuple[bytes, int]]
    """Digests that were not looked at, each with its depth."""


@define
class Session:
    """A session in flight or just over. State changes go through `SessionBook`."""

    info: SessionInfo
    state: SessionState = SessionState.ACTIVE
    relay_count: int = 0
    """Relays in the trie at the last checkpoint."""
    compute_units: int = 0
    claimed_root: bytes | None = None
    """The sealed root, 48 bytes."""
    claim_tx_hash: str = ""
    proof_tx_hash: str = ""
    claim_attempt: Attempt | None = None
    proof_attempt: Attempt | None = None
    settlement_outcome: str = ""
    settlement_height: int = 0
    proof_status: int = 0
    """Validation status of the claim when it was settled."""
    compute_units_per_relay: int = 0
    """What the chain will multiply the relay count with; 0 until it is known."""
    compute_units_retry_at: float = 0.0
    """When the chain may be asked for that again, on Trio's clock."""
    unreadable: str = ""
    """Why the trie cannot be read back; such a trie is rebuilt before anything is done with it."""
    verified_root: bytes | None = None
    """The sealed root, once the whole trie was read back and found sound."""
    beyond_repair: bool = False
    """Whether leaves of the sealed trie are gone, so that it cannot be brought back."""
    look: Look | None = None
    """How far the reading back has come."""
    missing: Missing | None = None
    """What was counted and is gone from the store, less what came back from the log."""
    missing_through: tuple[int, int] = (0, 0)
    """Entries up to this one had been counted when that was noticed."""
    trie_deleted: bool = False
    refresh_at: float = 0.0
    """When the record and the trie have to be kept alive again, on Trio's clock."""

    @property
    def session_id(self) -> str:
        """The id, 64 lower-case hexadecimal characters."""
        return self.info.session_id

    @property
    def end_height(self) -> int:
        """The last block of the session."""
        return self.info.end_height

    @property
    def accepts_relays(self) -> bool:
        """Whether a relay may still enter the trie: until it is sealed, early in `claiming`."""
        open_states = {SessionState.ACTIVE, SessionState.CLAIMING}
        return self.state in open_states and self.claimed_root is None


def session_of(snapshot: Snapshot) -> Session:
    """A session from its record.

    What was claimed is in the root; the record's counters say what was ever counted.
    """
    root = snapshot.claimed_root_hash
    return Session(
        SessionInfo(
            snapshot.session_id,
            snapshot.service_id,
            snapshot.application_address,
            snapshot.session_start_height,
            snapshot.session_end_height,
        ),
        state=SessionState(snapshot.state),
        relay_count=root_count(root) if root else snapshot.relay_count,
        compute_units=root_sum(root) if root else snapshot.total_compute_units,
        claimed_root=root or None,
        claim_tx_hash=snapshot.claim_tx_hash,
        proof_tx_hash=snapshot.proof_tx_hash,
        settlement_outcome=snapshot.settlement_outcome,
        settlement_height=snapshot.settlement_height,
    )


def attempt_of(entry: Rebroadcast) -> Attempt:
    """What was sent last, from its stored form."""
    return Attempt(
        submit_height=entry.submit_height,
        last_height=entry.submit_height,
        message=entry.message,
        tx_hash=entry.tx_hash,
        original_tx_hash=entry.original_tx_hash,
        resends=entry.resends,
    )
