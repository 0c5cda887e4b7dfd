"""`python -m tests.chaos --seed 1 --minutes 10`: exit code 0 when no relay is missing."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import trio
from rich import box
from rich.console import Console
from rich.table import Table

from relayminer.telemetry.logs import set_up_logs
from tests.chaos.plan import ChaosOptions, troubles
from tests.chaos.run import ChaosRun, Outcome, logs_of

COLUMNS = ("answered", "unanswered", "leaves", "claimed", "settled", "lost", "twice", "foreign")


def main() -> int:
    """Run and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--home", type=Path, help="keep everything here")
    parser.add_argument("--plan", action="store_true", help="only print what would happen")
    arguments = parser.parse_args()
    home = arguments.home or Path(tempfile.mkdtemp(prefix="relayminer-chaos-"))
    options = ChaosOptions(home=home.resolve(), seed=arguments.seed, minutes=arguments.minutes)
    console = Console(width=140, highlight=False)
    if arguments.plan:
        for one in troubles(options):
            console.print(f"{one.at_seconds:8.3f} {one.kind.value}, {one.seconds:g} s")
        return 0
    set_up_logs("error", "auto")
    outcome = trio.run(ChaosRun(options, console.print).run)
    if outcome.difference:
        console.print(table_of(outcome))
        for path in logs_of(options.home):
            console.print(f"log: {path}")
    elif arguments.home is None:
        shutil.rmtree(home, ignore_errors=True)
    console.print(outcome.line())
    return int(outcome.difference > 0)


def table_of(outcome: Outcome) -> Table:
    """What differs, a line each."""
    table = Table(title="Where relays are not where they must be", box=box.SIMPLE_HEAD)
    table.add_column("end")
    table.add_column("service")
    table.add_column("supplier")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    table.add_column("what")
    for count in outcome.counts:
        if count.difference:
            row = count.row
            numbers = (
                count.answered,
                count.unanswered,
                count.leaves,
                row.claimed,
                row.settled,
                count.lost,
                count.twice,
                count.foreign,
            )
            table.add_row(
                str(row.session_end_height),
                row.service_id,
                row.supplier_name,
                *map(str, numbers),
                "; ".join(count.problems),
            )
    return table


if __name__ == "__main__":
    sys.exit(main())
