"""Cosmos keyrings in a directory: backends `test` and `file`.

Source: crypto.md 2.7 (`cosmos-sdk: crypto/keyring/keyring.go`, `99designs/keyring: file.go`).
Every `<name>.info` file is a JWE around JSON whose `Data` is a protobuf record of the key.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cosmpy.protos.cosmos.crypto.keyring.v1 import record_pb2
from cosmpy.protos.cosmos.crypto.secp256k1 import keys_pb2
from google.protobuf.message import DecodeError

from relayminer.keys import jwe
from relayminer.keys.files import Found, parse_hex_key, read_secret_file
from relayminer.keys.passphrase import find_passphrase

if TYPE_CHECKING:
    from relayminer.config.settings import KeyringSettings

DEFAULT_DIRECTORY = Path("~/.pocket")
ITEM_SUFFIX = ".info"

_TEST_PASSPHRASE = "test"  # noqa: S105 - a constant of the Cosmos SDK, the same for everyone
_PRIVATE_KEY_TYPE = "cosmos.crypto.secp256k1.PrivKey"
_READABLE = {"test": "keyring-test", "file": "keyring-file"}


def read_keyring(settings: KeyringSettings) -> Found:
    """The keys of a keyring, all or those that `key_names` names."""
    found = Found()
    if settings.backend not in _READABLE:
        found.problems.append(
            f"keyring {settings.app_name!r} of backend {settings.backend!r} cannot be read from"
            " here: export its keys into a keyring with backend `file`, or into a keys_file"
        )
        return found
    directory = (settings.dir or DEFAULT_DIRECTORY).expanduser() / _READABLE[settings.backend]
    try:
        items = {
            unquote(path.name.removesuffix(ITEM_SUFFIX)): path
            for path in sorted(directory.iterdir())
            if path.name.endswith(ITEM_SUFFIX)
        }
    except OSError as error:
        found.problems.append(f"{directory}: {error.strerror or error}")
        return found
    missing = [name for name in settings.key_names if name not in items]
    found.problems.extend(f"{directory}: no key is named {name!r}" for name in missing)
    names = [name for name in items if name in settings.key_names or not settings.key_names]
    passphrase = _passphrase(settings, directory, found) if names else ""
    if passphrase is not None:
        for name in names:
            found.add(_read_item(items[name], name, passphrase))
    return found


def _passphrase(settings: KeyringSettings, directory: Path, found: Found) -> str | None:
    if settings.backend == "test":
        return _TEST_PASSPHRASE
    return find_passphrase(f"the keyring {directory}", settings.passphrase_file, found)


def _read_item(path: Path, name: str, passphrase: str) -> Found:
    found = Found()
    data = read_secret_file(path, found)
    if data is None:
        return found
    secret = _secret_of(data, passphrase)
    if isinstance(secret, str):
        found.problems.append(f"{path}: key {name!r}: {secret}")
        return found
    key = parse_hex_key(f"{path}: key {name!r}", secret.hex(), found)
    if key is not None:
        found.keys.append(key)
    return found


def _secret_of(data: bytes, passphrase: str) -> bytes | str:
    """The 32 secret bytes of an item, or a text that says why there are none."""
    try:
        item = json.loads(jwe.decrypt(data.decode(), passphrase))
        record = record_pb2.Record.FromString(base64.b64decode(item["Data"]))
    except jwe.JwePassphraseError:
        return "the passphrase does not open it"
    except (DecodeError, KeyError, TypeError, UnicodeDecodeError, ValueError):
        return "not a keyring item (items of old SDK versions: let `pocketd keys migrate` run)"
    if record.WhichOneof("item") != "local":
        return "not stored here (ledger, offline or multisig): it cannot sign"
    kept = record.local.priv_key
    if kept.type_url.rpartition("/")[2] != _PRIVATE_KEY_TYPE:
        return "not a secp256k1 key"
    secret: bytes = keys_pb2.PrivKey.FromString(kept.value).key
    return secret
