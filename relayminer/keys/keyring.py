"""Cosmos keyrings: backends `test` and `file` (directories), `pass`, and `os` (whichever is there).

Source: crypto.md 2.7 (`cosmos-sdk: crypto/keyring/keyring.go`, `99designs/keyring`). Wherever they
are kept, items are JSON whose `Data` is a protobuf record of the key.
"""

from __future__ import annotations

import base64
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from cosmpy.protos.cosmos.crypto.keyring.v1 import record_pb2
from cosmpy.protos.cosmos.crypto.secp256k1 import keys_pb2
from google.protobuf.message import DecodeError

from relayminer.keys.errors import KeyLoadError
from relayminer.keys.files import Found, parse_hex_key
from relayminer.keys.keyring_files import FileStore
from relayminer.keys.keyring_pass import PassStore
from relayminer.keys.keyring_secret_service import SecretServiceStore
from relayminer.keys.keyring_store import Absent, ItemStore, Unusable
from relayminer.keys.passphrase import find_passphrase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relayminer.config.settings import KeyringSettings

DEFAULT_DIRECTORY = Path("~/.pocket")

_TEST_PASSPHRASE = "test"  # noqa: S105 - a constant of the Cosmos SDK, the same for everyone
_PRIVATE_KEY_TYPE = "cosmos.crypto.secp256k1.PrivKey"


def read_keyring(settings: KeyringSettings) -> Found:
    """The keys of a keyring, all or those that `key_names` names."""
    found = Found()
    for place, secret in _secrets(settings, found):
        key = parse_hex_key(place, secret.hex(), found)
        if key is not None:
            found.keys.append(key)
    return found


def keyring_secrets(settings: KeyringSettings) -> list[str]:
    """The private keys of a keyring as hex, for bringing them elsewhere.

    Raises:
        KeyLoadError: one of them cannot be read.
    """
    found = Found()
    secrets = [secret.hex() for _, secret in _secrets(settings, found)]
    if found.problems:
        secrets.clear()
        raise KeyLoadError(found.problems)
    return secrets


def _secrets(settings: KeyringSettings, found: Found) -> Iterator[tuple[str, bytes]]:
    """Place and secret of each key that is wanted; what stands in the way is put in `found`."""
    looked_at = []
    for store in _stores(settings):
        with closing(store):
            names = store.names()
            if isinstance(names, Unusable):
                found.problems.append(names.problem)
                return
            if isinstance(names, Absent):
                looked_at.append(f"{store.where}: {names.reason}")
                continue
            # The first place that has keys is the keyring.
            if names or settings.backend != "os":
                yield from _secrets_in(store, names, settings.key_names, found)
                return
            looked_at.append(f"{store.where}: no keys")
    if settings.backend == "os":
        looked_at = ["no keyring of backend `os` has a key: " + "; ".join(looked_at)]
    found.problems.extend(looked_at)


def _stores(settings: KeyringSettings) -> Iterator[ItemStore]:
    """The places where the keyring may be, in the order of the Cosmos SDK."""
    directory = (settings.dir or DEFAULT_DIRECTORY).expanduser()
    if settings.backend == "test":
        yield FileStore(directory / "keyring-test", lambda _: _TEST_PASSPHRASE)
        return
    if settings.backend == "pass":
        yield PassStore(f"keyring-{settings.app_name}")
        return
    if settings.backend == "os":
        yield SecretServiceStore(settings.app_name)
        yield PassStore("")
    else:
        directory /= "keyring-file"

    def ask(found: Found) -> str | None:
        return find_passphrase(f"the keyring {directory}", settings.passphrase_file, found)

    yield FileStore(directory, ask)


def _secrets_in(
    store: ItemStore, names: list[str], wanted: tuple[str, ...], found: Found
) -> Iterator[tuple[str, bytes]]:
    missing = [name for name in wanted if name not in names]
    found.problems.extend(f"{store.where}: no key is named {name!r}" for name in missing)
    for name in names:
        if wanted and name not in wanted:
            continue
        item = store.read(name)
        if isinstance(item, Unusable):
            found.problems.append(item.problem)
            continue
        secret = _secret_of(item)
        if isinstance(secret, str):
            found.problems.append(f"{store.where}: key {name!r}: {secret}")
        else:
            yield f"{store.where}: key {name!r}", secret


def _secret_of(item: bytes) -> bytes | str:
    """The 32 secret bytes of an item, or a text that says why there are none."""
    try:
        record = record_pb2.Record.FromString(base64.b64decode(json.loads(item)["Data"]))
    except (DecodeError, KeyError, TypeError, ValueError, RecursionError):
        return "not a keyring item (items of old SDK versions: let `pocketd keys migrate` run)"
    if record.WhichOneof("item") != "local":
        return "not stored here (ledger, offline or multisig): it cannot sign"
    kept = record.local.priv_key
    if kept.type_url.rpartition("/")[2] != _PRIVATE_KEY_TYPE:
        return "not a secp256k1 key"
    try:
        secret: bytes = keys_pb2.PrivKey.FromString(kept.value).key
    except DecodeError:
        return "its key is damaged"
    return secret
