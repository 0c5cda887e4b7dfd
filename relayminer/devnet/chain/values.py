"""What the chain hands out: blocks, transaction results and events, as immutable values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

UPOKT = "upokt"


@frozen(slots=True)
class Attribute:
    """One `key=value` of an event; every attribute of this chain is indexed."""

    key: str
    value: str


@frozen(slots=True)
class Event:
    """An ABCI event. For Pocket's typed events a value is the JSON text of the field."""

    type: str
    attributes: tuple[Attribute, ...] = ()

    def value(self, key: str) -> str | None:
        """The value of the first attribute called `key`, None when there is none."""
        return next((each.value for each in self.attributes if each.key == key), None)

    def with_attribute(self, key: str, value: str) -> Event:
        """This event with one more attribute at its end."""
        return Event(self.type, (*self.attributes, Attribute(key, value)))


@frozen(slots=True)
class TxResult:
    """The outcome of one transaction in CheckTx or in a block; gas in units of gas."""

    code: int = 0
    codespace: str = ""
    log: str = ""
    data: bytes = b""
    gas_wanted: int = 0
    gas_used: int = 0
    events: tuple[Event, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the transaction was accepted."""
        return self.code == 0


@frozen(slots=True)
class Simulation:
    """The outcome of a simulated transaction that would pass; gas in units of gas."""

    gas_wanted: int
    gas_used: int
    data: bytes
    events: tuple[Event, ...]
    msg_responses: tuple[tuple[str, bytes], ...]
    """Per message: type URL and bytes of its response."""


@frozen(slots=True)
class BlockId:
    """What names a block: hash of its header (32 bytes), and number and hash of its parts."""

    hash: bytes = b""
    parts_total: int = 0
    parts_hash: bytes = b""


@frozen(slots=True)
class Header:
    """A CometBFT block header; hashes are 32 raw bytes, times nanoseconds since 1970."""

    chain_id: str
    height: int
    time_ns: int
    last_block_id: BlockId
    last_commit_hash: bytes
    data_hash: bytes
    validators_hash: bytes
    next_validators_hash: bytes
    consensus_hash: bytes
    app_hash: bytes
    last_results_hash: bytes
    evidence_hash: bytes
    proposer_address: bytes
    """20 bytes."""
    version_block: int = 11
    version_app: int = 0


@frozen(slots=True)
class CommitSignature:
    """One validator's signature (64 bytes, Ed25519) on the previous block."""

    validator_address: bytes
    timestamp_ns: int
    signature: bytes
    block_id_flag: int = 2


@frozen(slots=True)
class Commit:
    """The signatures on the previous block."""

    height: int
    block_id: BlockId
    signatures: tuple[CommitSignature, ...] = ()
    round: int = 0


@frozen(slots=True)
class Block:
    """A committed block."""

    header: Header
    block_id: BlockId
    txs: tuple[bytes, ...]
    last_commit: Commit

    @property
    def height(self) -> int:
        """Its height."""
        return self.header.height

    @property
    def hash(self) -> bytes:
        """The 32 bytes that seed sessions, proof paths and samples."""
        return self.block_id.hash

    @property
    def time_ns(self) -> int:
        """Header time in nanoseconds since 1970."""
        return self.header.time_ns


@frozen(slots=True)
class BlockResults:
    """What executing a block gave; `app_hash` is that of the state after the block."""

    height: int
    tx_results: tuple[TxResult, ...]
    finalize_block_events: tuple[Event, ...]
    app_hash: bytes


@frozen(slots=True)
class IncludedTx:
    """A transaction with its place in the chain."""

    hash: bytes
    height: int
    index: int
    tx: bytes
    result: TxResult
    time_ns: int


@frozen(slots=True)
class GenesisKeys:
    """Private keys (32 bytes each) of the accounts of a genesis, by bech32 address.

    `names` tells which role an address plays: `app1`, `supplier3`, `gateway1`, `validator1`,
    `source_owner`, `dao`, `faucet`.
    """

    by_address: Mapping[str, bytes] = field(factory=dict, repr=False)
    names: Mapping[str, str] = field(factory=dict)

    def secret(self, name: str) -> bytes:
        """The 32-byte private key of the account called `name`; KeyError when unknown."""
        return self.by_address[self.names[name]]
