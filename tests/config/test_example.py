"""The commented example is the documentation of every setting, so it must not lie."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from relayminer.config import ConfigError, Settings, load
from relayminer.config.document import parse_document
from relayminer.config.settings import BackendSettings, ServiceSettings
from relayminer.config.simulation import SimulatedIdentitySettings
from relayminer.config.structure import known_paths, structured
from relayminer.config.traffic import BackendTlsSettings
from tests.vector_data import REPOSITORY

EXAMPLE = REPOSITORY / "config" / "relayminer.example.yaml"
# What the example sets differently, because every node has its own.
OWN = {
    "chain.grpc_url",
    "keys.keys_file",
    "keys.keys_dir",
    "keys.encrypted_file",
    "keys.passphrase_file",
    "keys.keyring.dir",
    "keys.keyring.passphrase_file",
    "relayer.tls.certificate",
    "relayer.tls.key",
    "relayer.tls.client_ca",
}


def uncommented() -> str:
    """The example with every shown setting switched on."""
    text = EXAMPLE.read_text(encoding="utf-8")
    lines = [re.sub(r"^(\s*)#(?=[a-z_]+:)", r"\1", line) for line in text.splitlines()]
    # The alternative to the line above it.
    return "\n".join(line for line in lines if not line.strip().startswith("urls:"))


def flat(value: object, prefix: str = "") -> dict[str, object]:
    """`a.b.c` -> value of settings."""
    found: dict[str, object] = {}
    for attribute in attrs.fields(type(value)):  # type: ignore[arg-type]  # settings are attrs
        inner = getattr(value, attribute.name)
        name = f"{prefix}{attribute.name}"
        if attrs.has(type(inner)):
            found |= flat(inner, f"{name}.")
        else:
            found[name] = inner
    return found


def test_the_example_is_valid_as_it_is() -> None:
    """Copied without a change it starts a node; paths count from the file."""
    settings = load(EXAMPLE)
    assert settings.keys.keys_file == EXAMPLE.parent / "supplier-keys.yaml"
    assert settings.relayer.services["eth"].backends["jsonrpc"].url == "http://127.0.0.1:8545"


def test_the_example_shows_every_setting_with_its_default() -> None:
    """No setting is missing, none is shown with another default than the code's."""
    shown, misfits = structured(parse_document(uncommented(), "example"))
    assert misfits == []
    defaults = flat(Settings())
    for name, value in flat(shown).items():
        if name in OWN or name == "relayer.services" or name.startswith("keys.keyring"):
            continue
        wanted = defaults[name]
        if isinstance(wanted, Path):
            value = Path(str(value)).expanduser()  # noqa: PLW2901 - the same, as the code has it
        assert value == wanted, name
    service = shown.relayer.services["eth"]
    assert service.lanes["dear"].log_range_blocks == 1000
    assert attrs.evolve(service, backends={}, lanes={}) == ServiceSettings(backends={})
    backend = service.backends["jsonrpc"]
    assert backend.tls.ca_file == Path("backend-ca.pem")
    backend = attrs.evolve(backend, url="", tls=BackendTlsSettings())
    assert backend == BackendSettings()
    text = uncommented()
    missing = [
        name for name in known_paths(Settings) if not re.search(rf"^\s*{name}:", text, re.MULTILINE)
    ]
    # `name` is of an address in `urls`, which the text explains as a list.
    # Identities of simulated relays are explained as a list, too.
    identity = {each.name for each in attrs.fields(SimulatedIdentitySettings)}
    assert sorted(set(missing) - identity) == ["name", "urls"]


def test_the_example_with_everything_switched_on_is_valid(tmp_path: Path) -> None:
    """Every shown value passes every check."""
    path = tmp_path / "all.yaml"
    path.write_text(uncommented(), encoding="utf-8")
    try:
        settings = load(path)
    except ConfigError as error:
        pytest.fail(str(error))
    assert settings.keys.keyring is not None
    assert settings.keys.keyring.passphrase_file == tmp_path / "keyring-passphrase"
