"""Keyring items in the password store of `pass`, which keeps each in a file encrypted by GnuPG.

Source: `99designs/keyring: pass.go`, `cosmos-sdk: crypto/keyring/keyring.go`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from relayminer.keys.keyring_store import ITEM_SUFFIX, Absent, Unusable

PASS_SECONDS: Final = 60.0
"""For GnuPG to ask somebody for a passphrase."""
_DIRECTORY: Final = "PASSWORD_STORE_DIR"
_ENCRYPTED: Final = ".gpg"


class PassStore:
    """Items below a folder of the password store.

    Args:
        prefix: the folder: `keyring-<app>` of the backend `pass`, the top of the backend `os`.
    """

    def __init__(self, prefix: str) -> None:
        store = os.environ.get(_DIRECTORY) or "~/.password-store"
        self._store = Path(store).expanduser()
        self._prefix = prefix
        self._program = shutil.which("pass")
        self.where = f"the password store {self._store / prefix}"

    def names(self) -> list[str] | Absent | Unusable:
        """Of the keys."""
        if self._program is None:
            return Absent("there is no program `pass`")
        folder = self._store / self._prefix
        end = ITEM_SUFFIX + _ENCRYPTED
        paths = sorted(folder.rglob(f"*{end}")) if folder.is_dir() else []
        return [str(path.relative_to(folder)).removesuffix(end) for path in paths]

    def read(self, name: str) -> bytes | Unusable:
        """The JSON of a key's item."""
        item = str(Path(self._prefix) / (name + ITEM_SUFFIX))
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and the names are those of files
                [self._program or "pass", "show", "--", item],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PASS_SECONDS,
                check=False,
                env={**os.environ, _DIRECTORY: str(self._store)},
            )
        except (OSError, subprocess.TimeoutExpired):
            return Unusable(f"{self.where}: key {name!r}: `pass show {item}` does not end")
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"exit code {done.returncode}"
            return Unusable(f"{self.where}: key {name!r}: `pass show {item}`: {reason}")
        return done.stdout

    def close(self) -> None:
        """Nothing is open."""
