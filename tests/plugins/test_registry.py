"""Loading plugins: what is installed is found, and what is broken is named."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pytest
from relayminer_plugins.http.transport import HttpTransport
from relayminer_plugins.keys import (
    KeyringProvider,
    KeysDirectoryProvider,
    KeysFileProvider,
)

from relayminer.plugin import Claim, PluginError, load_plugins
from relayminer.plugin.registry import CACHE_ATTRIBUTES, KEY_PROVIDER_ATTRIBUTES
from relayminer.plugin.registry import TRANSPORT_ATTRIBUTES as ATTRIBUTES
from tests.relayer.kit import CACHE_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GROUP = "relayminer.transports"
HTTP = "relayminer_plugins.http.transport:HttpTransport"


def installed(**points: str) -> Callable[..., Iterable[EntryPoint]]:
    """An environment with these entry points."""

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group) for name, value in points.items()]

    return entry_points


def test_what_is_installed_is_made() -> None:
    """By the plugin's own name."""
    plugins = load_plugins(GROUP, ATTRIBUTES, entry_points=installed(anything=HTTP))
    assert list(plugins) == ["http"]
    assert isinstance(plugins["http"], HttpTransport)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("no_such_module:Thing", "cannot be loaded: ModuleNotFoundError"),
        ("relayminer_plugins.http.transport:Nothing", "cannot be loaded: AttributeError"),
        ("relayminer.net.wire:Wire", "cannot be loaded: TypeError"),
        ("relayminer.net.watchdog:Watchdog", "lacks claims, priority, serve"),
    ],
)
def test_what_is_broken_is_named(value: str, text: str) -> None:
    """The message has the entry point, the group and the reason."""
    with pytest.raises(PluginError) as caught:
        load_plugins(GROUP, ATTRIBUTES, entry_points=installed(pigeon=value))
    assert "plugin 'pigeon' (relayminer.transports, " in str(caught.value)
    assert text in str(caught.value)


def test_two_plugins_of_one_name_are_refused() -> None:
    """Nobody guesses which one was meant."""
    with pytest.raises(PluginError, match="another plugin is called 'http' already"):
        load_plugins(GROUP, ATTRIBUTES, entry_points=installed(a=HTTP, b=HTTP))


@pytest.mark.parametrize("kind", CACHE_TYPES)
def test_first_party_cache_types_are_complete(kind: type[Any]) -> None:
    """They have what the registry asks for."""
    assert not [name for name in CACHE_ATTRIBUTES if not hasattr(kind(), name)]


@pytest.mark.parametrize("kind", [KeysFileProvider, KeysDirectoryProvider, KeyringProvider])
def test_first_party_key_providers_are_complete(kind: type[Any]) -> None:
    """They have what the registry asks for."""
    assert not [name for name in KEY_PROVIDER_ATTRIBUTES if not hasattr(kind(), name)]


@pytest.mark.parametrize(
    ("head", "claim"),
    [
        (b"POST / HTTP/1.1\r\n", Claim.YES),
        (b"P", Claim.MORE),
        (b"PRI * HT", Claim.MORE),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00", Claim.NO),
        (b"PROPFIND / HTTP/1.1", Claim.YES),
        (b"\x16\x03\x01", Claim.YES),
    ],
)
def test_http_claims_all_but_http2(head: bytes, claim: Claim) -> None:
    """Garbage is answered with 400 by whoever is asked last."""
    assert HttpTransport().claims(head) is claim
