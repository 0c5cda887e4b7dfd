"""Where keys come from: a file, a directory, a Cosmos keyring.

Source: crypto.md 2.4 to 2.7 (`pocket-relay-miner: keys/{supplier_keys_file,file_provider}.go`).
Where the Go loaders skip what they cannot use and log it, ours refuse: a supplier that is left out
unnoticed earns nothing. And a declared address that is not the key's is refused, because relays
signed with that key would be refused by every gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from relayminer.keys.errors import KeyLoadError
from relayminer.keys.files import Found, parse_hex_key, read_secret_file, read_yaml
from relayminer.keys.keyring import read_keyring
from relayminer.keys.vault import read_vault

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from relayminer.config.settings import KeySettings
    from relayminer.protocol.signature import SigningKey

FILE_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


class KeySource(Protocol):
    """One kind of key source; `relayminer.plugin.KeyProvider` is the same from outside."""

    @property
    def name(self) -> str:
        """The settings key of this source."""
        ...

    def load(self, settings: KeySettings) -> Iterable[SigningKey]:
        """The keys that `settings` point to; none when the source is not configured.

        Raises:
            KeyLoadError: something that is configured cannot be read, with all problems.
        """
        ...


def read_keys_file(path: Path) -> Found:
    """The keys of a YAML file with a list of hex keys under `keys`."""
    found = Found()
    data = read_secret_file(path, found)
    if data is None:
        return found
    document = read_yaml(path, data, found)
    if found.problems:
        return found
    entries = document.get("keys") if isinstance(document, dict) else None
    if isinstance(entries, list) and entries:
        for index, entry in enumerate(entries):
            key = parse_hex_key(f"{path}: keys[{index}]", entry, found)
            if key is not None:
                found.keys.append(key)
    elif isinstance(entries, list):
        found.problems.append(f"{path}: `keys` is empty, at least one key is needed")
    elif not entries:
        found.problems.append(f"{path}: `keys` is missing: a list of hex keys is expected there")
    else:
        found.problems.append(f"{path}: `keys` is not a list of hex keys")
    return found


def hex_keys_of(path: Path) -> list[str]:
    """The private keys of such a file as they are written, for bringing them elsewhere.

    Raises:
        KeyLoadError: one of them is none, or the file cannot be read.
    """
    found = read_keys_file(path)
    data = read_secret_file(path, found)
    if found.problems or data is None:
        raise KeyLoadError(found.problems)
    return [str(entry) for entry in read_yaml(path, data, found)["keys"]]


def read_keys_dir(path: Path) -> Found:
    """The keys of a directory of YAML files with `operator_address` and `private_key_hex`."""
    found = Found()
    try:
        names = sorted(path.iterdir())
    except OSError as error:
        found.problems.append(f"{path}: {error.strerror or error}: run `mkdir -m 700 {path}`")
        return found
    for name in names:
        if name.suffix.lower() in FILE_SUFFIXES:
            found.add(read_key_of_address(name))
    return found


def read_key_of_address(path: Path) -> Found:
    """The one key of a file with `operator_address` and `private_key_hex`."""
    found = Found()
    data = read_secret_file(path, found)
    if data is None:
        return found
    document = read_yaml(path, data, found)
    if found.problems:
        return found
    fields = document if isinstance(document, dict) else {}
    missing = [name for name in ("operator_address", "private_key_hex") if not fields.get(name)]
    if missing:
        found.problems.extend(f"{path}: `{name}` is missing" for name in missing)
        return found
    key = parse_hex_key(f"{path}: private_key_hex", fields["private_key_hex"], found)
    if key is None:
        return found
    if fields["operator_address"] == key.address:
        found.keys.append(key)
        return found
    found.problems.append(
        f"{path}: operator_address is not the address of the key, which is {key.address}:"
        " correct the address, or put the right key there"
    )
    return found


class KeysFile:
    """`keys.keys_file`."""

    name = "keys_file"

    def load(self, settings: KeySettings) -> Iterable[SigningKey]:
        """The keys of the file."""
        if settings.keys_file is None:
            return []
        return _usable(read_keys_file(settings.keys_file.expanduser()))


class KeysDirectory:
    """`keys.keys_dir`."""

    name = "keys_dir"

    def load(self, settings: KeySettings) -> Iterable[SigningKey]:
        """The keys of the directory's files."""
        if settings.keys_dir is None:
            return []
        return _usable(read_keys_dir(settings.keys_dir.expanduser()))


class EncryptedFile:
    """`keys.encrypted_file`."""

    name = "encrypted_file"

    def load(self, settings: KeySettings) -> Iterable[SigningKey]:
        """The keys of the encrypted file."""
        if settings.encrypted_file is None:
            return []
        return _usable(read_vault(settings.encrypted_file.expanduser(), settings.passphrase_file))


class KeyringSource:
    """`keys.keyring`."""

    name = "keyring"

    def load(self, settings: KeySettings) -> Iterable[SigningKey]:
        """The keys of the keyring."""
        if settings.keyring is None:
            return []
        return _usable(read_keyring(settings.keyring))


def _usable(found: Found) -> list[SigningKey]:
    if found.problems:
        raise KeyLoadError(found.problems)
    return found.keys
