"""Finding the installed plugins, and saying clearly what is wrong with one."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol

from relayminer.errors import RelayMinerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relayminer.config.settings import KeySettings
    from relayminer.plugin.caches import CacheType
    from relayminer.plugin.transports import Transport
    from relayminer.protocol.signature import SigningKey

TRANSPORTS = "relayminer.transports"
CACHES = "relayminer.caches"
KEY_PROVIDERS = "relayminer.key_providers"


class PluginError(RelayMinerError):
    """A plugin cannot be used; the text names it, its package and the reason."""


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
