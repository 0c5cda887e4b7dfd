"""Our own encrypted key file: any number of keys behind one passphrase.

A JSON object: `format`, `version` 1, `kdf` (Argon2id with its limits and salt), `box` (XSalsa20 and
Poly1305 of libsodium, over a JSON list of `{"private_key_hex"}`), and the addresses in
plain, so that one sees what is inside without opening it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import nacl.exceptions
import nacl.pwhash.argon2id
import nacl.secret
import nacl.utils

from relayminer.keys.errors import KeyLoadError
from relayminer.keys.files import Found, parse_hex_key, read_secret_file
from relayminer.keys.passphrase import find_passphrase
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


FORMAT: Final = "relayminer-keys"
VERSION: Final = 1
OPERATIONS: Final = nacl.pwhash.argon2id.OPSLIMIT_MODERATE
MEMORY_BYTES: Final = nacl.pwhash.argon2id.MEMLIMIT_MODERATE
MAX_MEMORY_BYTES: Final = 1 << 30
MAX_OPERATIONS: Final = 64
"""A file may not ask for more: it would keep the machine busy before anything is checked."""
MIN_PASSPHRASE: Final = 8


class WrongPassphraseError(KeyLoadError):
    """The file is sound as far as one can see, and the passphrase is not its own."""


def seal(secrets_hex: Sequence[str], passphrase: str) -> bytes:
    """The bytes of a key file.

    Args:
        secrets_hex: private keys, 64 hex digits each.
        passphrase: opens it again.

    Raises:
        KeyLoadError: the passphrase is too short.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise KeyLoadError([f"a passphrase has at least {MIN_PASSPHRASE} characters"])
    salt = nacl.utils.random(nacl.pwhash.argon2id.SALTBYTES)
    inside = [{"private_key_hex": text} for text in secrets_hex]
    box = _box(passphrase, salt, OPERATIONS, MEMORY_BYTES)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "addresses": [SigningKey(bytes.fromhex(text)).address for text in secrets_hex],
        "kdf": {
            "name": "argon2id",
            "operations": OPERATIONS,
            "memory_bytes": MEMORY_BYTES,
            "salt": base64.b64encode(salt).decode(),
        },
        "box": base64.b64encode(box.encrypt(json.dumps(inside).encode())).decode(),
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def read_vault(path: Path, passphrase_file: Path | None) -> Found:
    """The keys of an encrypted file; asks for the passphrase where it has to."""
    found = Found()
    data = read_secret_file(path, found)
    if data is None:
        return found
    passphrase = find_passphrase(str(path), passphrase_file, found)
    if passphrase is None:
        return found
    try:
        for index, text in enumerate(open_secrets(path, data, passphrase)):
            key = parse_hex_key(f"{path}: key {index + 1}", text, found)
            if key is not None:
                found.keys.append(key)
    except KeyLoadError as error:
        found.problems.extend(error.problems)
    return found


def open_secrets(path: Path, data: bytes, passphrase: str) -> list[str]:
    """The private keys of a file, as hex.

    Raises:
        WrongPassphraseError: it does not open.
        KeyLoadError: it is no such file, or of a version that is not known here.
    """
    try:
        document = json.loads(data)
        salt, sealed, operations, memory = _parsed(document)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise KeyLoadError([f"{path}: no key file of relayminer, or damaged"]) from None
    if document["version"] > VERSION:
        version = document["version"]
        raise KeyLoadError(
            [f"{path}: written by a newer relayminer (version {version}): use that one"]
        )
    try:
        inside = json.loads(_box(passphrase, salt, operations, memory).decrypt(sealed))
    except nacl.exceptions.CryptoError:
        raise WrongPassphraseError(
            [f"{path}: it does not open: another passphrase, or the file is damaged"]
        ) from None
    return [str(entry["private_key_hex"]) for entry in inside]


def _parsed(document: dict[str, Any]) -> tuple[bytes, bytes, int, int]:
    """Salt, box, operations and memory; raises KeyError, TypeError and ValueError."""
    kdf = document["kdf"]
    operations, memory = int(kdf["operations"]), int(kdf["memory_bytes"])
    salt = base64.b64decode(kdf["salt"], validate=True)
    sealed = base64.b64decode(document["box"], validate=True)
    fits = (
        document["format"] == FORMAT
        and document["version"] >= 1
        and 0 < operations <= MAX_OPERATIONS
        and 0 < memory <= MAX_MEMORY_BYTES
        and len(salt) == nacl.pwhash.argon2id.SALTBYTES
    )
    if not fits:
        raise ValueError("not ours")
    return salt, sealed, operations, memory


def addresses_of(data: bytes) -> list[str]:
    """The addresses that a key file shows outside; empty when it is none."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        document = json.loads(data)
        if document["format"] == FORMAT:
            return [str(address) for address in document["addresses"]]
    return []


def write_private(path: Path, data: bytes) -> None:
    """Put a file in place whole, readable by its owner alone."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _box(passphrase: str, salt: bytes, operations: int, memory: int) -> nacl.secret.SecretBox:
    key = nacl.pwhash.argon2id.kdf(
        nacl.secret.SecretBox.KEY_SIZE,
        passphrase.encode(errors="surrogateescape"),
        salt,
        opslimit=operations,
        memlimit=memory,
    )
    return nacl.secret.SecretBox(key)
