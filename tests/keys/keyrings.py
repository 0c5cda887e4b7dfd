"""Keyrings as the Cosmos SDK writes them, made for tests."""

from __future__ import annotations

import base64
import json
import os
from hashlib import pbkdf2_hmac, sha256
from typing import TYPE_CHECKING

from cosmpy.protos.cosmos.crypto.keyring.v1 import record_pb2
from cosmpy.protos.cosmos.crypto.secp256k1 import keys_pb2
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from google.protobuf.any_pb2 import Any as AnyMessage

from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

_ALGORITHM = "PBES2-HS256+A128KW"
_ITERATIONS = 1_000


def key_of(name: str) -> SigningKey:
    """The key that items of this name hold."""
    return SigningKey(_secret(name))


def _secret(name: str) -> bytes:
    return sha256(name.encode()).digest()


def item_json(name: str, private: bytes = b"") -> bytes:
    """The JSON of a key's item; `private` is what it holds instead of the key's message."""
    private = private or keys_pb2.PrivKey(key=_secret(name)).SerializeToString()
    kept = AnyMessage(type_url="/cosmos.crypto.secp256k1.PrivKey", value=private)
    record = record_pb2.Record(name=name, local=record_pb2.Record.Local(priv_key=kept))
    data = base64.b64encode(record.SerializeToString()).decode()
    return json.dumps({"Key": f"{name}.info", "Data": data, "Label": ""}).encode()


def encrypted(plain: bytes, passphrase: str) -> bytes:
    """`plain` as a keyring's file (RFC 7516 with PBES2)."""
    salt, content_key, nonce = os.urandom(12), os.urandom(32), os.urandom(12)
    header = {
        "alg": _ALGORITHM,
        "enc": "A256GCM",
        "p2c": _ITERATIONS,
        "p2s": _base64(salt),
        "created": "now",
    }
    protected = _base64(json.dumps(header).encode())
    salted = _ALGORITHM.encode() + b"\0" + salt
    wrapping = pbkdf2_hmac("sha256", passphrase.encode(), salted, _ITERATIONS, 16)
    sealed = AESGCM(content_key).encrypt(nonce, plain, protected.encode())
    parts = (aes_key_wrap(wrapping, content_key), nonce, sealed[:-16], sealed[-16:])
    return ".".join([protected, *(_base64(part) for part in parts)]).encode()


def write_private(path: Path, content: bytes) -> Path:
    """`content` in a file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
