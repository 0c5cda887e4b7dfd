"""Where a passphrase comes from: a file, a systemd credential, or somebody at a terminal."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relayminer.keys.files import read_secret_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.keys.files import Found

CREDENTIAL: Final = "relayminer-passphrase"
"""Name of the systemd credential: `LoadCredential=relayminer-passphrase:/path`."""


def find_passphrase(
    what: str,
    passphrase_file: Path | None,
    found: Found,
    environ: Mapping[str, str] | None = None,
) -> str | None:
    """The passphrase of `what`, or None and a problem.

    Args:
        what: is asked about, for people.
        passphrase_file: its first line is the passphrase.
        found: where a problem is put.
        environ: has `CREDENTIALS_DIRECTORY` below systemd; None: this process's.
    """
    path = passphrase_file
    directory = (os.environ if environ is None else environ).get("CREDENTIALS_DIRECTORY")
    if path is None and directory:
        credential = Path(directory) / CREDENTIAL
        path = credential if credential.exists() else None
    if path is not None:
        data = read_secret_file(path.expanduser(), found)
        if data is None:
            return None
        lines = data.decode(errors="surrogateescape").splitlines()
        return lines[0] if lines else ""
    if sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass(f"Passphrase of {what}: ")
    found.problems.append(
        f"{what}: a passphrase is needed and there is no terminal to ask: set its "
        f"passphrase_file, or give systemd a credential {CREDENTIAL}"
    )
    return None
