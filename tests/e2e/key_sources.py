"""Supplier keys, one in each kind of source that a node can read."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

from cosmpy.protos.cosmos.crypto.keyring.v1 import record_pb2
from cosmpy.protos.cosmos.crypto.secp256k1 import keys_pb2
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from relayminer.keys import jwe
from relayminer.keys.vault import seal
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.devnet.info import Party

ITERATIONS: Final = 8192
COUNT: Final = 4
"""Sources that a node has at once: a keyring is of one backend."""
VAULT_PASSPHRASE: Final = "correct-horse-vault"
KEYRING_PASSPHRASE: Final = "correct-horse-keyring"


def every_source(home: Path, parties: tuple[Party, ...]) -> dict[str, Any]:
    """The section `keys` of a configuration that finds one of the first four in each source."""
    in_file, in_folder, in_vault, in_keyring = parties[:COUNT]
    private(home / "hex.yaml", f"keys: [{in_file.secret_hex}]\n".encode())
    text = f"operator_address: {in_folder.address}\nprivate_key_hex: {in_folder.secret_hex}\n"
    private(home / "folder" / "key.yaml", text.encode())
    private(home / "keys.encrypted", seal([in_vault.secret_hex], VAULT_PASSPHRASE))
    private(home / "vault-passphrase", f"{VAULT_PASSPHRASE}\n".encode())
    private(home / "keyring-file" / "supplier.info", item(in_keyring.secret, KEYRING_PASSPHRASE))
    private(home / "keyring-passphrase", f"{KEYRING_PASSPHRASE}\n".encode())
    return {
        "keys_file": "hex.yaml",
        "keys_dir": "folder",
        "encrypted_file": "keys.encrypted",
        "passphrase_file": "vault-passphrase",
        "keyring": {"backend": "file", "dir": ".", "passphrase_file": "keyring-passphrase"},
    }


def private(path: Path, content: bytes) -> None:
    """A file that only its owner can read."""
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def item(secret: bytes, passphrase: str) -> bytes:
    """What a Cosmos keyring keeps of a key: a record in JSON in a JWE."""
    public = keys_pb2.PubKey(key=SigningKey(secret).public_key)
    record = record_pb2.Record(name="supplier")
    record.pub_key.Pack(public, type_url_prefix="/")
    record.local.priv_key.Pack(keys_pb2.PrivKey(key=secret), type_url_prefix="/")
    content = {
        "Key": "supplier.info",
        "Data": base64.b64encode(record.SerializeToString()).decode(),
    }
    return encrypted(json.dumps(content).encode(), passphrase).encode()


def encrypted(content: bytes, passphrase: str) -> str:
    """A JWE as `relayminer.keys.jwe` opens it."""
    salt, content_key, nonce = os.urandom(12), os.urandom(32), os.urandom(12)
    header = {
        "alg": jwe.ALGORITHM,
        "enc": jwe.ENCRYPTION,
        "p2c": ITERATIONS,
        "p2s": encoded(salt),
    }
    head = encoded(json.dumps(header).encode())
    wrapping_key = hashlib.pbkdf2_hmac(
        "sha256", passphrase.encode(), jwe.ALGORITHM.encode() + b"\x00" + salt, ITERATIONS, 16
    )
    sealed = AESGCM(content_key).encrypt(nonce, content, head.encode())
    parts = (aes_key_wrap(wrapping_key, content_key), nonce, sealed[:-16], sealed[-16:])
    return ".".join([head, *(encoded(part) for part in parts)])


def encoded(data: bytes) -> str:
    """Base64 of URLs, without its end."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
