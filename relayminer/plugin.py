"""The public surface: everything that a plugin needs, and nothing else.

A plugin is a class behind an entry point of one of three groups. It is made once, without
arguments, and used from one Trio loop. First-party plugins use only this module, so what they can
do a third party can do:

```toml
[project.entry-points."relayminer.transports"]
carrier-pigeon = "pigeon:PigeonTransport"
```
"""

from __future__ import annotations

import enum
from importlib import metadata
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from relayminer.chain.errors import NotFoundError, UnsupportedQueryError
from relayminer.config.settings import KeySettings
from relayminer.errors import RelayMinerError
from relayminer.keys.errors import KeyLoadError
from relayminer.keys.sources import KeyringSource, KeysDirectory, KeysFile
from relayminer.net.errors import (
    NetError,
    RequestRefusedError,
    WireError,
    WireTimeoutError,
)
from relayminer.net.http1 import (
    Headers,
    HttpLimits,
    Request,
    RequestReader,
    linger,
    response_bytes,
)
from relayminer.net.wire import AnyWire, Wire
from relayminer.protocol import codec
from relayminer.protocol.pb import (
    application_pb2,
    http_pb2,
    proof_pb2,
    service_pb2,
    session_pb2,
    shared_pb2,
    supplier_pb2,
)
from relayminer.protocol.signature import SigningKey
from relayminer.state.json_forms import (
    parse_session,
    parse_shared_params,
    session_json,
    shared_params_json,
)
from relayminer.state.names import KeyNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


TRANSPORTS = "relayminer.transports"
CACHES = "relayminer.caches"
KEY_PROVIDERS = "relayminer.key_providers"

Key_contra = TypeVar("Key_contra", contravariant=True)
Value = TypeVar("Value")


class PluginError(RelayMinerError):
    """A plugin cannot be used; the text names it, its package and the reason."""


# Transports


class Claim(enum.Enum):
    """What a transport says to the first bytes of a connection."""

    NO = "no"
    YES = "yes"
    MORE = "more"
    """Undecided: ask again when there are more bytes."""


class RelayCall:
    """A relay as a transport read it.

    Attributes:
        body: the serialized `RelayRequest`.
        headers: of the request that carried it; names in lower case.
        transport: name of the transport.
    """

    __slots__ = ("body", "headers", "transport")

    def __init__(self, body: bytes, headers: Headers, transport: str) -> None:
        self.body = body
        self.headers = headers
        self.transport = transport


class RelayAnswer:
    """What the engine answers, in HTTP's terms; a transport maps it to its own.

    Attributes:
        status: 200 for a signed relay response, else the reason's status.
        body: a serialized `RelayResponse`, or the JSON `{"error": ...}`.
        content_type: of the body.
        headers: further ones, or None.
    """

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: bytes = b"application/json",
        headers: Headers | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers


class Engine(Protocol):
    """What a transport may ask of the relayer."""

    @property
    def limits(self) -> HttpLimits:
        """What one connection may cost."""
        ...

    @property
    def draining(self) -> bool:
        """Whether the relayer is stopping: answer what is in hand, then hang up."""
        ...

    async def exchange(self, call: RelayCall) -> RelayAnswer:
        """One request, one signed answer: admitted, metered, forwarded, signed and logged.

        Never raises for what a client or a backend does. When it returns, the relay is logged.
        """
        ...

    def status(self, path: str) -> RelayAnswer | None:
        """The answer to `/health`, `/ready` and `/ready/{service}`; None for any other path."""
        ...

    def refuse(self, status: int, message: str, *, reason: str) -> RelayAnswer:
        """The answer to bytes that never became a relay; counted as rejected for `reason`."""
        ...


class Transport(Protocol):
    """Turns one wire into calls on the engine, and the answers back into that wire."""

    @property
    def name(self) -> str:
        """How settings, logs and metrics call it."""
        ...

    def claims(self, head: bytes) -> Claim:
        """Whether a connection that starts with `head` is this transport's. Must not block.

        Transports are asked in the order of `priority`; the first YES has it.
        """
        ...

    @property
    def priority(self) -> int:
        """Lower is asked earlier; one that claims whatever is left uses a high number."""
        ...

    async def serve(self, wire: Wire, engine: Engine) -> None:
        """Serve the connection until it ends. The caller closes the wire afterwards.

        Errors of the connection (`WireError`, `WireTimeoutError`) may leave this call.
        """
        ...


# Caches


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


# Key providers


class KeyProvider(Protocol):
    """A source of supplier keys."""

    @property
    def name(self) -> str:
        """The settings key of this source."""
        ...

    def load(self, settings: KeySettings) -> Iterable[SigningKey]:
        """The keys that `settings` point to; empty when this source is not configured.

        Raises:
            KeyLoadError: something that is configured cannot be read, with all problems.
        """
        ...


# The registry


def load_plugins(
    group: str,
    required: Iterable[str],
    *,
    entry_points: Callable[..., Iterable[metadata.EntryPoint]] = metadata.entry_points,
) -> Mapping[str, Any]:
    """Make every plugin of `group`.

    Args:
        group: `TRANSPORTS`, `CACHES` or `KEY_PROVIDERS`.
        required: attributes that each plugin must have.
        entry_points: where to look; for tests.

    Raises:
        PluginError: one cannot be imported or made, lacks an attribute, or shares its name.
    """
    made: dict[str, Any] = {}
    for point in entry_points(group=group):
        plugin = _make(group, point)
        missing = [name for name in required if not hasattr(plugin, name)]
        if missing:
            raise PluginError(f"{_called(group, point)} lacks {', '.join(missing)}")
        name = str(plugin.name)
        if name in made:
            raise PluginError(f"{_called(group, point)}: another plugin is called {name!r} already")
        made[name] = plugin
    return made


TRANSPORT_ATTRIBUTES = ("name", "claims", "priority", "serve")
CACHE_ATTRIBUTES = (
    "name",
    "memory_seconds",
    "absent_seconds",
    "store_key",
    "store_seconds",
    "encode",
    "decode",
    "load",
    "channel",
    "invalidated",
    "announcement",
)
KEY_PROVIDER_ATTRIBUTES = ("name", "load")


def load_transports() -> list[Transport]:
    """Every installed transport, in the order in which they are asked."""
    return sorted(
        load_plugins(TRANSPORTS, TRANSPORT_ATTRIBUTES).values(),
        key=lambda transport: (transport.priority, transport.name),
    )


def load_cache_types() -> Mapping[str, CacheType[Any, Any]]:
    """Every installed cache type by name."""
    return load_plugins(CACHES, CACHE_ATTRIBUTES)


def load_key_providers() -> Mapping[str, KeyProvider]:
    """Every installed key provider by name."""
    return load_plugins(KEY_PROVIDERS, KEY_PROVIDER_ATTRIBUTES)


def _make(group: str, point: metadata.EntryPoint) -> Any:
    try:
        return point.load()()
    except Exception as error:
        # Whatever third-party code raises, the operator must learn whose it is.
        raise PluginError(
            f"{_called(group, point)} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _called(group: str, point: metadata.EntryPoint) -> str:
    package = f" of package {point.dist.name}" if point.dist is not None else ""
    return f"plugin {point.name!r} ({group}, {point.value}){package}"


decode_message = codec.decode
"""A chain message from its protobuf bytes, by the chain's rules."""

encode_message = codec.encode
"""The canonical protobuf bytes of a chain message."""

__all__ = [
    "ALL",
    "AnyWire",
    "CacheType",
    "ChainReader",
    "Claim",
    "Engine",
    "Headers",
    "HttpLimits",
    "KeyLoadError",
    "KeyNames",
    "KeyProvider",
    "KeySettings",
    "KeyringSource",
    "KeysDirectory",
    "KeysFile",
    "Moment",
    "NetError",
    "NotFoundError",
    "PluginError",
    "RelayAnswer",
    "RelayCall",
    "Request",
    "RequestReader",
    "RequestRefusedError",
    "SigningKey",
    "Transport",
    "UnsupportedQueryError",
    "Wire",
    "WireError",
    "WireTimeoutError",
    "application_pb2",
    "decode_message",
    "encode_message",
    "http_pb2",
    "linger",
    "load_cache_types",
    "load_key_providers",
    "load_plugins",
    "load_transports",
    "parse_session",
    "parse_shared_params",
    "proof_pb2",
    "response_bytes",
    "service_pb2",
    "session_json",
    "session_pb2",
    "shared_params_json",
    "shared_pb2",
    "supplier_pb2",
]
