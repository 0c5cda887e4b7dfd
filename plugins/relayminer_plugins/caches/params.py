"""Parameters of the chain's modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.plugin import (
    ALL,
    decode_message,
    encode_message,
    parse_shared_params,
    proof_pb2,
    session_pb2,
    shared_params_json,
    shared_pb2,
)
from relayminer_plugins.caches.common import IMMUTABLE_SECONDS, MemoryOnly

if TYPE_CHECKING:
    from relayminer.plugin import ChainReader, KeyNames, Moment


class SharedParamsCache:
    """The shared parameters in force now; the key is the empty text."""

    name = "shared_params"
    memory_seconds = 60.0
    absent_seconds = 0.0

    def store_key(self, names: KeyNames, key: str) -> str | None:
        """One entry for all."""
        del key
        return names.params_shared_cache_key

    def store_seconds(self, key: str, value: shared_pb2.Params, now: Moment) -> float | None:
        """Two sessions."""
        del key
        return 2 * value.num_blocks_per_session * now.block_seconds

    def encode(self, value: shared_pb2.Params) -> bytes:
        """Protobuf."""
        return encode_message(value)

    def decode(self, data: bytes) -> shared_pb2.Params:
        """Protobuf."""
        return decode_message(shared_pb2.Params, data)

    async def load(self, chain: ChainReader, key: str) -> shared_pb2.Params:
        """Ask the chain."""
        del key
        params: shared_pb2.Params = await chain.shared_params()
        return params

    def channel(self, names: KeyNames) -> str | None:
        """Any message drops them."""
        return names.event_channel("shared_params", "invalidate")

    def invalidated(self, payload: bytes) -> Any:
        """Whatever is said, it is about all there is."""
        del payload
        return ALL

    def announcement(self, key: str) -> bytes:
        """Anything would do."""
        del key
        return b"{}"


class SharedParamsAtCache:
    """The shared parameters in force at a height, which is the key."""

    name = "shared_params_at"
    memory_seconds = IMMUTABLE_SECONDS
    absent_seconds = 0.0

    def store_key(self, names: KeyNames, key: int) -> str | None:
        """One entry per height."""
        return names.params_shared_at_key(key)

    def store_seconds(self, key: int, value: shared_pb2.Params, now: Moment) -> float | None:
        """One block time, as the Go implementation keeps them."""
        del key, value
        return now.block_seconds

    def encode(self, value: shared_pb2.Params) -> bytes:
        """JSON in Go's form."""
        return shared_params_json(value)

    def decode(self, data: bytes) -> shared_pb2.Params:
        """JSON in Go's form."""
        return parse_shared_params(data)

    async def load(self, chain: ChainReader, key: int) -> shared_pb2.Params:
        """Ask the chain at that height, never now: the entry is the whole fleet's."""
        params: shared_pb2.Params = await chain.shared_params_at(key)
        return params

    def channel(self, names: KeyNames) -> str | None:
        """A decimal height."""
        return names.shared_params_height_invalidate_channel

    def invalidated(self, payload: bytes) -> Any:
        """The height; anything else is ignored."""
        text = payload.decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else None

    def announcement(self, key: int) -> bytes:
        """The height."""
        return str(key).encode()


class SessionParamsCache(MemoryOnly):
    """The session parameters in force now; the key is the empty text."""

    name = "session_params"
    memory_seconds = 90.0
    absent_seconds = 0.0

    async def load(self, chain: ChainReader, key: str) -> session_pb2.Params:
        """Ask the chain."""
        del key
        params: session_pb2.Params = await chain.session_params()
        return params


class ProofParamsCache:
    """The proof parameters in force now; the key is the empty text."""

    name = "proof_params"
    memory_seconds = 60.0
    absent_seconds = 0.0

    def store_key(self, names: KeyNames, key: str) -> str | None:
        """One entry for all."""
        del key
        return names.params_proof_key

    def store_seconds(self, key: str, value: proof_pb2.Params, now: Moment) -> float | None:
        """Ten minutes."""
        del key, value, now
        return 600.0

    def encode(self, value: proof_pb2.Params) -> bytes:
        """Protobuf."""
        return encode_message(value)

    def decode(self, data: bytes) -> proof_pb2.Params:
        """Protobuf."""
        return decode_message(proof_pb2.Params, data)

    async def load(self, chain: ChainReader, key: str) -> proof_pb2.Params:
        """Ask the chain."""
        del key
        params: proof_pb2.Params = await chain.proof_params()
        return params

    def channel(self, names: KeyNames) -> str | None:
        """Any message drops them."""
        return names.event_channel("proof_params", "invalidate")

    def invalidated(self, payload: bytes) -> Any:
        """Whatever is said, it is about all there is."""
        del payload
        return ALL

    def announcement(self, key: str) -> bytes:
        """Anything would do."""
        del key
        return b"{}"
