"""Supplier keys: read once, held so that nothing can show them."""

from __future__ import annotations

from relayminer.keys.errors import KeyLoadError, MnemonicError
from relayminer.keys.hardening import protect_process
from relayminer.keys.loading import SupplierKeys, load_keys
from relayminer.keys.sources import (
    EncryptedFile,
    KeyringSource,
    KeysDirectory,
    KeysFile,
    KeySource,
)

__all__ = [
    "EncryptedFile",
    "KeyLoadError",
    "KeySource",
    "KeyringSource",
    "KeysDirectory",
    "KeysFile",
    "MnemonicError",
    "SupplierKeys",
    "load_keys",
    "protect_process",
]
