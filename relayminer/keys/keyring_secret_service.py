"""Keyring items in the desktop's secret service (GNOME Keyring, KWallet, KeePassXC), over D-Bus.

Source: `99designs/keyring: secretservice.go`: a collection by the name of the application; of each
item the label, and the attribute `profile`, are its name, and its secret is the item's JSON.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from relayminer.keys.keyring_store import ITEM_SUFFIX, Absent, Unusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from secretstorage import Collection

T = TypeVar("T")

INSTALL: Final = "pip install 'relayminer[keyring]'"
BUS: Final = "DBUS_SESSION_BUS_ADDRESS"
REPLY_SECONDS: Final = 10.0
_COLLECTIONS: Final = "/org/freedesktop/secrets/collection/"
_ESCAPED: Final = re.compile(r"_([0-9a-f]{2})")


class SecretServiceStore:
    """A collection of the secret service, which must be unlocked: nobody is asked for that here.

    Args:
        collection: its name, that of the application.
    """

    def __init__(self, collection: str) -> None:
        self.where = f"the secret service, collection {collection!r}"
        self._name = collection
        self._connection: _Patient | None = None
        self._collection: Collection | None = None

    def names(self) -> list[str] | Absent | Unusable:
        """Of the keys."""
        if not os.environ.get(BUS):
            return Absent(f"there is no D-Bus session ({BUS} is not set)")
        try:
            import secretstorage  # noqa: PLC0415 - an optional dependency
        except ImportError:
            return Absent(f"not looked at: {INSTALL}")
        return self._told(lambda: self._names(secretstorage))

    def _names(self, secretstorage: Any) -> list[str] | Absent | Unusable:
        self._connection = _Patient(secretstorage.dbus_init())
        if not secretstorage.check_service_availability(self._connection):
            return Absent("no secret service answers")
        collections = {
            _unescaped(one.collection_path.removeprefix(_COLLECTIONS)): one
            for one in secretstorage.get_all_collections(self._connection)
        }
        collection = self._collection = collections.get(self._name)
        if collection is None:
            others = ", ".join(sorted(collections)) or "none"
            return Absent(f"not there; set keys.keyring.app_name to one of: {others}")
        if collection.is_locked():
            return Unusable(
                f"{self.where} is locked: unlock it in the session that {BUS} names, then start"
            )
        labels = sorted(item.get_label() for item in collection.get_all_items())
        return [one.removesuffix(ITEM_SUFFIX) for one in labels if one.endswith(ITEM_SUFFIX)]

    def read(self, name: str) -> bytes | Unusable:
        """The JSON of a key's item."""
        told = self._told(lambda: self._secret(name))
        return Unusable(f"{self.where}: {told.reason}") if isinstance(told, Absent) else told

    def _secret(self, name: str) -> bytes | Unusable:
        what = f"{self.where}: key {name!r}"
        if self._collection is None:
            return Unusable(f"{what}: the collection is not open")
        item = next(iter(self._collection.search_items({"profile": name + ITEM_SUFFIX})), None)
        if item is None:
            return Unusable(f"{what}: its item has no attribute `profile`")
        if item.is_locked():
            return Unusable(f"{what} is locked")
        secret: bytes = item.get_secret()
        return secret

    def _told(self, ask: Callable[[], T]) -> T | Absent:
        """What the service says; its failures as a reason."""
        from jeepney import DBusErrorResponse  # noqa: PLC0415 - comes with secretstorage
        from secretstorage.exceptions import SecretStorageException  # noqa: PLC0415

        try:
            return ask()
        except (SecretStorageException, DBusErrorResponse, OSError, RuntimeError) as error:
            # The texts of D-Bus: names of methods and services.
            return Absent(str(error) or type(error).__name__)

    def close(self) -> None:
        """Leave the bus."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Patient:
    """A connection whose calls do not wait for ever."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def send_and_get_reply(self, message: Any, *, timeout: float | None = None) -> Any:
        return self._connection.send_and_get_reply(message, timeout=timeout or REPLY_SECONDS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _unescaped(path: str) -> str:
    """The name in a D-Bus path: what is no letter or digit is `_` and two hex digits there."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), path)
