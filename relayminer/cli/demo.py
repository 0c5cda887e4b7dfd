"""`relayminer demo`: the whole thing on this machine, with a table at its end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import click
import trio
from rich.console import Console

from relayminer.demo.plan import DemoOptions
from relayminer.demo.run import Demo
from relayminer.telemetry.logs import set_up_logs

TABLE_WIDTH = 108


@click.command(
    epilog="Example: relayminer demo --sessions 3 --relays-per-row 120",
    short_help="A chain, a relayer and a miner on this machine: relays in, uPOKT out.",
)
@click.option("--sessions", default=3, show_default=True, help="Sessions in a row.")
@click.option("--services", default=2, show_default=True, help="Services, one application each.")
@click.option("--suppliers", default=3, show_default=True, help="Suppliers in every session.")
@click.option(
    "--relays-per-row",
    default=120,
    show_default=True,
    help="Relays per supplier, service and session; a claim of a few would not pay its fee, and is"
    " skipped.",
)
@click.option("--block-seconds", default=1.0, show_default=True, help="Seconds between blocks.")
@click.option("--concurrency", default=12, show_default=True, help="Relays in flight.")
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Keep everything here, logs too; without it a temporary directory is used and removed.",
)
@click.option(
    "--kill-relayminer",
    is_flag=True,
    help="Crash the relayer and miner in the second session; it starts again on the same home.",
)
@click.option("--kill-store", is_flag=True, help="Crash the store's server in the second session.")
def demo(
    *,
    sessions: int,
    services: int,
    suppliers: int,
    relays_per_row: int,
    block_seconds: float,
    concurrency: int,
    home: Path | None,
    kill_relayminer: bool,
    kill_store: bool,
) -> None:
    """Serve ring-signed relays, mine them, claim, prove and get paid, all on this machine.

    A simulated chain, and the relayer and miner of `relayminer run` on embedded defaults, run as
    two processes. At the end every count of every supplier and session is compared, and every
    balance with what the protocol's arithmetic gives. Exit code 0 only if all is exact.
    """
    console = Console()
    if console.width < TABLE_WIDTH:
        # Whole numbers on wrapped lines tell more than numbers that are cut off.
        console = Console(width=TABLE_WIDTH)
    temporary = home is None
    directory = home or Path(tempfile.mkdtemp(prefix="relayminer-demo-"))
    options = DemoOptions(
        home=directory.resolve(),
        sessions=sessions,
        services=services,
        suppliers=suppliers,
        relays_per_row=relays_per_row,
        block_seconds=block_seconds,
        concurrency=concurrency,
        kill_relayminer=kill_relayminer,
        kill_store=kill_store,
    )
    set_up_logs("warning", "auto")
    problems = trio.run(Demo(options, console).run)
    for problem in problems:
        console.print(f"[bold red]wrong:[/] {problem}")
    if problems:
        console.print(f"the logs are in {directory}")
        raise SystemExit(1)
    if temporary:
        shutil.rmtree(directory, ignore_errors=True)
    console.print("[green]every relay is paid, every balance is exact[/]")
