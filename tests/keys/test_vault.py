"""Our encrypted key file, armor, and the commands that make them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING

import bcrypt
import nacl.secret
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given, settings
from hypothesis import strategies as st

from relayminer.keys.armor import secret_of
from relayminer.keys.errors import KeyLoadError
from relayminer.keys.files import Found
from relayminer.keys.passphrase import CREDENTIAL, find_passphrase
from relayminer.keys.vault import WrongPassphraseError, addresses_of, open_secrets, read_vault, seal
from relayminer.protocol.signature import SigningKey
from tests.cli.command import relayminer

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = [f"{number:064x}" for number in (1, 2, 77)]
PASSPHRASE = "correct horse"
AMINO = bytes.fromhex("e1b0f79b20")


def private(path: Path, data: bytes | str) -> Path:
    """A file of its owner alone."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def sealed() -> bytes:
    """A key file; making one takes time on purpose."""
    return seal(SECRETS, PASSPHRASE)


def test_keys_come_back_and_addresses_show(tmp_path: Path, sealed: bytes) -> None:
    """With the passphrase from a file; no key is in the file in plain."""
    path = private(tmp_path / "keys.encrypted", sealed)
    found = read_vault(path, private(tmp_path / "passphrase", PASSPHRASE + "\n"))
    assert found.problems == []
    addresses = [SigningKey(bytes.fromhex(text)).address for text in SECRETS]
    assert [key.address for key in found.keys] == addresses == addresses_of(sealed)
    assert not any(text.encode() in sealed for text in SECRETS)


def test_another_passphrase_opens_nothing(tmp_path: Path, sealed: bytes) -> None:
    """And the message does not show the right one."""
    path = tmp_path / "keys.encrypted"
    with pytest.raises(WrongPassphraseError) as refused:
        open_secrets(path, sealed, "wrong")
    assert PASSPHRASE not in str(refused.value)


@settings(max_examples=8, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_no_other_key(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    """A damaged file is refused, or opens to the very same keys."""
    data = bytearray(_SEALED)
    data[int(place * len(data))] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "keys"
    with contextlib.suppress(KeyLoadError):
        assert open_secrets(path, bytes(data), PASSPHRASE) == SECRETS


_SEALED = seal(SECRETS, PASSPHRASE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"format": "relayminer-keys"}',
        json.dumps(
            {**json.loads(_SEALED), "kdf": {**json.loads(_SEALED)["kdf"], "memory_bytes": 1 << 40}}
        ).encode(),
        json.dumps(
            {**json.loads(_SEALED), "kdf": {**json.loads(_SEALED)["kdf"], "operations": 10**9}}
        ).encode(),
        json.dumps({**json.loads(_SEALED), "box": "!"}).encode(),
    ],
)
def test_what_is_no_key_file_is_told_so(tmp_path: Path, data: bytes) -> None:
    """Also one that asks for all memory or a year of work."""
    with pytest.raises(KeyLoadError, match="no key file of relayminer"):
        open_secrets(tmp_path / "x", data, PASSPHRASE)


def test_a_newer_version_is_refused_with_a_clear_word(tmp_path: Path) -> None:
    """Version N does not guess what N+1 means."""
    newer = json.dumps({**json.loads(_SEALED), "version": 2}).encode()
    with pytest.raises(KeyLoadError, match="newer relayminer"):
        open_secrets(tmp_path / "x", newer, PASSPHRASE)


def test_systemd_gives_the_passphrase(tmp_path: Path) -> None:
    """As a credential; without any source the remedy names it."""
    private(tmp_path / CREDENTIAL, "from systemd\n")
    found = Found()
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert find_passphrase("keys", None, found, environ) == "from systemd"
    assert find_passphrase("keys", None, found, {}) is None
    assert CREDENTIAL in found.problems[0]


def armored(kdf: str, passphrase: str, secret: bytes) -> str:
    """What `pocketd keys export` prints."""
    salt = os.urandom(16)
    plain = AMINO + secret
    if kdf == "argon2":
        key = Argon2id(salt=salt, length=32, iterations=1, lanes=4, memory_cost=65536)
        body = ChaCha20Poly1305(key.derive(passphrase.encode())).encrypt(bytes(12), plain, None)
    else:
        standard = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        own = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        text = base64.b64encode(salt).translate(bytes.maketrans(standard, own))[:22]
        hashed = bcrypt.hashpw(passphrase.encode(), b"$2a$12$" + text)
        body = nacl.secret.SecretBox(hashlib.sha256(hashed).digest()).encrypt(plain)
    lines = [
        "-----BEGIN TENDERMINT PRIVATE KEY-----",
        f"kdf: {kdf}",
        f"salt: {salt.hex().upper()}",
        "type: secp256k1",
        "",
        base64.b64encode(body).decode(),
        "-----END TENDERMINT PRIVATE KEY-----",
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("kdf", ["argon2", "bcrypt"])
def test_an_exported_key_is_read(kdf: str) -> None:
    """Both key derivations; another passphrase opens nothing."""
    secret = bytes.fromhex(SECRETS[2])
    block = armored(kdf, PASSPHRASE, secret)
    assert secret_of(block, PASSPHRASE) == secret
    with pytest.raises(KeyLoadError, match="does not open"):
        secret_of(block, "wrong")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no armor"),
        ("-----BEGIN PGP MESSAGE-----\n-----END PGP MESSAGE-----", "no armor"),
        (armored("argon2", "x", bytes(32)).replace("argon2", "scrypt"), "neither argon2"),
        (armored("argon2", "x", bytes(32)).replace("secp256k1", "ed25519"), "ed25519"),
        (armored("argon2", "x", bytes(32)).replace("salt: ", "salt: zz"), "salt"),
        (armored("argon2", "x", bytes(32)).replace("=\n-----END", "=\n=AAAA\n-----END"), "check"),
    ],
)
def test_what_is_no_armor_is_told_so(text: str, told: str) -> None:
    """Never a traceback."""
    with pytest.raises(KeyLoadError, match=told):
        secret_of(text, "x")


def test_keys_are_made_imported_and_listed(tmp_path: Path) -> None:
    """`keys add`, `import` and `list` as an operator uses them; nothing secret is shown."""
    passphrase = private(tmp_path / "passphrase", PASSPHRASE)
    encrypted = tmp_path / "keys.encrypted"
    words = ["--file", str(encrypted), "--passphrase-file", str(passphrase)]
    made = relayminer("keys", "add", "--generate", *words)
    assert made.code == 0, made.err
    private(tmp_path / "plain.yaml", f"keys: [{SECRETS[0]}, '0x{SECRETS[1]}']\n")
    plain = ["--keys-file", str(tmp_path / "plain.yaml")]
    assert relayminer("keys", "import", *plain, *words).code == 0
    again = relayminer("keys", "import", *plain, *words)
    assert encrypted.stat().st_mode & 0o777 == 0o600
    config = tmp_path / "relayminer.yaml"
    config.write_text("keys: {encrypted_file: keys.encrypted, passphrase_file: passphrase}\n")
    listed = relayminer("keys", "list", "--json", "--config", str(config))
    addresses = json.loads(listed.out)["suppliers"]
    known = {SigningKey(bytes.fromhex(text)).address for text in SECRETS[:2]}
    assert set(addresses) == known | {made.out.strip()}
    for ended in (made, again, listed):
        assert not any(text in ended.out + ended.err for text in (*SECRETS, PASSPHRASE))


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    passphrase = private(tmp_path / "passphrase", "short")
    ended = relayminer(
        *("keys", "add", "--generate", "--file", str(tmp_path / "k")),
        *("--passphrase-file", str(passphrase)),
    )
    assert ended.code == 1
    assert "at least 8 characters" in ended.err
    assert not (tmp_path / "k").exists()
