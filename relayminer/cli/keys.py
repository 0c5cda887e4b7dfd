"""`relayminer keys`: supplier keys, without ever printing one."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relayminer.cli.options import json_option, load_settings, overrides, settings_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.keys.loading import SupplierKeys

KEY_BYTES = 32
KEYRING_BACKENDS = ("test", "file", "os", "pass")

file_option: Callable[[Any], Any] = click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Encrypted key file; made if it is not there. Set keys.encrypted_file to it.",
)
passphrase_option: Callable[[Any], Any] = click.option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Its first line is the passphrase of the file.  [default: asked]",
)


@click.group(epilog="Example: relayminer keys list --config relayminer.yaml")
def keys() -> None:
    """List, make, import and check supplier keys. No key is ever printed."""


@keys.command("list", epilog="Example: relayminer keys list --config relayminer.yaml --json")
@settings_options
@json_option
def list_(*, config: Path | None, as_json: bool, **flags: Any) -> None:
    """List the suppliers whose keys the configuration names."""
    found = _loaded(config, flags)
    if as_json:
        click.echo(json.dumps({"suppliers": list(found.addresses)}))
        return
    for address in found.addresses:
        click.echo(address)
    click.echo(f"{len(found)} keys", err=True)


@keys.command("check", epilog="Example: relayminer keys check --config relayminer.yaml")
@settings_options
@json_option
@click.pass_context
def check_keys(
    context: click.Context, /, *, config: Path | None, as_json: bool, **flags: Any
) -> None:
    """Sign with every key, and look whether each supplier is staked and can pay fees.

    Exit code 0: all is well. 1: something is not.
    """
    import trio  # noqa: PLC0415 - quick --help

    from relayminer.cli.check import show  # noqa: PLC0415
    from relayminer.cli.checks.suppliers import check_suppliers  # noqa: PLC0415
    from relayminer.cli.failures import FAILED  # noqa: PLC0415

    settings = load_settings(config, overrides(**flags))
    findings = trio.run(check_suppliers, settings, _loaded(config, flags))
    if as_json:
        click.echo(json.dumps({"checks": [finding.as_json() for finding in findings]}))
    else:
        show(findings)
    context.exit(FAILED if any(finding.result == "fail" for finding in findings) else 0)


@keys.command(epilog="Example: relayminer keys add --file keys.encrypted --generate")
@file_option
@passphrase_option
@click.option("--generate", is_flag=True, help="Make a new key.")
@click.option("--mnemonic", is_flag=True, help="Ask for the words of a key (BIP-39, Cosmos path).")
def add(*, path: Path, passphrase_file: Path | None, generate: bool, mnemonic: bool) -> None:
    """Add a key to an encrypted file: one typed in as hex, made of words, or a new one."""
    if generate and mnemonic:
        raise click.UsageError("either --generate or --mnemonic")
    if generate:
        text = secrets.token_hex(KEY_BYTES)
    elif mnemonic:
        from relayminer.keys.mnemonic import secret_from_mnemonic  # noqa: PLC0415

        text = secret_from_mnemonic(_asked("Words")).hex()
    else:
        text = _asked("Private key, 64 hex digits")
    _store(path, passphrase_file, [text])


@keys.command(
    "import", epilog="Example: relayminer keys import --file keys.encrypted --armor exported.txt"
)
@file_option
@passphrase_option
@click.option(
    "--armor",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `pocketd keys export` printed; its passphrase is asked for.",
)
@click.option(
    "--keys-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with `keys: [hex, ...]`.",
)
@click.option(
    "--keyring-backend",
    type=click.Choice(KEYRING_BACKENDS),
    help="A keyring of pocketd.",
)
@click.option(
    "--keyring-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Its directory.  [default: ~/.pocket]",
)
@click.option(
    "--keyring-app",
    default="pocket",
    show_default=True,
    help="By it the secret service names its collection, and `pass` its folder.",
)
@click.option(
    "--key-name", "names", multiple=True, help="One of its keys, again for more.  [default: all]"
)
def import_(
    *,
    path: Path,
    passphrase_file: Path | None,
    armor: Path | None,
    keys_file: Path | None,
    keyring_backend: str | None,
    keyring_dir: Path | None,
    keyring_app: str,
    names: tuple[str, ...],
) -> None:
    """Bring keys from elsewhere into an encrypted file."""
    from relayminer.config.settings import KeyringSettings  # noqa: PLC0415 - quick --help
    from relayminer.keys.armor import secret_of  # noqa: PLC0415
    from relayminer.keys.keyring import keyring_secrets  # noqa: PLC0415
    from relayminer.keys.sources import hex_keys_of  # noqa: PLC0415

    texts: list[str] = []
    if armor is not None:
        block = armor.read_text(encoding="utf-8", errors="replace")
        texts.append(secret_of(block, _asked("Passphrase of the exported key")).hex())
    if keys_file is not None:
        texts.extend(hex_keys_of(keys_file))
    if keyring_backend is not None:
        keyring = KeyringSettings(
            backend=keyring_backend, dir=keyring_dir, app_name=keyring_app, key_names=names
        )
        texts.extend(keyring_secrets(keyring))
    if not texts:
        raise click.UsageError(
            "name what to import: --armor FILE, --keys-file FILE or --keyring-backend NAME"
        )
    _store(path, passphrase_file, texts)


def _loaded(config: Path | None, flags: dict[str, Any]) -> SupplierKeys:
    """The keys that the configuration names; raises KeyLoadError and ConfigError."""
    from relayminer.keys.loading import load_keys  # noqa: PLC0415 - quick --help
    from relayminer.plugin import load_key_providers  # noqa: PLC0415

    settings = load_settings(config, overrides(**flags))
    return load_keys(settings.keys, load_key_providers().values())


def _asked(what: str) -> str:
    """A secret, typed without being shown, or the first line of a pipe."""
    if sys.stdin.isatty():
        text: str = click.prompt(what, hide_input=True)
        return text
    return sys.stdin.readline().rstrip("\n")


def _store(path: Path, passphrase_file: Path | None, texts: list[str]) -> None:
    from relayminer.keys.errors import KeyLoadError  # noqa: PLC0415 - quick --help
    from relayminer.keys.files import Found, parse_hex_key, read_secret_file  # noqa: PLC0415
    from relayminer.keys.hardening import protect_process  # noqa: PLC0415
    from relayminer.keys.passphrase import find_passphrase  # noqa: PLC0415
    from relayminer.keys.vault import open_secrets, seal, write_private  # noqa: PLC0415

    protect_process()
    found = Found()
    new = [parse_hex_key("the key", text, found) for text in texts]
    data = read_secret_file(path, found) if path.exists() else None
    passphrase = None if found.problems else find_passphrase(str(path), passphrase_file, found)
    if passphrase is None or found.problems:
        raise KeyLoadError(found.problems)
    kept = [] if data is None else open_secrets(path, data, passphrase)
    clean = [text.removeprefix("0x").strip().lower() for text in texts]
    write_private(path, seal([*kept, *(text for text in clean if text not in kept)], passphrase))
    for key in new:
        if key is not None:
            click.echo(key.address)
    click.echo(f"in {path}; set keys.encrypted_file to it", err=True)
