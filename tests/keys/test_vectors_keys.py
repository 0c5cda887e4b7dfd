"""Keys, addresses and every kind of key source, against the Go implementation's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from relayminer.config.settings import KeyringSettings
from relayminer.keys.keyring import read_keyring
from relayminer.keys.mnemonic import key_from_mnemonic
from relayminer.keys.sources import read_keys_dir, read_keys_file
from relayminer.protocol.address import decode_address
from relayminer.protocol.signature import SigningKey
from tests.vector_data import load

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.vectors

# The Go loader reduces these modulo the group order; we refuse them (crypto.md 2.1).
OUT_OF_RANGE = {"zero key", "key = N", "key = N + 1"}
# The Go loader keeps an address that is not the key's; we refuse it.
WRONG_ADDRESS = {
    "address of another key is kept as written",
    "address only starts with pokt1",
}


@pytest.fixture(name="vectors", scope="module")
def load_vectors() -> Any:
    """The file, or a skip."""
    return load("keys.json")


def write(path: Path, content: str) -> Path:
    """`content` in a file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8", newline="")
    path.chmod(0o600)
    return path


def as_hex(keys: list[SigningKey]) -> dict[str, str]:
    """Operator address -> private key hex, as the vectors write it."""
    return {key.address: key.export_secret().hex() for key in keys}


def test_keys_have_the_recorded_addresses(vectors: Any) -> None:
    """A private key gives the public key, the address and its bytes as recorded."""
    assert vectors["cases"]
    for case in vectors["cases"]:
        key = SigningKey(bytes.fromhex(case["private_key"]))
        assert key.public_key.hex() == case["public_key"], case["label"]
        assert key.address == case["address"], case["label"]
        assert decode_address(case["address"]).hex() == case["address_bytes"], case["label"]


def test_mnemonics_derive_the_recorded_keys(vectors: Any) -> None:
    """Words, passphrase and path give the private key that other wallets derive."""
    assert vectors["mnemonics"]
    for case in vectors["mnemonics"]:
        key = key_from_mnemonic(
            case["mnemonic"], case["hd_path"], passphrase=case["bip39_passphrase"]
        )
        assert key.export_secret().hex() == case["private_key"], case["hd_path"]
        assert key.address == case["address"], case["hd_path"]


def test_key_files_load_as_recorded(vectors: Any, tmp_path: Path) -> None:
    """A key file gives the recorded keys, or problems where the Go loader has an error."""
    assert vectors["keys_file"]
    for number, case in enumerate(vectors["keys_file"]):
        found = read_keys_file(write(tmp_path / f"{number}.yaml", case["content"]))
        if "error" in case or case["label"] in OUT_OF_RANGE:
            assert found.problems, case["label"]
        else:
            assert found.problems == [], case["label"]
            assert as_hex(found.keys) == case["keys"], case["label"]


def test_key_directories_load_as_recorded(vectors: Any, tmp_path: Path) -> None:
    """What the Go loader skips with a log line is a problem here; the rest loads the same."""
    assert vectors["keys_dir"]
    for number, case in enumerate(vectors["keys_dir"]):
        directory = tmp_path / str(number)
        directory.mkdir(mode=0o700)
        for name, content in case["files"].items():
            write(directory / name, content)
        found = read_keys_dir(directory)
        readable = [name for name in case["files"] if not name.endswith(".txt")]
        if case["label"] in WRONG_ADDRESS:
            assert found.keys == [], case["label"]
            assert len(found.problems) == 1, case["label"]
        else:
            assert as_hex(found.keys) == case["keys"], case["label"]
            assert bool(found.problems) == (len(case["keys"]) < len(readable)), case["label"]


def test_keyrings_load_as_recorded(vectors: Any, tmp_path: Path) -> None:
    """A keyring directory of the Cosmos SDK opens with its passphrase and has the recorded keys."""
    assert vectors["keyrings"]
    for number, case in enumerate(vectors["keyrings"]):
        directory = tmp_path / str(number)
        for name, content in case["files"].items():
            write(directory / name, content)
        settings = KeyringSettings(
            backend=case["backend"],
            dir=directory,
            passphrase_file=write(tmp_path / "passphrase", case["passphrase"] + "\n"),
        )
        found = read_keyring(settings)
        assert found.problems == []
        assert as_hex(found.keys) == {key["address"]: key["private_key"] for key in case["keys"]}
