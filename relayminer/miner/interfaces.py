"""What the miner asks of the chain, as narrow as it gets.

`relayminer.chain` provides these; tests provide a chain of their own. Messages are the protobuf
messages of `relayminer.protocol.pb`, treated as read-only. All methods raise
`relayminer.chain.errors.ChainError` when the chain cannot be asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractContextManager

    from google.protobuf.message import Message

    from relayminer.protocol.pb import proof_pb2, service_pb2, session_pb2, shared_pb2
    from relayminer.protocol.signature import SigningKey


class ChainReader(Protocol):
    """Queries; those with a height are answered for that height."""

    async def shared_params(self) -> shared_pb2.Params:
        """Shared parameters in force now."""
        ...

    async def shared_params_at(self, height: int) -> shared_pb2.Params:
        """Shared parameters in force at `height`."""
        ...

    async def session(self, application: str, service: str, height: int) -> session_pb2.Session:
        """The session of an application and a service that contains `height`."""
        ...

    async def supplier(self, address: str) -> shared_pb2.Supplier:
        """A supplier by operator address; NotFoundError when it is not staked."""
        ...

    async def claim(self, session_id: str, supplier: str) -> proof_pb2.Claim:
        """A claim in state; NotFoundError when there is none (any more)."""
        ...

    async def claims_of(self, supplier: str, min_height: int = 0) -> Sequence[proof_pb2.Claim]:
        """Every claim of a supplier that is in a state of at least `min_height`."""
        ...

    async def difficulty_at(self, service: str, height: int) -> service_pb2.RelayMiningDifficulty:
        """The relay mining difficulty of a service at `height`."""
        ...

    async def compute_units_at(self, service: str, height: int) -> int:
        """Compute units of one relay of a service at `height`."""
        ...

    async def proof_params(self) -> proof_pb2.Params:
        """Proof parameters in force now."""
        ...


class Block(Protocol):
    """A committed block."""

    @property
    def height(self) -> int:
        """Its height."""
        ...

    @property
    def hash(self) -> bytes:
        """Its hash, 32 bytes."""
        ...


class BlockFeed(Protocol):
    """New blocks for one reader that only cares about the newest."""

    async def receive(self) -> Block:
        """The newest block that was not received yet, waiting for one if need be."""
        ...


class BlockSource(Protocol):
    """Follows the chain."""

    @property
    def latest(self) -> Block | None:
        """The last committed block that is known; None before the first."""
        ...

    @property
    def set_backs(self) -> int:
        """How often the chain turned out to have another past than it had."""
        ...

    def subscribe(self) -> AbstractContextManager[BlockFeed]:
        """New blocks as they come; a slow reader misses all but the newest."""
        ...

    async def block_hash(self, height: int) -> bytes:
        """Hash (32 bytes) of the block at `height`."""
        ...

    def events(self, from_height: int) -> AsyncIterator[tuple[int, Sequence[Any]]]:
        """Events of every block from `from_height` on, none skipped, waiting for new ones."""
        ...


class Submitted(Protocol):
    """A transaction that the mempool has; a duplicate of one counts as that."""

    @property
    def tx_hash(self) -> str:
        """Its hash, upper-case hexadecimal."""
        ...

    @property
    def fee_upokt(self) -> int:
        """Fee that was offered, uPOKT."""
        ...


class Transactions(Protocol):
    """Sends transactions."""

    async def submit(
        self, messages: Sequence[Message], key: SigningKey, lifetime_seconds: float
    ) -> Submitted:
        """Build, sign and broadcast one unordered transaction of `messages`.

        Raises:
            SimulationRefusedError: it would fail; says which message, where known.
            TransactionRefusedError: the mempool refused it.
            ChainUnavailableError: no answer; it may have been broadcast.
        """
        ...
