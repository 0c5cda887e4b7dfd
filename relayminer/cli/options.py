"""Options that commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relayminer.config.settings import Settings

NETWORKS: dict[str, dict[str, Any]] = {
    "local": {
        "chain.chain_id": "pocket",
        "chain.rpc_url": "http://127.0.0.1:26657",
        "chain.grpc_url": "127.0.0.1:9090",
        "chain.grpc_insecure": True,
    },
    "beta": {
        "chain.chain_id": "pocket-lego-testnet",
        "chain.rpc_url": "https://sauron-rpc.beta.infra.pocket.network",
        "chain.grpc_url": "sauron-grpc.beta.infra.pocket.network:443",
        "chain.grpc_insecure": False,
    },
    "main": {
        "chain.chain_id": "pocket",
        "chain.rpc_url": "https://sauron-rpc.infra.pocket.network",
        "chain.grpc_url": "sauron-grpc.infra.pocket.network:443",
        "chain.grpc_insecure": False,
    },
}
"""Public nodes of each network (poktroll: app/pocket/networks.go); your own are better."""

config_option: Callable[[Any], Any] = click.option(
    "--config",
    "-c",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="RELAYMINER_CONFIG",
    show_envvar=True,
    help="YAML file with the settings; config/relayminer.example.yaml explains all of them.",
)

home_option: Callable[[Any], Any] = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data directory, over what the file says.  [default: ~/.relayminer]",
)

DEVNET_HOME = "~/.relayminer/devnet"


def devnet_home() -> Path:
    """Where a devnet keeps what others need to find it, unless told otherwise."""
    return Path(DEVNET_HOME).expanduser()


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`, also typed as `-o json`; both set `as_json`."""

    def chosen(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value == "json":
            context.params["as_json"] = True

    other = click.option(
        "-o",
        "--output",
        type=click.Choice(["json", "text"]),
        callback=chosen,
        expose_value=False,
        help="`-o json` is --json.",
    )
    flag = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
    return flag(other(command))


_CHAIN_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--network", type=click.Choice(sorted(NETWORKS)), help="Public nodes of a known network."
    ),
    click.option("--node", metavar="URL", help="CometBFT RPC of a node: chain.rpc_url."),
    click.option("--grpc-addr", metavar="HOST:PORT", help="gRPC of a node: chain.grpc_url."),
    click.option("--chain-id", metavar="ID", help="chain.chain_id."),
    click.option(
        "--keyring-backend",
        type=click.Choice(["file", "test", "os", "pass"]),
        help="Keys from a Cosmos keyring: keys.keyring.backend.",
    ),
    click.option(
        "--keyring-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Its directory: keys.keyring.dir.",
    ),
)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config`, `--home`, and the flags that people of the Cosmos SDK type."""
    for option in reversed((config_option, home_option, *_CHAIN_OPTIONS)):
        command = option(command)
    return command


def typed(flags: Mapping[str, Any]) -> list[str]:
    """The flags of `settings_options` as they were typed, for another process; but `--config`."""
    words: list[str] = []
    for name in ("home", "network", "node", "grpc_addr", "chain_id", "keyring_backend"):
        if flags.get(name) is not None:
            words += ["--" + name.replace("_", "-"), str(flags[name])]
    if flags.get("keyring_dir") is not None:
        words += ["--keyring-dir", str(Path(flags["keyring_dir"]).absolute())]
    return words


def overrides(
    home: Path | None,
    *,
    network: str | None = None,
    node: str | None = None,
    grpc_addr: str | None = None,
    chain_id: str | None = None,
    keyring_backend: str | None = None,
    keyring_dir: Path | None = None,
) -> dict[str, Any]:
    """What the command line says over the file; relative paths count from here."""
    values: dict[str, Any] = {} if network is None else dict(NETWORKS[network])
    said = {
        "home": None if home is None else str(home.absolute()),
        "chain.rpc_url": _rpc(node),
        "chain.grpc_url": grpc_addr,
        "chain.chain_id": chain_id,
        "keys.keyring.backend": keyring_backend,
        "keys.keyring.dir": None if keyring_dir is None else str(keyring_dir.absolute()),
    }
    values.update({key: value for key, value in said.items() if value is not None})
    for one in ("rpc_url", "grpc_url"):
        # A node that was typed is asked, whatever list the file has.
        if f"chain.{one}" in values:
            values[f"chain.{one}s"] = []
    return values


def _rpc(node: str | None) -> str | None:
    """`tcp://` is how Cosmos tools write it."""
    if node is not None and node.startswith("tcp://"):
        return "http://" + node.removeprefix("tcp://")
    return node


def load_settings(config: Path | None, values: Mapping[str, Any]) -> Settings:
    """The settings of a file, the environment and the command line.

    Raises:
        ConfigError: with everything that is wrong.
    """
    from relayminer.config.load import load  # noqa: PLC0415 - quick --help

    return load(config, values, os.environ)
