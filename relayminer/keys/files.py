"""Reading files that hold secrets, and the hex keys in them.

No function here raises while a secret is among its locals, so no traceback can show one: what is
wrong is collected as text that names places, never contents.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from typing import TYPE_CHECKING, Any

import yaml
from attrs import define, field

from relayminer.protocol.errors import InvalidKeyError
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE_BYTES = 4 * 1024 * 1024
"""Larger files are no key files."""

KEY_HEX_LENGTH = 64

_HEX = re.compile(r"[0-9a-fA-F]*")


@define
class Found:
    """What one source holds.

    Attributes:
        keys: in the order of the source.
        problems: what could not be read, one text each; any makes the source unusable.
    """

    keys: list[SigningKey] = field(factory=list, repr=False)
    problems: list[str] = field(factory=list)

    def add(self, other: Found) -> None:
        """Take over what `other` has."""
        self.keys.extend(other.keys)
        self.problems.extend(other.problems)


def read_secret_file(path: Path, found: Found) -> bytes | None:
    """The bytes of `path`, when only its owner can read them; else a problem.

    A file of another owner may be readable by its group: then the group is how we read it (a
    mounted secret), and we could not change it.
    """
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                found.problems.append(f"{path}: not a file")
                return None
            mine = os.geteuid() in {0, state.st_uid}
            refused = stat.S_IRWXO | (stat.S_IRWXG if mine else stat.S_IWGRP)
            if state.st_mode & refused:
                found.problems.append(
                    f"{path}: others than its owner can read or write it"
                    f" (mode {stat.S_IMODE(state.st_mode):04o}):"
                    f" run `chmod 600 {shlex.quote(str(path))}`"
                )
                return None
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        found.problems.append(f"{path}: {error.strerror or error}")
        return None
    if len(data) > MAX_FILE_BYTES:
        found.problems.append(f"{path}: more than {MAX_FILE_BYTES} bytes, no key file")
        return None
    return data


def read_yaml(path: Path, data: bytes, found: Found) -> Any:
    """The first YAML document of `data` with every scalar as the text it is, or None.

    Keys look like numbers to YAML (`0x12`, `0012`, `12e4`), so nothing may be resolved. The
    parser's own messages are not passed on: they quote what they choke on.
    """
    try:
        loader = yaml.BaseLoader(data)
        try:
            has_document = loader.check_data()  # type: ignore[no-untyped-call]  # stubs lack it
            return loader.get_data() if has_document else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    except (yaml.YAMLError, ValueError, RecursionError):
        place = ""
    found.problems.append(f"{path}: {place}not valid YAML")
    return None


def parse_hex_key(place: str, entry: Any, found: Found) -> SigningKey | None:
    """The key written as 64 hex digits, `0x` in front allowed; else a problem at `place`."""
    problem = ""
    digits = ""
    if isinstance(entry, str):
        # In this order: white space in front of `0x` is refused, as the Go loader does.
        digits = entry.removeprefix("0x").strip()
    if not isinstance(entry, str):
        problem = "not a text"
    elif not digits or entry.strip() in {"~", "null"}:
        problem = "empty key"
    elif len(digits) != KEY_HEX_LENGTH:
        problem = f"{len(digits)} characters, not {KEY_HEX_LENGTH} hex digits (32 bytes)"
    elif not _HEX.fullmatch(digits):
        problem = "a character that is no hex digit"
    if not problem:
        try:
            return SigningKey(bytes.fromhex(digits))
        except InvalidKeyError as error:
            problem = str(error)
    found.problems.append(f"{place}: {problem}")
    return None
