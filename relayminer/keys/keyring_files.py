"""Keyring items as encrypted files: backends `test` and `file`, and `os` where nothing else is.

Source: crypto.md 2.7 (`99designs/keyring: file.go`): every item is a file, a JWE around its JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from relayminer.keys import jwe
from relayminer.keys.files import Found, read_secret_file
from relayminer.keys.keyring_store import ITEM_SUFFIX, Absent, Unusable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class FileStore:
    """A directory of items.

    Args:
        directory: theirs.
        passphrase: asks for it, once and only when an item is read; None: there is none, and why
            is in the `Found` that it was given.
    """

    def __init__(self, directory: Path, passphrase: Callable[[Found], str | None]) -> None:
        self.where = str(directory)
        self._directory = directory
        self._ask = passphrase
        self._passphrase: str | None = None

    def names(self) -> list[str] | Absent | Unusable:
        """Of the keys."""
        try:
            return sorted(
                unquote(path.name.removesuffix(ITEM_SUFFIX))
                for path in self._directory.iterdir()
                if path.name.endswith(ITEM_SUFFIX)
            )
        except OSError as error:
            return Absent(error.strerror or str(error))

    def read(self, name: str) -> bytes | Unusable:
        """The JSON of a key's item."""
        found = Found()
        if self._passphrase is None:
            self._passphrase = self._ask(found)
        path = self._path_of(name)
        data = None if self._passphrase is None else read_secret_file(path, found)
        if data is None or self._passphrase is None:
            return Unusable(found.problems[0])
        try:
            return jwe.decrypt(data.decode(), self._passphrase)
        except jwe.JwePassphraseError:
            reason = "the passphrase does not open it"
        except (UnicodeDecodeError, ValueError):
            reason = "no encrypted item"
        return Unusable(f"{path}: key {name!r}: {reason}")

    def _path_of(self, name: str) -> Path:
        # Names are escaped in files' names, and it does not matter here how.
        for path in self._directory.iterdir():
            if unquote(path.name) == name + ITEM_SUFFIX:
                return path
        return self._directory / (name + ITEM_SUFFIX)

    def close(self) -> None:
        """Nothing is open."""
