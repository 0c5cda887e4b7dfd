"""Applications, accounts and services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.plugin import application_pb2, decode_message, encode_message, shared_pb2
from relayminer_plugins.caches.common import IMMUTABLE_SECONDS, announced_key, invalidated_key

if TYPE_CHECKING:
    from relayminer.plugin import ChainReader, KeyNames, Moment

PUBLIC_KEY_BYTES = 33
ENTITY_MEMORY_SECONDS = 60.0
ENTITY_STORE_SECONDS = 300.0
ABSENT_SECONDS = 15.0


class ApplicationCache:
    """Application records by address."""

    name = "application"
    known_set = "applications"
    memory_seconds = ENTITY_MEMORY_SECONDS
    absent_seconds = ABSENT_SECONDS

    def store_key(self, names: KeyNames, key: str) -> str | None:
        """One entry per address."""
        return names.cache_key("application", key)

    def store_seconds(
        self, key: str, value: application_pb2.Application, now: Moment
    ) -> float | None:
        """Five minutes."""
        del key, value, now
        return ENTITY_STORE_SECONDS

    def encode(self, value: application_pb2.Application) -> bytes:
        """Protobuf."""
        return encode_message(value)

    def decode(self, data: bytes) -> application_pb2.Application:
        """Protobuf."""
        return decode_message(application_pb2.Application, data)

    async def load(self, chain: ChainReader, key: str) -> application_pb2.Application:
        """Ask the chain."""
        application: application_pb2.Application = await chain.application(key)
        return application

    def channel(self, names: KeyNames) -> str | None:
        """`{"address": "..."}`."""
        return names.event_channel("application", "invalidate")

    def invalidated(self, payload: bytes) -> Any:
        """The address."""
        return invalidated_key(payload, "address")

    def announcement(self, key: str) -> bytes:
        """The same message."""
        return announced_key(key, "address")


class AccountCache:
    """Public keys by address: 33 bytes; empty while the account has never signed."""

    name = "account"
    memory_seconds = IMMUTABLE_SECONDS
    absent_seconds = ABSENT_SECONDS

    def store_key(self, names: KeyNames, key: str) -> str | None:
        """One entry per address."""
        return names.cache_key("account", key)

    def store_seconds(self, key: str, value: bytes, now: Moment) -> float | None:
        """Keys never change."""
        del key, value, now
        return None

    def encode(self, value: bytes) -> bytes:
        """The bare key."""
        return value

    def decode(self, data: bytes) -> bytes:
        """The bare key; another length is a miss."""
        if len(data) != PUBLIC_KEY_BYTES:
            raise ValueError(f"a public key of {len(data)} bytes")
        return data

    async def load(self, chain: ChainReader, key: str) -> bytes:
        """Ask the chain. An account without a key counts as absent: it may get one soon."""
        account = await chain.account(key)
        if not account.public_key:
            raise LookupError("the account has no public key on chain")
        return bytes(account.public_key)

    def channel(self, names: KeyNames) -> str | None:
        """`{"address": "..."}`."""
        return names.event_channel("account", "invalidate")

    def invalidated(self, payload: bytes) -> Any:
        """The address."""
        return invalidated_key(payload, "address")

    def announcement(self, key: str) -> bytes:
        """The same message."""
        return announced_key(key, "address")


class ServiceCache:
    """Services by id, with their live compute units per relay."""

    name = "service"
    known_set = "services"
    memory_seconds = ENTITY_MEMORY_SECONDS
    absent_seconds = ABSENT_SECONDS

    def store_key(self, names: KeyNames, key: str) -> str | None:
        """One entry per id."""
        return names.cache_key("service", key)

    def store_seconds(self, key: str, value: shared_pb2.Service, now: Moment) -> float | None:
        """Five minutes."""
        del key, value, now
        return ENTITY_STORE_SECONDS

    def encode(self, value: shared_pb2.Service) -> bytes:
        """Protobuf."""
        return encode_message(value)

    def decode(self, data: bytes) -> shared_pb2.Service:
        """Protobuf."""
        return decode_message(shared_pb2.Service, data)

    async def load(self, chain: ChainReader, key: str) -> shared_pb2.Service:
        """Ask the chain."""
        service: shared_pb2.Service = await chain.service(key)
        return service

    def channel(self, names: KeyNames) -> str | None:
        """`{"service_id": "..."}`."""
        return names.event_channel("service", "invalidate")

    def invalidated(self, payload: bytes) -> Any:
        """The id."""
        return invalidated_key(payload, "service_id")

    def announcement(self, key: str) -> bytes:
        """The same message."""
        return announced_key(key, "service_id")
