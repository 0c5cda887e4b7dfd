"""`relayminer relayer` and `relayminer miner`: the Go implementation's files, as they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relayminer.cli.config import tell_notes
from relayminer.cli.failures import FAILED
from relayminer.cli.options import home_option, overrides
from relayminer.cli.run import worker_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relayminer.config.foreign import Imported
    from relayminer.config.settings import Settings

NO_FILE = "name the file: --config FILE"

file_option: Callable[[Any], Any] = click.option(
    "--config",
    "-c",
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file of `pocket-relay-miner`.",
)
redis_option: Callable[[Any], Any] = click.option("--redis-url", help="Over redis.url of the file.")


def read(kind: str, config: Path, values: Mapping[str, Any]) -> Imported:
    """A file of the Go implementation; raises ConfigError."""
    from relayminer.config.foreign import load_foreign  # noqa: PLC0415 - quick --help

    return load_foreign(kind, config, values, os.environ)


def _needed(config: Path | None) -> Path:
    if config is None:
        raise click.UsageError(NO_FILE)
    return config


def _start(
    kind: str,
    config: Path,
    values: dict[str, Any],
    *,
    roles: str,
    **more: Any,
) -> None:
    from relayminer.cli.start import start  # noqa: PLC0415 - quick --help

    found = read(kind, config, values)
    if more.get("worker") is None:
        tell_notes(found)

    def again() -> Settings:
        return read(kind, config, values).settings

    start(config, again, roles=roles, **more)


def _said(flags: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Flags that were typed, as settings."""
    return {
        key: str(flags[name]) if isinstance(flags[name], Path) else flags[name]
        for name, key in names.items()
        if flags.get(name) is not None
    }


@click.group(
    invoke_without_command=True, epilog="Example: relayminer relayer --config relayer.yaml"
)
@file_option
@redis_option
@home_option
@worker_options
@click.pass_context
def relayer(
    context: click.Context,
    /,
    *,
    config: Path | None,
    redis_url: str | None,
    home: Path | None,
    workers: int,
    worker: str | None,
) -> None:
    """Run the role relayer from a file of the Go relayer.

    Every key works as it does there, or a note at the start says what holds instead.
    """
    if context.invoked_subcommand is not None:
        return
    values = overrides(home) | _said({"redis_url": redis_url}, {"redis_url": "redis.url"})
    path = _needed(config)
    words = ["relayer", "--config", str(path.absolute())]
    if redis_url is not None:
        words += ["--redis-url", redis_url]
    if home is not None:
        words += ["--home", str(home.absolute())]
    _start(
        "relayer",
        path,
        values,
        roles="relayer",
        workers=workers,
        worker=worker,
        worker_words=words,
    )


@relayer.command("validate", epilog="Example: relayminer relayer validate --config relayer.yaml")
@file_option
@click.option(
    "--check-stake", is_flag=True, help="Also compare with what the suppliers are staked for."
)
@click.option("--node", metavar="HOST:PORT", help="gRPC of the node to ask, over the file's.")
@click.pass_context
def validate_relayer(
    context: click.Context, /, *, config: Path | None, check_stake: bool, node: str | None
) -> None:
    """Read a relayer's file as its start would, and say what is wrong with it.

    Exit code 0: it would start. 2: it would not. 1: a staked service has no backend.
    """
    path = _needed(config)
    values = {} if node is None else {"chain.grpc_url": node}
    found = read("relayer", path, values)
    tell_notes(found)
    click.echo(f"config OK: {path} would start")
    if check_stake:
        import trio  # noqa: PLC0415 - quick --help

        from relayminer.cli.stake import compare_stake  # noqa: PLC0415

        if not trio.run(compare_stake, found.settings):
            context.exit(FAILED)


@click.group(invoke_without_command=True, epilog="Example: relayminer miner --config miner.yaml")
@file_option
@redis_option
@click.option("--consumer-name", help="Over redis.consumer_name of the file.")
@click.option(
    "--hot-reload/--no-hot-reload",
    default=None,
    help="Whether keys are taken over while it runs.",
)
@click.option("--session-ttl", metavar="SECONDS", type=float, help="Over session_ttl of the file.")
@click.option("--keys-file", type=click.Path(path_type=Path), help="Over keys.keys_file.")
@click.option("--keys-dir", type=click.Path(path_type=Path), help="Over keys.keys_dir.")
@click.option("--keyring-backend", help="Over keys.keyring.backend.")
@click.option("--keyring-dir", type=click.Path(path_type=Path), help="Over keys.keyring.dir.")
@home_option
@click.pass_context
def miner(
    context: click.Context, /, *, config: Path | None, home: Path | None, **flags: Any
) -> None:
    """Run the roles miner and cache-leader from a file of the Go miner.

    Every key works as it does there, or a note at the start says what holds instead.
    """
    if context.invoked_subcommand is not None:
        return
    values = overrides(home) | _said(
        {
            name: value.absolute() if isinstance(value, Path) else value
            for name, value in flags.items()
        },
        {
            "redis_url": "redis.url",
            "consumer_name": "miner.consumer_name",
            "session_ttl": "miner.session_ttl_seconds",
            "keys_file": "keys.keys_file",
            "keys_dir": "keys.keys_dir",
            "keyring_backend": "keys.keyring.backend",
            "keyring_dir": "keys.keyring.dir",
        },
    )
    if flags["hot_reload"] is False:
        values["reload_poll_seconds"] = 0
    _start("miner", _needed(config), values, roles="miner,cache-leader")


@miner.command("validate", epilog="Example: relayminer miner validate --config miner.yaml")
@file_option
def validate_miner(*, config: Path | None) -> None:
    """Read a miner's file as its start would, and say what is wrong with it."""
    path = _needed(config)
    tell_notes(read("miner", path, {}))
    click.echo(f"config OK: {path} would start")
