"""`relayminer run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from relayminer.cli.failures import UNUSABLE
from relayminer.cli.options import load_settings, overrides, settings_options, typed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NO_CONFIG = """\
No configuration: `run` serves your suppliers, so it has to know their keys, your backends and a
node of the chain.

  to see it work first      relayminer demo
  to write a configuration  start from config/relayminer.example.yaml; every setting is explained
  to look it over           relayminer check --config relayminer.yaml
  to run it                 relayminer run --config relayminer.yaml
"""


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--workers`, and how a worker is told that it is one."""
    count = click.option(
        "--workers",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Relayer processes on the one port; with more than one, this process looks after "
        "them.",
    )
    held = click.option(
        "--worker", hidden=True, help="How a worker is held by the process that started it."
    )
    return count(held(command))


@click.command(
    epilog="Example: relayminer run --config relayminer.yaml --roles relayer,miner,cache-leader"
)
@settings_options
@click.option(
    "--roles",
    default="relayer,miner,cache-leader",
    show_default=True,
    help="Jobs of this process, separated by commas.",
)
@worker_options
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    config: Path | None,
    roles: str,
    workers: int,
    worker: str | None,
    **flags: Any,
) -> None:
    """Serve relays, mine them, keep the caches: one process, one or more roles.

    Ends in order on SIGINT, SIGTERM or SIGQUIT. SIGHUP, or a change of the files, takes over new
    keys and backends without a new start.
    """
    if config is None:
        click.echo(NO_CONFIG, err=True, nl=False)
        context.exit(UNUSABLE)
    from relayminer.cli.start import start  # noqa: PLC0415 - quick --help

    values = overrides(**flags)
    start(
        config,
        lambda: load_settings(config, values),
        roles=roles,
        workers=workers,
        worker=worker,
        worker_words=[
            *("run", "--config", str(config.absolute()), "--roles", "relayer"),
            *typed(flags),
        ],
    )
