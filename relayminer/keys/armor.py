"""Armored private keys as `pocketd keys export` prints them.

Source: crypto.md 2.8 (`cosmos-sdk: crypto/armor.go`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import bcrypt
import nacl.exceptions
import nacl.secret
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from relayminer.keys.errors import KeyLoadError

BLOCK: Final = "TENDERMINT PRIVATE KEY"
_AMINO_PREFIX: Final = bytes.fromhex("e1b0f79b20")
_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 16
_BCRYPT_COST: Final = 12
_BCRYPT_ALPHABET: Final = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BASE64_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_CRC_INITIAL: Final = 0xB704CE
_CRC_POLYNOMIAL: Final = 0x1864CFB


def secret_of(text: str, passphrase: str) -> bytes:
    """The 32 bytes of the key in an armor block.

    Raises:
        KeyLoadError: it is no such block, is damaged, or the passphrase is another.
    """
    headers, body = _parsed(text)
    try:
        salt = bytes.fromhex(headers.get("salt", ""))
    except ValueError:
        salt = b""
    if len(salt) != _SALT_BYTES:
        raise KeyLoadError([f"the armor's salt is not {_SALT_BYTES} bytes of hex"])
    kind = headers.get("type", "secp256k1")
    if kind != "secp256k1":
        raise KeyLoadError([f"a key of type {kind}: suppliers sign with secp256k1"])
    plain = _opened(headers.get("kdf", ""), salt, body, passphrase)
    if plain is None:
        raise KeyLoadError(["the armor does not open: another passphrase, or it is damaged"])
    if not plain.startswith(_AMINO_PREFIX) or len(plain) != len(_AMINO_PREFIX) + _KEY_BYTES:
        raise KeyLoadError(["what is inside the armor is no secp256k1 key"])
    return plain.removeprefix(_AMINO_PREFIX)


def _opened(kdf: str, salt: bytes, body: bytes, passphrase: str) -> bytes | None:
    secret = passphrase.encode()
    if kdf == "argon2":
        derived = Argon2id(salt=salt, length=32, iterations=1, lanes=4, memory_cost=65536)
        try:
            return ChaCha20Poly1305(derived.derive(secret)).decrypt(bytes(12), body, None)
        except InvalidTag:
            return None
    if kdf == "bcrypt":
        encoded = base64.b64encode(salt).translate(
            bytes.maketrans(_BASE64_ALPHABET, _BCRYPT_ALPHABET)
        )[:22]
        # Go's bcrypt takes no more than 72 bytes either.
        hashed = bcrypt.hashpw(secret[:72], b"$2a$%02d$" % _BCRYPT_COST + encoded)
        try:
            return nacl.secret.SecretBox(hashlib.sha256(hashed).digest()).decrypt(body)
        except nacl.exceptions.CryptoError:
            return None
    raise KeyLoadError([f"the armor's kdf {kdf!r} is neither argon2 nor bcrypt"])


def _parsed(text: str) -> tuple[dict[str, str], bytes]:
    lines = [line.strip() for line in text.strip().splitlines()]
    if not lines or lines[0] != f"-----BEGIN {BLOCK}-----" or lines[-1] != f"-----END {BLOCK}-----":
        raise KeyLoadError([f"no armor: it begins with -----BEGIN {BLOCK}----- and ends likewise"])
    headers: dict[str, str] = {}
    body: list[str] = []
    checksum = ""
    for line in lines[1:-1]:
        name, separator, value = line.partition(": ")
        if separator and not body:
            headers[name] = value
        elif line.startswith("="):
            checksum = line[1:]
        elif line:
            body.append(line)
    try:
        data = base64.b64decode("".join(body), validate=True)
        if checksum and int.from_bytes(base64.b64decode(checksum, validate=True)) != _crc24(data):
            raise KeyLoadError(["the armor is damaged: its checksum is another"])
    except binascii.Error:
        raise KeyLoadError(["the armor is damaged: not base64"]) from None
    return headers, data


def _crc24(data: bytes) -> int:
    """OpenPGP's checksum (RFC 4880, 6.1)."""
    crc = _CRC_INITIAL
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
    return crc & 0xFFFFFF
