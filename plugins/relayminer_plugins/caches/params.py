"""Parameters of the chain's modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.plugin import (
    parse_shared_params,
    proof_pb2,
    session_pb2,
    shared_params_json,
    shared_pb2,
)
from relayminer_plugins.caches.common import IMMUTABLE_SECONDS, PARAMS_SECONDS, LiveParams

if TYPE_CHECKING:
    from relayminer.plugin import ChainReader, KeyNames, Moment


class SharedParamsCache(LiveParams):
    """Parameters of the shared module: sessions, windows, the price of a compute unit."""

    name = "shared_params"
    message = shared_pb2.Params

    def store_key(self, names: KeyNames, key: str) -> str:
        """One entry for all."""
        del key
        return names.params_shared_cache_key

    def store_seconds(self, key: str, value: shared_pb2.Params, now: Moment) -> float:
        """Two sessions."""
        del key
        return 2 * value.num_blocks_per_session * now.block_seconds or PARAMS_SECONDS

    async def load(self, chain: ChainReader, key: str) -> shared_pb2.Params:
        """Ask the chain."""
        del key
        params: shared_pb2.Params = await chain.shared_params()
        return params


class SessionParamsCache(LiveParams):
    """Parameters of the session module: suppliers of a session."""

    name = "session_params"
    message = session_pb2.Params

    def store_key(self, names: KeyNames, key: str) -> str:
        """One entry for all; no other implementation writes it."""
        del key
        return names.params_session_key

    async def load(self, chain: ChainReader, key: str) -> session_pb2.Params:
        """Ask the chain."""
        del key
        params: session_pb2.Params = await chain.session_params()
        return params


class ProofParamsCache(LiveParams):
    """Parameters of the proof module: who must prove, and what a missed proof costs."""

    name = "proof_params"
    message = proof_pb2.Params

    def store_key(self, names: KeyNames, key: str) -> str:
        """One entry for all."""
        del key
        return names.params_proof_key

    async def load(self, chain: ChainReader, key: str) -> proof_pb2.Params:
        """Ask the chain."""
        del key
        params: proof_pb2.Params = await chain.proof_params()
        return params


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
