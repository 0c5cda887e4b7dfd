"""Starting a process of some roles, from whatever file its settings come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from relayminer.config.settings import Settings

ALONE = """\
Note: this process has only a part of the roles, and its store is the embedded one of {home}.
Processes on this machine with the same --home share it; for others set redis.url.
"""


def start(
    config: Path,
    read: Callable[[], Settings],
    *,
    roles: str,
    workers: int = 1,
    worker: str | None = None,
    worker_words: Sequence[str] = (),
) -> None:
    """Run until told to stop.

    Args:
        config: the file, looked at for changes.
        read: the settings, read again whenever it is called; raises ConfigError.
        roles: separated by commas.
        workers: relayer processes on the one port.
        worker: how a worker is held by the process that started it.
        worker_words: command line, after `relayminer`, of a worker.

    Raises:
        click.UsageError: `--workers` does not fit.
        RelayMinerError: it cannot start.
    """
    # Imported here: they bring in the whole service, and a mistyped file is told without it.
    import attrs  # noqa: PLC0415

    from relayminer.config.settings import EMBEDDED  # noqa: PLC0415
    from relayminer.roles import Role, parse_roles  # noqa: PLC0415

    wanted = parse_roles(roles)
    settings = read()
    if workers > 1:
        if Role.RELAYER not in wanted:
            raise click.UsageError("--workers is for the role relayer, which is not among --roles")
        if settings.relayer.listen.endswith(":0"):
            raise click.UsageError("--workers needs a port in relayer.listen, not 0")
    alone = not {Role.RELAYER, Role.MINER} <= wanted and worker is None
    if settings.redis.url == EMBEDDED and alone:
        click.echo(ALONE.format(home=settings.home), err=True, nl=False)
    from relayminer.app import Launch, run_process  # noqa: PLC0415
    from relayminer.net.descriptors import raise_open_files_limit  # noqa: PLC0415
    from relayminer.reload import ConfigSource  # noqa: PLC0415
    from relayminer.workers import Leash, worker_command  # noqa: PLC0415

    leash = None
    if worker is not None:
        leash = Leash.parse(worker)
        control = attrs.evolve(settings.control, enabled=True, also_listen=())
        control = attrs.evolve(control, listen=f"fd://{leash.control}")
        # One process looks out for all of them.
        settings = attrs.evolve(
            settings,
            control=control,
            console=attrs.evolve(settings.console, enabled=False),
            debug=attrs.evolve(settings.debug, enabled=False),
            notify=attrs.evolve(settings.notify, webhook_url=""),
        )
    command: list[str] = []
    if workers > 1:
        command = worker_command(worker_words)
        wanted -= {Role.RELAYER}
    source = ConfigSource(config.absolute(), read)
    raise_open_files_limit()
    launch = Launch(source, workers if command else 0, tuple(command), leash)
    run_process(settings, wanted, launch)
