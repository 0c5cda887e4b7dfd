"""All configured keys, as one immutable mapping from operator address to key."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from relayminer.keys.errors import KeyLoadError
from relayminer.keys.hardening import protect_process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from relayminer.config.settings import KeySettings
    from relayminer.keys.sources import KeySource
    from relayminer.protocol.signature import SigningKey

SOURCE_ORDER = ("keys_file", "keys_dir", "keyring", "encrypted_file")
"""Read in this order, then what plugins add by name; of two keys for one address the later wins."""


class SupplierKeys(Mapping[str, "SigningKey"]):
    """Operator address -> signing key. It never changes, and shows addresses only."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[SigningKey]) -> None:
        self._keys = MappingProxyType({key.address: key for key in keys})

    @property
    def addresses(self) -> tuple[str, ...]:
        """Operator addresses, sorted."""
        return tuple(sorted(self._keys))

    def __getitem__(self, address: str) -> SigningKey:
        return self._keys[address]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"SupplierKeys({', '.join(self.addresses)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are never pickled or copied")


def load_keys(settings: KeySettings, providers: Iterable[KeySource]) -> SupplierKeys:
    """Read every configured source; core dumps are switched off first.

    Nothing configured gives no keys: whether a role can live with that is for the role to say.

    Raises:
        KeyLoadError: with all problems of all sources.
    """
    protect_process()
    keys: list[SigningKey] = []
    problems: list[str] = []
    failed: list[str] = []
    providers = sorted(providers, key=_order)
    installed = {provider.name for provider in providers}
    problems.extend(
        f"keys.{name}: no installed plugin reads this source: install relayminer completely"
        for name in SOURCE_ORDER
        if getattr(settings, name) is not None and name not in installed
    )
    for provider in providers:
        try:
            keys.extend(provider.load(settings))
        except KeyLoadError as error:
            problems.extend(error.problems)
            failed.append(provider.name)
    if problems:
        raise KeyLoadError(problems, failed)
    return SupplierKeys(keys)


def _order(provider: KeySource) -> tuple[int, str]:
    known = provider.name in SOURCE_ORDER
    return (SOURCE_ORDER.index(provider.name) if known else len(SOURCE_ORDER), provider.name)
