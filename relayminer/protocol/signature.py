"""ECDSA as the Cosmos SDK does it: 64 bytes r || s over the SHA-256 of the message, low s.

Source: `cosmos-sdk: crypto/keys/secp256k1/secp256k1_nocgo.go`.
"""

from __future__ import annotations

import hashlib
from typing import NoReturn

from coincurve import PrivateKey
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

from relayminer.protocol import curve
from relayminer.protocol.address import address_of
from relayminer.protocol.errors import InvalidKeyError, InvalidPointError

SECRET_LENGTH = 32
SIGNATURE_LENGTH = 64

_context = GLOBAL_CONTEXT.ctx


class SigningKey:
    """A secp256k1 secret that signs, and never shows itself.

    Attributes:
        public_key: 33 bytes, compressed.
        address: the `pokt1...` address of the key.
    """

    __slots__ = ("__private", "address", "public_key")

    def __init__(self, secret: bytes) -> None:
        """Take the 32-byte big-endian scalar.

        Raises:
            InvalidKeyError: other length, zero, or not below the group order.
        """
        if len(secret) != SECRET_LENGTH:
            raise InvalidKeyError(f"a secret of {len(secret)} bytes, not {SECRET_LENGTH}")
        try:
            self.__private = PrivateKey(secret)
        except ValueError:
            # Not chained: the library's error and its frame know the secret.
            raise InvalidKeyError("the secret is zero or not below the group order") from None
        self.public_key: bytes = self.__private.public_key.format()
        self.address = address_of(self.public_key)

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """The key that the SDK derives from a text (`GenPrivKeyFromSecret`)."""
        scalar = int.from_bytes(hashlib.sha256(seed).digest()) % (curve.N - 1) + 1
        return cls(scalar.to_bytes(SECRET_LENGTH))

    def sign(self, message: bytes) -> bytes:
        """64 bytes r || s over SHA-256 of `message`: RFC 6979, low s, the same every time."""
        signature = ffi.new("secp256k1_ecdsa_signature *")
        out = ffi.new("unsigned char [64]")
        digest = hashlib.sha256(message).digest()
        if not lib.secp256k1_ecdsa_sign(
            _context, signature, digest, self.__private.secret, ffi.NULL, ffi.NULL
        ):
            raise InvalidKeyError("libsecp256k1 refused to sign")
        lib.secp256k1_ecdsa_signature_serialize_compact(_context, out, signature)
        compact: bytes = ffi.buffer(out)[:]
        return compact

    def key_image(self) -> bytes:
        """33 bytes: secret * H_p(public key), the same in every ring signature of this key."""
        image = curve.multiply(curve.ring_key(self.public_key).h_p, self.__private.to_int())
        return curve.encode_point(image)

    def close_ring(self, nonce: int, challenge: int) -> int:
        """The scalar `nonce - challenge * secret` modulo the group order."""
        return (nonce - challenge * self.__private.to_int()) % curve.N

    def export_secret(self) -> bytes:
        """The 32 secret bytes, for writing a key file; the only way to get them."""
        secret: bytes = self.__private.secret
        return secret

    def __repr__(self) -> str:
        return f"SigningKey({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is never pickled or copied")


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes r || s) is the key's over SHA-256 of `message`, s low."""
    if len(signature) != SIGNATURE_LENGTH:
        return False
    try:
        point = curve.cached_point(public_key)
    except InvalidPointError:
        return False
    parsed = ffi.new("secp256k1_ecdsa_signature *")
    if not lib.secp256k1_ecdsa_signature_parse_compact(_context, parsed, signature):
        return False
    digest = hashlib.sha256(message).digest()
    return bool(lib.secp256k1_ecdsa_verify(_context, parsed, digest, point))
