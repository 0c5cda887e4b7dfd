"""Cosmos keyrings of backend `os` and `pass`: a secret service, the password store, files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from relayminer.config.settings import KeyringSettings
from relayminer.keys.errors import KeyLoadError
from relayminer.keys.keyring import keyring_secrets, read_keyring
from relayminer.keys.keyring_secret_service import BUS
from tests.cli.command import relayminer
from tests.keys.keyrings import encrypted, item_json, key_of, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSPHRASE = "correct horse"
NEEDS_SERVICE = ("dbus-daemon", "gnome-keyring-daemon")


@pytest.fixture(autouse=True)
def _no_keyring_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(BUS, raising=False)
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path / "no-store"))


def files(directory: Path, *names: str) -> KeyringSettings:
    """A keyring of files right in `directory`, as `os` has it."""
    for name in names:
        escaped = name.replace("%", "%25").replace("/", "%2F")
        write_private(directory / f"{escaped}.info", encrypted(item_json(name), PASSPHRASE))
    write_private(directory / "0a.address", encrypted(b'{"Data": "YQ=="}', PASSPHRASE))
    write_private(directory / "keyhash", b"$2a$10$x")
    passphrase = write_private(directory / "passphrase", f"{PASSPHRASE}\n".encode())
    return KeyringSettings(backend="os", dir=directory, passphrase_file=passphrase)


def a_pass(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program `pass` that does what `script` says, before all others."""
    program = write_private(folder / "bin" / "pass", f"#!/bin/sh\n{script}\n".encode())
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(folder / "store"))


def test_files_right_in_the_directory_are_read(tmp_path: Path) -> None:
    """Without a secret service and `pass` the items are there, in the form of backend `file`."""
    settings = files(tmp_path, "alice", "a/b %c")
    found = read_keyring(settings)
    assert found.problems == []
    assert {key.address for key in found.keys} == {
        key_of("alice").address,
        key_of("a/b %c").address,
    }


def test_a_wrong_passphrase_is_told_and_no_key_shown(tmp_path: Path) -> None:
    """Each item that does not open is a problem; importing from such a keyring is refused."""
    settings = files(tmp_path, "alice")
    write_private(tmp_path / "passphrase", b"wrong\n")
    (problem,) = read_keyring(settings).problems
    assert "alice.info: key 'alice': the passphrase does not open it" in problem
    with pytest.raises(KeyLoadError, match="does not open"):
        keyring_secrets(settings)


def test_a_damaged_key_is_a_problem_and_no_accident(tmp_path: Path) -> None:
    """An item whose key cannot be parsed is told by name; the others are read."""
    settings = files(tmp_path, "alice")
    spoilt = encrypted(item_json("bob", b"\xff\xff"), PASSPHRASE)
    write_private(tmp_path / "bob.info", spoilt)
    found = read_keyring(settings)
    assert [key.address for key in found.keys] == [key_of("alice").address]
    assert any("'bob'" in one and "damaged" in one for one in found.problems)


def test_every_place_that_was_looked_at_is_named(tmp_path: Path) -> None:
    """No keyring anywhere: where it was sought, and what would make each place readable."""
    settings = KeyringSettings(backend="os", dir=tmp_path / "nowhere")
    (problem,) = read_keyring(settings).problems
    assert f"collection 'pocket': there is no D-Bus session ({BUS} is not set)" in problem
    assert "the password store" in problem
    assert f"{tmp_path / 'nowhere'}: No such file or directory" in problem


@pytest.mark.parametrize("address", ["unix:path=/nowhere/bus", "tcp:host=x", "nonsense"])
def test_a_bus_that_is_not_there_leads_to_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Sessions leave their addresses behind: a dead one is as good as none."""
    pytest.importorskip("secretstorage", reason="pip install 'relayminer[keyring]'")
    monkeypatch.setenv(BUS, address)
    assert [key.address for key in read_keyring(files(tmp_path, "bob")).keys] == [
        key_of("bob").address
    ]


def test_without_the_library_the_command_that_brings_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session may have a secret service; whether it does cannot be known without the library."""
    monkeypatch.setenv(BUS, "unix:path=/nowhere/bus")
    monkeypatch.setitem(sys.modules, "secretstorage", None)
    (problem,) = read_keyring(KeyringSettings(backend="os", dir=tmp_path)).problems
    assert "pip install 'relayminer[keyring]'" in problem


def test_the_password_store_comes_before_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `pass` has keys they are the keyring: at its top for `os`, in a folder for `pass`."""
    a_pass(tmp_path, monkeypatch, 'exec cat "$PASSWORD_STORE_DIR/$3.gpg"')
    write_private(tmp_path / "store" / "carol.info.gpg", item_json("carol"))
    write_private(tmp_path / "store" / "ab.address.gpg", b"")
    write_private(tmp_path / "store" / "keyring-app" / "dave.info.gpg", item_json("dave"))
    ring = files(tmp_path / "files", "alice")
    found = read_keyring(ring)
    assert found.problems == []
    assert {key.address for key in found.keys} == {
        key_of("carol").address,
        key_of("dave").address,
    }
    found = read_keyring(KeyringSettings(backend="pass", app_name="app"))
    assert [key.address for key in found.keys] == [key_of("dave").address]


def test_what_pass_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GnuPG's last words say what is missing; what it printed on its output is not shown."""
    a_pass(tmp_path, monkeypatch, "echo SECRET; echo 'gpg: no pinentry' >&2; exit 2")
    write_private(tmp_path / "store" / "carol.info.gpg", b"x")
    (problem,) = read_keyring(files(tmp_path, "alice")).problems
    assert problem.endswith("key 'carol': `pass show carol.info`: gpg: no pinentry")
    assert "SECRET" not in problem


def test_keys_of_a_keyring_can_be_imported_and_listed(tmp_path: Path) -> None:
    """`keys import` brings them into our own file; `keys list` reads the keyring itself."""
    environment = {BUS: "", "PASSWORD_STORE_DIR": str(tmp_path / "none")}
    ring = tmp_path / "ring"
    for name in ("alice", "bob"):
        item = encrypted(item_json(name), "test")
        write_private(ring / "keyring-test" / f"{name}.info", item)
    files(ring, "carol")
    words = ["--file", str(tmp_path / "vault"), "--passphrase-file", str(ring / "passphrase")]
    ended = relayminer(
        *("keys", "import", *words, "--keyring-backend", "test", "--keyring-dir", str(ring)),
        *("--key-name", "bob"),
        environment=environment,
    )
    assert ended.code == 0, ended.err
    assert ended.out.split() == [key_of("bob").address]
    config = tmp_path / "config.yaml"
    config.write_text(f"keys:\n  keyring: {{passphrase_file: {ring / 'passphrase'}}}\n")
    ended = relayminer(
        *("keys", "list", "--config", str(config), "--keyring-backend", "os"),
        *("--keyring-dir", str(ring)),
        environment=environment,
    )
    assert ended.code == 0, ended.err
    assert key_of("carol").address in ended.out


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A D-Bus session of our own with an unlocked GNOME Keyring; its address."""
    pytest.importorskip("secretstorage", reason="pip install 'relayminer[keyring]'")
    missing = [name for name in NEEDS_SERVICE if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: install dbus and gnome-keyring")
    home = tmp_path_factory.mktemp("bus")
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "XDG_DATA_HOME": str(home / "data"),
    }
    programs = [shutil.which(name) or name for name in NEEDS_SERVICE]
    bus = subprocess.Popen(
        [programs[0], "--session", "--nofork", "--nopidfile", "--print-address=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    try:
        assert bus.stdout is not None
        environment[BUS] = bus.stdout.readline().strip()
        # It ends with its bus.
        subprocess.run(
            [programs[1], "--unlock", "--components=secrets", "--daemonize"],
            input=b"pw\n",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=60,
            env=environment,
        )
        wait_for_service(environment[BUS])
        yield environment[BUS]
    finally:
        bus.terminate()
        bus.wait()
        if bus.stdout is not None:
            bus.stdout.close()


def wait_for_service(address: str) -> None:
    """Until the secret service has its name on the bus; asking sooner would start another one."""
    from jeepney.bus_messages import message_bus  # noqa: PLC0415 - optional, and asked for above
    from jeepney.io.blocking import open_dbus_connection  # noqa: PLC0415

    question = message_bus.NameHasOwner("org.freedesktop.secrets")
    with open_dbus_connection(bus=address) as connection:
        deadline = time.monotonic() + 30.0
        while not connection.send_and_get_reply(question).body[0]:
            assert time.monotonic() < deadline, "the secret service does not start"
            time.sleep(0.02)


def make_collection(connection: Any, name: str) -> Any:
    """A collection without anybody being asked for its password, as the daemon's own tests do."""
    import secretstorage  # noqa: PLC0415 - optional, and asked for above
    from jeepney import DBusAddress, new_method_call  # noqa: PLC0415

    service = DBusAddress("/org/freedesktop/secrets", "org.freedesktop.secrets")
    opened = new_method_call(
        service.with_interface("org.freedesktop.Secret.Service"),
        *("OpenSession", "sv", ("plain", ("s", ""))),
    )
    path = connection.send_and_get_reply(opened).body[1]
    made = new_method_call(
        service.with_interface("org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"),
        *("CreateWithMasterPassword", "a{sv}(oayays)"),
        (
            {"org.freedesktop.Secret.Collection.Label": ("s", name)},
            (path, b"", b"pw", "text/plain"),
        ),
    )
    (collection,) = connection.send_and_get_reply(made).body
    return secretstorage.Collection(connection, collection)


def test_a_real_secret_service_is_read(
    session: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Items as pocketd's keyring stores them: by label and `profile`, JSON; it comes before files.

    A collection by another name is not it, and one that is locked is told, not passed over.
    """
    import secretstorage  # noqa: PLC0415 - optional, and asked for above

    monkeypatch.setenv(BUS, session)
    ring = files(tmp_path, "from-a-file")
    connection = secretstorage.dbus_init()
    try:
        other = make_collection(connection, "cosmos")
        other.create_item("x.info", {"profile": "x.info"}, item_json("x"), content_type="")
        assert [key.address for key in read_keyring(ring).keys] == [key_of("from-a-file").address]
        nothing = KeyringSettings(backend="os", dir=tmp_path / "nowhere")
        assert "set keys.keyring.app_name to one of: cosmos" in read_keyring(nothing).problems[0]

        collection = make_collection(connection, "pocket")
        for name in ("erin", "a/b %c"):
            attributes = {"profile": f"{name}.info"}
            collection.create_item(f"{name}.info", attributes, item_json(name), content_type="")
        collection.create_item("0a.address", {"profile": "0a.address"}, b"{}", content_type="")
        found = read_keyring(ring)
        assert found.problems == []
        addresses = {key_of(name).address for name in ("erin", "a/b %c")}
        assert {key.address for key in found.keys} == addresses
        one = KeyringSettings(backend="os", key_names=("erin", "nobody"))
        found = read_keyring(one)
        assert [key.address for key in found.keys] == [key_of("erin").address]
        assert "no key is named 'nobody'" in found.problems[0]

        collection.lock()
        (problem,) = read_keyring(ring).problems
        assert "is locked" in problem
    finally:
        connection.close()
