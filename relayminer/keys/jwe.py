"""One kind of encrypted text: JWE compact, PBES2-HS256+A128KW, A256GCM (RFC 7516, 7518 4.8).

It is what Cosmos keyrings store: the passphrase makes a key (PBKDF2) that unwraps a key (AES key
wrap) that opens the content (AES-GCM), with the header authenticated.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

ALGORITHM = "PBES2-HS256+A128KW"
ENCRYPTION = "A256GCM"
MAX_ITERATIONS = 2_000_000
"""A file that asks for more work than this is refused."""

_PARTS = 5
_WRAPPING_KEY_BYTES = 16
_CONTENT_KEY_BYTES = 32


class JweFormatError(ValueError):
    """Text that is no JWE of the kind above."""


class JwePassphraseError(ValueError):
    """The passphrase does not open it."""


def decrypt(text: str, passphrase: str) -> bytes:
    """The content of a JWE.

    Raises:
        JweFormatError: not this kind of JWE.
        JwePassphraseError: another passphrase, or the text was changed.
    """
    parts = text.strip().split(".")
    if len(parts) != _PARTS:
        raise JweFormatError("not five parts")
    header_text = parts[0]
    try:
        header: Any = json.loads(_decoded(header_text))
        wrapped, nonce, sealed, tag = (_decoded(part) for part in parts[1:])
        salt, iterations = _decoded(header["p2s"]), header["p2c"]
        kind = header["alg"], header["enc"]
    except (KeyError, TypeError, ValueError):
        raise JweFormatError("unreadable parts") from None
    if kind != (ALGORITHM, ENCRYPTION):
        raise JweFormatError(f"neither {ALGORITHM} nor {ENCRYPTION}")
    if not isinstance(iterations, int) or not 0 < iterations <= MAX_ITERATIONS:
        raise JweFormatError("an unreasonable number of iterations")
    wrapping_key = hashlib.pbkdf2_hmac(
        "sha256",
        passphrase.encode(),
        ALGORITHM.encode() + b"\x00" + salt,
        iterations,
        _WRAPPING_KEY_BYTES,
    )
    content = _opened(wrapping_key, wrapped, nonce, sealed + tag, header_text.encode())
    if content is None:
        raise JwePassphraseError("the passphrase does not open it")
    return content


def _opened(
    wrapping_key: bytes, wrapped: bytes, nonce: bytes, sealed: bytes, header: bytes
) -> bytes | None:
    try:
        content_key = aes_key_unwrap(wrapping_key, wrapped)
        if len(content_key) != _CONTENT_KEY_BYTES:
            return None
        return AESGCM(content_key).decrypt(nonce, sealed, header)
    except (InvalidUnwrap, InvalidTag, ValueError):
        return None


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
