"""Whatever goes wrong with keys, nothing that we print, raise or log has key material in it."""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayminer.config.settings import KeyringSettings, KeySettings
from relayminer.keys import (
    KeyLoadError,
    KeyringSource,
    KeysDirectory,
    KeysFile,
    SupplierKeys,
    load_keys,
)
from relayminer.keys.sources import read_keys_dir, read_keys_file
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "7e36160df33d38d5425e08107e11af02bb0a0683aa383c872897798100a74a33"
ADDRESS = "pokt13dlffp24jndys7d0sum4720uv536dc3u5s0p9q"
SOURCES = (KeysFile(), KeysDirectory(), KeyringSource())

# Ways to write a key file wrongly with a real key in it.
SPOILT = [
    f"keys: {SECRET}\n",
    f"keys:\n\t- {SECRET}\n",
    f"keys: [{SECRET}\n",
    f"keys: [{SECRET}0]\n",
    f"keys: [0X{SECRET}]\n",
    f"keys: [g{SECRET[1:]}]\n",
    f"keys: *{SECRET}\n",
    f"keys: !!{SECRET} x\n",
    f"keys: !{SECRET} x\n",
    f"{SECRET}: [\n",
    f"keys: {{{SECRET}: 1}}\n",
    f'keys: "{SECRET}\n',
    f"? [{SECRET}]\n: x\n",
    f"%{SECRET}\n---\nkeys: []\n",
    f"keys: [[{SECRET}]]\n",
]


def private(path: Path, content: str) -> Path:
    """`content` in a file that only its owner can read."""
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    return path


def everything_about(error: BaseException) -> str:
    """All that a careless handler could print of an error: locals of every frame included."""
    # The first frame is the test's own, which knows the secret.
    inside = error.__traceback__.tb_next if error.__traceback__ else None
    told = traceback.TracebackException(type(error), error, inside, capture_locals=True)
    return "".join(told.format()) + repr(error) + str(error) + repr(error.args)


@pytest.mark.parametrize("content", SPOILT, ids=range(len(SPOILT)))
def test_a_spoilt_key_file_is_refused_without_showing_the_key(tmp_path: Path, content: str) -> None:
    """The error of a file names file and place; neither it nor its traceback has the key."""
    path = private(tmp_path / "keys.yaml", content)
    with pytest.raises(KeyLoadError) as caught:
        load_keys(KeySettings(keys_file=path), SOURCES)
    told = everything_about(caught.value)
    assert str(path) in str(caught.value)
    for part in (SECRET, SECRET[1:], SECRET[:32], SECRET.upper()):
        assert part not in told


@given(mangled=st.lists(st.sampled_from(range(64)), min_size=1, max_size=3), filler=st.characters())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_mangled_key_is_refused_without_showing_its_rest(
    tmp_path: Path, mangled: list[int], filler: str
) -> None:
    """However a key was mangled, no long part of it is in the problems."""
    digits = list(SECRET)
    for place in mangled:
        digits[place] = filler
    text = "".join(digits)
    path = tmp_path / "a.yaml"
    path.write_bytes(
        f"operator_address: {ADDRESS}\nprivate_key_hex: '{text}'\n".encode(errors="replace")
    )
    path.chmod(0o600)
    found = read_keys_dir(tmp_path)
    told = " ".join(found.problems)
    assert not any(text[start : start + 12] in told for start in range(52))
    assert found.problems or text.lower() == SECRET


def test_repr_str_format_and_logs_of_keys_show_addresses_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Loaded keys print as addresses, in every way that Python prints."""
    path = private(tmp_path / "keys.yaml", f"keys: [{SECRET}]\n")
    keys = load_keys(KeySettings(keys_file=path), SOURCES)
    key = keys[ADDRESS]
    logging.getLogger("test").warning("%s %r %s", keys, key, dict(keys))
    told = f"{keys} {keys!r} {key} {key!r} {dict(keys)} {read_keys_file(path)!r}" + caplog.text
    assert ADDRESS in told
    assert SECRET not in told
    assert str(int(SECRET, 16)) not in told
    assert repr(bytes.fromhex(SECRET)) not in told


def test_keys_cannot_be_pickled_or_copied() -> None:
    """Nothing carries keys to another process or another place by accident."""
    key = SigningKey(bytes.fromhex(SECRET))
    for held in (key, SupplierKeys([key])):
        for carry in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="never pickled"):
                carry(held)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o602, 0o620])
def test_a_file_that_others_can_read_is_refused_with_the_command_to_run(
    tmp_path: Path, mode: int
) -> None:
    """Permissions beyond the owner's are an error that says `chmod 600`."""
    path = private(tmp_path / "keys of mine.yaml", f"keys: [{SECRET}]\n")
    path.chmod(mode)
    found = read_keys_file(path)
    assert found.keys == []
    assert f"chmod 600 '{path}'" in found.problems[0]


def test_a_declared_address_of_another_key_is_refused(tmp_path: Path) -> None:
    """The error names the address that the key really has."""
    other = SigningKey.from_seed(b"other").address
    private(tmp_path / "a.yaml", f"operator_address: {other}\nprivate_key_hex: {SECRET}\n")
    with pytest.raises(KeyLoadError, match=f"which is {ADDRESS}"):
        load_keys(KeySettings(keys_dir=tmp_path), SOURCES)


def test_all_problems_of_all_sources_are_told_at_once(tmp_path: Path) -> None:
    """One start tells everything that has to be mended."""
    bad_file = private(tmp_path / "keys.yaml", f"keys: [zz, '', {SECRET}, {SECRET[:-1]}]\n")
    directory = tmp_path / "keys"
    directory.mkdir()
    private(directory / "a.yaml", "operator_address: x\n")
    ring = KeyringSettings(dir=tmp_path / "nowhere")
    with pytest.raises(KeyLoadError) as caught:
        load_keys(KeySettings(keys_file=bad_file, keys_dir=directory, keyring=ring), SOURCES)
    told = str(caught.value)
    for place in ("keys[0]", "keys[1]", "keys[3]", "a.yaml: `private_key_hex`", "nowhere"):
        assert place in told


def test_missing_sources_say_so(tmp_path: Path) -> None:
    """A path that does not exist is a problem, not an empty set of keys."""
    for found in (read_keys_file(tmp_path / "x.yaml"), read_keys_dir(tmp_path / "x")):
        assert "No such file or directory" in found.problems[0]


def test_nothing_configured_gives_no_keys() -> None:
    """No source is no error here: the roles decide whether they can live with it."""
    assert len(load_keys(KeySettings(), SOURCES)) == 0


def test_a_later_source_wins_and_unknown_sources_come_last(tmp_path: Path) -> None:
    """Sources are read in the documented order, whatever order they are given in."""

    class Plugin:
        name = "vault"

        def load(self, settings: KeySettings) -> list[SigningKey]:
            assert settings.keys_file is not None
            return [SigningKey(bytes.fromhex(SECRET))]

    path = private(tmp_path / "keys.yaml", f"keys: [{SECRET}]\n")
    keys = load_keys(KeySettings(keys_file=path), [Plugin(), *reversed(SOURCES)])
    assert keys.addresses == (ADDRESS,)
    assert list(keys) == [ADDRESS]


@pytest.mark.parametrize(
    ("backend", "told"),
    [
        ("os", "no keyring of backend `os`"),
        ("file", "passphrase_file"),
        ("test", "no key is named 'nobody'"),
    ],
)
def test_keyrings_that_cannot_be_read_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, told: str
) -> None:
    """A keyring without terminal, of another kind, or without the key: each has its remedy."""
    for folder in ("keyring-file", "keyring-test"):
        (tmp_path / folder).mkdir()
        private(tmp_path / folder / "a.info", "x")
    names = ("nobody",) if backend == "test" else ()
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path))
    ring = KeyringSettings(backend=backend, dir=tmp_path, key_names=names)
    with pytest.raises(KeyLoadError, match=told):
        load_keys(KeySettings(keyring=ring), SOURCES)


def test_a_process_with_keys_leaves_no_core_dump() -> None:
    """After loading keys the limit is zero and the kernel has been told."""
    program = (
        "import resource, ctypes; from relayminer.keys import load_keys;"
        "from relayminer.config.settings import KeySettings; load_keys(KeySettings(), []);"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "(0, 0) 0"
