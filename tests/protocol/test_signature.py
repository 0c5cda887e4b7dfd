"""Keys, addresses and ECDSA signatures; printed vectors K-1 to K-8 of the protocol notes."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayminer.protocol.address import (
    ACCOUNT_PREFIX,
    VALIDATOR_PREFIX,
    address_of,
    decode_address,
    encode_address,
    module_address,
)
from relayminer.protocol.curve import N
from relayminer.protocol.errors import InvalidAddressError, InvalidKeyError
from relayminer.protocol.ring_members import PLACEHOLDER_PUBLIC_KEY, PLACEHOLDER_SEED
from relayminer.protocol.signature import SigningKey, verify_signature

SECRET = bytes.fromhex("2d00ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ec0a")
ADDRESS = "pokt1mrqt5f7qh8uxs27cjm9t7v9e74a9vvdnq5jva4"
MESSAGE = bytes.fromhex("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
SIGNATURE = bytes.fromhex(
    "89089032021fa82b9e95b8d162e0c171dbd62cc1a05e93e21ce5840b5f47dd77"
    "52f95520c1269b1b99535d80cc26cd204c33465bf00dfb4519bd53983e7d21ba"
)


@pytest.mark.parametrize(
    ("secret", "public_key", "address"),
    [
        (SECRET, "0397896e9b106df70124a856861cc9be52fac9980e2c7a118a36c19d0198692cc5", ADDRESS),
        (
            bytes.fromhex("1a11ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ab11"),
            "02bbbf99abdcddac27350bca272d7146187c091aacfc1c6f90819c9b6daf4fe846",
            "pokt1duatelq8yutj6eflsdhc4vpavuspz5gk8htla9",
        ),
        (
            (1).to_bytes(32),
            "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            "pokt1w508d6qejxtdg4y5r3zarvary0c5xw7k8mgwnq",
        ),
        (
            bytes.fromhex("4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459b"),
            "03c6713b2ac2495d1a879dc136abc06129a7bf355da486cd25f757e0a5f6f40f74",
            "pokt1s3x2yhc4qf59gf53hwsnhkh7gqa3eryxvknflk",
        ),
    ],
)
def test_printed_keys(secret: bytes, public_key: str, address: str) -> None:
    """Known secrets have their known keys and addresses."""
    key = SigningKey(secret)
    assert (key.public_key.hex(), key.address) == (public_key, address)


def test_key_from_seed() -> None:
    """A text gives the key that the SDK derives from it; so does the placeholder's."""
    key = SigningKey.from_seed(b"\x01")
    assert key.address == "pokt1s3x2yhc4qf59gf53hwsnhkh7gqa3eryxvknflk"
    assert SigningKey.from_seed(PLACEHOLDER_SEED).public_key == PLACEHOLDER_PUBLIC_KEY


def test_printed_signature() -> None:
    """Signing is deterministic, with low s, over the message's SHA-256."""
    key = SigningKey(SECRET)
    assert key.sign(MESSAGE) == SIGNATURE
    assert verify_signature(key.public_key, MESSAGE, SIGNATURE)


def test_refused_signatures() -> None:
    """High s, other lengths, zeros, other messages and keys that are none are refused."""
    key = SigningKey(SECRET).public_key
    high = SIGNATURE[:32] + (N - int.from_bytes(SIGNATURE[32:])).to_bytes(32)
    for bad in (high, SIGNATURE[:-1], SIGNATURE + b"\x00", b"", bytes(64), b"\xff" * 64):
        assert not verify_signature(key, MESSAGE, bad)
    assert not verify_signature(key, MESSAGE[:-1], SIGNATURE)
    assert not verify_signature(b"\x02" + bytes(32), MESSAGE, SIGNATURE)
    assert not verify_signature(b"", MESSAGE, SIGNATURE)


@pytest.mark.parametrize(
    "secret", [b"", bytes(31), bytes(32), N.to_bytes(32), b"\xff" * 32, bytes(33)]
)
def test_invalid_secrets(secret: bytes) -> None:
    """Zero, the group order and above, and other lengths are no keys."""
    with pytest.raises(InvalidKeyError):
        SigningKey(secret)


def test_secret_never_shows() -> None:
    """No text of the key, no copy and no pickle has the secret."""
    key = SigningKey(SECRET)
    for text in (repr(key), str(key), f"{key}", repr([key]), repr(dir(key))):
        assert SECRET.hex() not in text
        assert repr(SECRET) not in text
    assert repr(key) == f"SigningKey({ADDRESS})"
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(key)
    with pytest.raises(TypeError):
        vars(key)
    assert key.export_secret() == SECRET


def test_invalid_secret_is_not_in_the_error() -> None:
    """An error about a secret neither shows it nor chains one that does."""
    with pytest.raises(InvalidKeyError) as refused:
        SigningKey(b"\xff" * 32)
    assert "ff" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("application", "pokt1rl3gjgzexmplmds3tq3r3yk84zlwdl6djzgsvm"),
        ("supplier", "pokt1j40dzzmn6cn9kxku7a5tjnud6hv37vesr5ccaa"),
        ("gateway", "pokt1f6j7u6875p2cvyrgjr0d2uecyzah0kget9vlpl"),
        ("service", "pokt1nhmtqf4gcmpxu0p6e53hpgtwj0llmsqpxtumcf"),
        ("proof", "pokt1c8x6ycmzs29kjfn9zgzjh97txu578vzj4ahzhh"),
        ("tokenomics", "pokt14cvnmzrt9cz4qdf5lhs0xn3u0a3gymla9cc6ft"),
        ("gov", "pokt10d07y265gmmuvt4z0w9aw880jnsr700j8yv32t"),
    ],
)
def test_module_addresses(name: str, address: str) -> None:
    """Modules have the addresses of the local network's genesis."""
    assert module_address(name) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "pokt1",
        "pokt1xyz",
        ADDRESS[:-1],
        ADDRESS[:-1] + "5",
        ADDRESS + "q",
        " " + ADDRESS,
        ADDRESS.capitalize(),
        "cosmos1w508d6qejxtdg4y5r3zarvary0c5xw7k6u59me",
        "6178B12D0711F3A930A6133C39AE3B89E9E79A04",
        "pokt1" + "b" * 38,
        "pokt\u0131w508d6qejxtdg4y5r3zarvary0c5xw7k8mgwnq",
        "p" * 2000,
    ],
)
def test_invalid_addresses(text: str) -> None:
    """Other prefixes, wrong checksums, mixed case and characters outside bech32 are refused."""
    with pytest.raises(InvalidAddressError):
        decode_address(text)


def test_upper_case_address() -> None:
    """All upper case is the same address, as for the chain."""
    assert decode_address(ADDRESS.upper()) == decode_address(ADDRESS)


@given(st.binary(min_size=1, max_size=255), st.sampled_from([ACCOUNT_PREFIX, VALIDATOR_PREFIX]))
def test_address_round_trip(payload: bytes, prefix: str) -> None:
    """Every payload comes back from its text."""
    assert decode_address(encode_address(payload, prefix), prefix) == payload


@given(st.data())
def test_one_wrong_character(data: st.DataObject) -> None:
    """One changed character is always found."""
    index = data.draw(st.integers(min_value=5, max_value=len(ADDRESS) - 1))
    character = data.draw(st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
    text = ADDRESS[:index] + character + ADDRESS[index + 1 :]
    if text == ADDRESS:
        return
    with pytest.raises(InvalidAddressError):
        decode_address(text)


def test_address_of_public_key() -> None:
    """The address follows from the key alone."""
    assert address_of(SigningKey(SECRET).public_key) == ADDRESS
