"""Addresses: bech32 text over a hash of a public key (or over a module's name).

Source: `cosmos-sdk: types/address.go`, BIP-173.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cosmpy.crypto.hashfuncs import ripemd160

from relayminer.protocol.errors import InvalidAddressError

ACCOUNT_PREFIX = "pokt"
VALIDATOR_PREFIX = "poktvaloper"

# The SDK's own limits, wider than BIP-173's 90 characters.
MAX_TEXT_LENGTH = 1023
MAX_ADDRESS_BYTES = 255

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHECKSUM_LENGTH = 6
_VALUES = {character: value for value, character in enumerate(CHARSET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
# Addresses seen again and again: applications, suppliers, gateways of the live sessions.
_CACHED_ADDRESSES = 8192


@lru_cache(maxsize=_CACHED_ADDRESSES)
def address_of(public_key: bytes) -> str:
    """The `pokt1...` address of a 33-byte compressed secp256k1 key."""
    return encode_address(ripemd160(hashlib.sha256(public_key).digest()))


def module_address(name: str) -> str:
    """The `pokt1...` address of the chain's own module account `name`, such as `proof`."""
    return encode_address(hashlib.sha256(name.encode()).digest()[:20])


def encode_address(payload: bytes, prefix: str = ACCOUNT_PREFIX) -> str:
    """Bech32 text of `payload` (20 bytes in every account address)."""
    values = _regroup(payload, 8, 5, pad=True)
    checksum = _checksum(prefix, values)
    return prefix + "1" + "".join(CHARSET[value] for value in (*values, *checksum))


@lru_cache(maxsize=_CACHED_ADDRESSES)
def decode_address(text: str, prefix: str = ACCOUNT_PREFIX) -> bytes:
    """The payload of a bech32 address, 1 to 255 bytes. All upper case is accepted, as by the chain.

    Raises:
        InvalidAddressError: not bech32, wrong checksum, or another prefix.
    """
    if not 0 < len(text) <= MAX_TEXT_LENGTH:
        raise InvalidAddressError(f"an address of {len(text)} characters")
    if text.lower() != text and text.upper() != text:
        raise InvalidAddressError("an address mixes upper and lower case")
    lowered = text.lower()
    found, separator, data = lowered.rpartition("1")
    if not separator or found != prefix:
        raise InvalidAddressError(f"the address does not start with {prefix}1")
    try:
        values = [_VALUES[character] for character in data]
    except KeyError as error:
        raise InvalidAddressError("the address has a character outside bech32") from error
    body, checksum = values[:-CHECKSUM_LENGTH], values[-CHECKSUM_LENGTH:]
    if len(values) <= CHECKSUM_LENGTH or _checksum(prefix, body) != checksum:
        raise InvalidAddressError("the checksum of the address is wrong")
    payload = bytes(_regroup(body, 5, 8, pad=False))
    if not 0 < len(payload) <= MAX_ADDRESS_BYTES:
        raise InvalidAddressError(f"an address of {len(payload)} bytes")
    return payload


def _checksum(prefix: str, values: list[int]) -> list[int]:
    """The six checksum groups of BIP-173 (not bech32m)."""
    expanded = [ord(character) >> 5 for character in prefix]
    expanded += [0, *(ord(character) & 31 for character in prefix)]
    remainder = 1
    for value in (*expanded, *values, *([0] * CHECKSUM_LENGTH)):
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for bit, polynomial in enumerate(_GENERATOR):
            if top >> bit & 1:
                remainder ^= polynomial
    remainder ^= 1
    return [remainder >> 5 * (5 - index) & 31 for index in range(CHECKSUM_LENGTH)]


def _regroup(values: bytes | list[int], width: int, new_width: int, *, pad: bool) -> list[int]:
    """Groups of `width` bits as groups of `new_width`; what is left over must be zero padding."""
    accumulator = bits = 0
    out: list[int] = []
    for value in values:
        accumulator = accumulator << width | value
        bits += width
        while bits >= new_width:
            bits -= new_width
            out.append(accumulator >> bits & (1 << new_width) - 1)
        accumulator &= (1 << bits) - 1
    if pad and bits:
        out.append(accumulator << new_width - bits)
    elif not pad and (bits >= width or accumulator):
        raise InvalidAddressError("the address has wrong padding")
    return out
