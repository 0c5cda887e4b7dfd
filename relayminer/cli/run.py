"""`relayminer run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from relayminer.cli.failures import UNUSABLE
from relayminer.cli.options import config_option, home_option, load_settings, overrides

if TYPE_CHECKING:
    from pathlib import Path

NO_CONFIG = """\
No configuration: `run` serves your suppliers, so it has to know their keys, your backends and a
node of the chain.

  to see it work first      relayminer demo
  to write a configuration  start from config/relayminer.example.yaml; every setting is explained
  to look it over           relayminer check --config relayminer.yaml
  to run it                 relayminer run --config relayminer.yaml
"""

ALONE = """\
Note: this process has only a part of the roles, and its store is the embedded one of {home}.
Processes on this machine with the same --home share it; for others set redis.url.
"""


@click.command(
    epilog="Example: relayminer run --config relayminer.yaml --roles relayer,miner,cache-leader"
)
@config_option
@click.option(
    "--roles",
    default="relayer,miner,cache-leader",
    show_default=True,
    help="Jobs of this process, separated by commas.",
)
@home_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Relayer processes on the one port; with more than one, this process looks after them.",
)
@click.option("--worker", hidden=True, help="How a worker is held by the process that started it.")
@click.pass_context
def run(
    context: click.Context,
    *,
    config: Path | None,
    roles: str,
    home: Path | None,
    workers: int,
    worker: str | None,
) -> None:
    """Serve relays, mine them, keep the caches: one process, one or more roles.

    Ends in order on SIGINT or SIGTERM. SIGHUP, or a change of the files, takes over new keys and
    backends without a new start.
    """
    if config is None:
        click.echo(NO_CONFIG, err=True, nl=False)
        context.exit(UNUSABLE)
    # Imported here: they bring in the whole service, and a mistyped file is told without it.
    import attrs  # noqa: PLC0415

    from relayminer.config.settings import EMBEDDED  # noqa: PLC0415
    from relayminer.roles import Role, parse_roles  # noqa: PLC0415

    wanted = parse_roles(roles)
    settings = load_settings(config, overrides(home))
    if workers > 1:
        if Role.RELAYER not in wanted:
            raise click.UsageError("--workers is for the role relayer, which is not among --roles")
        if settings.relayer.listen.endswith(":0"):
            raise click.UsageError("--workers needs a port in relayer.listen, not 0")
    alone = not {Role.RELAYER, Role.MINER} <= wanted and worker is None
    if settings.redis.url == EMBEDDED and alone:
        click.echo(ALONE.format(home=settings.home), err=True, nl=False)
    from relayminer.app import Launch, run_process  # noqa: PLC0415
    from relayminer.reload import ConfigSource  # noqa: PLC0415
    from relayminer.workers import Leash, worker_command  # noqa: PLC0415

    source = ConfigSource(config.absolute(), lambda: load_settings(config, overrides(home)))
    leash = None
    if worker is not None:
        leash = Leash.parse(worker)
        control = attrs.evolve(settings.control, enabled=True, also_listen=())
        control = attrs.evolve(control, listen=f"fd://{leash.control}")
        settings = attrs.evolve(settings, control=control)
    command: list[str] = []
    if workers > 1:
        command = worker_command(str(config.absolute()), str(settings.home))
        wanted -= {Role.RELAYER}
    launch = Launch(source, workers if command else 0, tuple(command), leash)
    run_process(settings, wanted, launch)
