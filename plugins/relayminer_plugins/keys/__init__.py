"""The first-party sources of supplier keys: a file, a directory, a Cosmos keyring."""

from __future__ import annotations

from relayminer.plugin import EncryptedFile, KeyringSource, KeysDirectory, KeysFile


class KeysFileProvider(KeysFile):
    """`keys.keys_file`: one YAML file with a list of hex keys."""


class KeysDirectoryProvider(KeysDirectory):
    """`keys.keys_dir`: one file per key, with its address."""


class KeyringProvider(KeyringSource):
    """`keys.keyring`: a Cosmos keyring directory."""


class EncryptedFileProvider(EncryptedFile):
    """`keys.encrypted_file`: keys behind a passphrase, in a file of our own."""
