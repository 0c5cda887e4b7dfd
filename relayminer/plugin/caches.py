"""What a cache type is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from relayminer.state.names import KeyNames

Key_contra = TypeVar("Key_contra", contravariant=True)
Value = TypeVar("Value")


class ChainReader(Protocol):
    """The chain queries that a cache type may load from.

    `NotFound` of the chain is `relayminer.chain.errors.NotFoundError`; any other failure means
    "unknown". Values are protobuf messages, treated as read-only.
    """

    async def shared_params(self) -> Any:
        """Live shared parameters."""
        ...

    async def shared_params_at(self, height: int) -> Any:
        """Shared parameters in force at `height`."""
        ...

    async def session_params(self) -> Any:
        """Live session parameters."""
        ...

    async def proof_params(self) -> Any:
        """Live proof parameters."""
        ...

    async def session(self, application: str, service: str, height: int) -> Any:
        """The session of an application and service at `height`."""
        ...

    async def application(self, address: str) -> Any:
        """An application."""
        ...

    async def supplier(self, address: str) -> Any:
        """A supplier."""
        ...

    async def service(self, service: str) -> Any:
        """A service."""
        ...

    async def account(self, address: str) -> Any:
        """An account: address, number, sequence, public key."""
        ...

    async def difficulty_at(self, service: str, height: int) -> Any:
        """The relay mining difficulty of a service at `height`."""
        ...

    async def compute_units_at(self, service: str, height: int) -> Any:
        """Compute units per relay of a service at `height`."""
        ...


class Moment(Protocol):
    """What a cache type may know of the present when it decides how long a value lives."""

    @property
    def height(self) -> int:
        """The last block height seen; 0 before the first."""
        ...

    @property
    def block_seconds(self) -> float:
        """Expected time between blocks."""
        ...

    @property
    def grace_blocks(self) -> int:
        """Grace period of sessions on chain."""
        ...

    @property
    def session_blocks(self) -> int:
        """Blocks of a session on chain."""
        ...


ALL = object()
"""An invalidation that concerns every key of a cache."""


class CacheType(Protocol, Generic[Key_contra, Value]):
    """One kind of thing that is read often and changes seldom: where it lives and how it is coded.

    Three tiers: this process's memory, the shared store, the chain.
    """

    @property
    def name(self) -> str:
        """How the core and the metrics call it."""
        ...

    # Optionally `known_set: str`: the set in the shared store that the keys go into whose values
    # the cache leader keeps fresh (`applications`, `services`).

    @property
    def memory_seconds(self) -> float:
        """How long a value in memory is served without asking anybody."""
        ...

    @property
    def absent_seconds(self) -> float:
        """How long it is remembered that there is no such thing; 0 asks every time."""
        ...

    def store_key(self, names: KeyNames, key: Key_contra) -> str | None:
        """The key in the shared store; None when this kind is not kept there."""
        ...

    def store_seconds(self, key: Key_contra, value: Value, now: Moment) -> float | None:
        """How long the shared store keeps it; None without limit; 0 or less not at all."""
        ...

    def encode(self, value: Value) -> bytes:
        """The stored form."""
        ...

    def decode(self, data: bytes) -> Value:
        """The value of a stored form; any exception makes it a miss."""
        ...

    async def load(self, chain: ChainReader, key: Key_contra) -> Value:
        """Ask the chain; LookupError when there is no such thing."""
        ...

    def channel(self, names: KeyNames) -> str | None:
        """The channel that tells of changes, if there is one."""
        ...

    def invalidated(self, payload: bytes) -> Any:
        """The key that a message of the channel is about, `ALL`, or None to ignore it."""
        ...

    def announcement(self, key: Key_contra) -> bytes:
        """The message that says that the value of `key` has changed."""
        ...
