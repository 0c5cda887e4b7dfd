"""From words to keys (BIP-39, BIP-32, BIP-44): for tooling; the services read raw keys only."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from typing import TYPE_CHECKING

from coincurve import PrivateKey
from cosmpy.mnemonic import ENGLISH_MNEMONIC_WORDS_LIST

from relayminer.keys.errors import MnemonicError
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterator

COSMOS_PATH = "m/44'/118'/0'/0/0"

_WORD_COUNTS = frozenset({12, 15, 18, 21, 24})
_BITS_PER_WORD = 11
_SEED_ROUNDS = 2048
_SEED_BYTES = 64
_HARDENED = 0x80000000


def check_mnemonic(mnemonic: str) -> None:
    """Check number, spelling and checksum of the words.

    Raises:
        MnemonicError: they are no mnemonic; the message names positions, not words.
    """
    words = mnemonic.split()
    if len(words) not in _WORD_COUNTS:
        raise MnemonicError(f"{len(words)} words: a mnemonic has 12, 15, 18, 21 or 24")
    indexes = {word: index for index, word in enumerate(ENGLISH_MNEMONIC_WORDS_LIST)}
    unknown = [str(place) for place, word in enumerate(words, 1) if word not in indexes]
    valid = not unknown and _checksum_holds([indexes[word] for word in words])
    del words, mnemonic
    if unknown:
        raise MnemonicError(f"not in the English word list: number {', '.join(unknown)}")
    if not valid:
        raise MnemonicError("the checksum is wrong: a word is misspelt, or their order")


def key_from_mnemonic(
    mnemonic: str, path: str = COSMOS_PATH, *, passphrase: str = ""
) -> SigningKey:
    """The key that `mnemonic` gives at `path`.

    Raises:
        MnemonicError: the words are no mnemonic, or the path is none.
    """
    return SigningKey(secret_from_mnemonic(mnemonic, path, passphrase=passphrase))


def secret_from_mnemonic(mnemonic: str, path: str = COSMOS_PATH, *, passphrase: str = "") -> bytes:
    """The 32 bytes of the private key that `mnemonic` gives at `path`.

    Raises:
        MnemonicError: the words are no mnemonic, or the path is none.
    """
    check_mnemonic(mnemonic)
    steps = list(_steps(path))
    words = unicodedata.normalize("NFKD", " ".join(mnemonic.split())).encode()
    salt = unicodedata.normalize("NFKD", "mnemonic" + passphrase).encode()
    seed = hashlib.pbkdf2_hmac("sha512", words, salt, _SEED_ROUNDS, _SEED_BYTES)
    node = hmac.digest(b"Bitcoin seed", seed, "sha512")
    for step in steps:
        node = _child(node, step)
    return node[:32]


def _checksum_holds(indexes: list[int]) -> bool:
    bits = len(indexes) * _BITS_PER_WORD
    checksum_bits = bits // 33
    value = 0
    for index in indexes:
        value = value << _BITS_PER_WORD | index
    entropy = (value >> checksum_bits).to_bytes((bits - checksum_bits) // 8, "big")
    expected = hashlib.sha256(entropy).digest()[0] >> (8 - checksum_bits)
    return value & ((1 << checksum_bits) - 1) == expected


def _steps(path: str) -> Iterator[int]:
    root, *steps = path.split("/")
    if root != "m":
        raise MnemonicError(f"derivation path {path!r} does not start with m/")
    for step in steps:
        number = step.removesuffix("'")
        if not number.isdecimal() or int(number) >= _HARDENED:
            raise MnemonicError(f"derivation path {path!r}: {step!r} is no index")
        yield int(number) + (_HARDENED if step.endswith("'") else 0)


def _child(node: bytes, index: int) -> bytes:
    """Key (32 bytes) and chain code (32 bytes) of a child; hardened children hash the secret."""
    parent = PrivateKey(node[:32])
    head = b"\x00" + node[:32] if index >= _HARDENED else parent.public_key.format()
    derived = hmac.digest(node[32:], head + index.to_bytes(4, "big"), "sha512")
    return parent.add(derived[:32]).secret + derived[32:]
