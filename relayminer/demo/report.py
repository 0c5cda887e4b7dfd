"""What the demonstration shows: progress while it runs, one table at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from relayminer.demo.balances import Change
    from relayminer.demo.rows import Row

COUNTS = ("sent", "served", "logged", "trie", "claimed", "proven", "settled")
GOOD = "[green]yes[/]"
BAD = "[bold red]no[/]"


def progress(console: Console) -> Progress:
    """Bars that move while relays flow and blocks come."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
    )


def relay_table(rows: list[Row], *, faults: bool) -> Table:
    """One line per supplier and session, and their sums."""
    table = Table(
        title="Relays per supplier and session, and what they earned (uPOKT)",
        box=None,
        show_footer=True,
        pad_edge=False,
    )
    table.add_column("end", "all")
    for name in ("service", "supplier"):
        table.add_column(name, no_wrap=True)
    columns = [list(column) for column in zip(*(row.counts() for row in rows), strict=True)]
    for name, column in zip(COUNTS, columns or [[0]] * len(COUNTS), strict=True):
        table.add_column(name, str(sum(column)), justify="right", no_wrap=True)

    def money(name: str, total_upokt: int) -> None:
        table.add_column(name, f"{total_upokt:,}", justify="right", no_wrap=True)

    money("earned", sum(row.earned_upokt for row in rows))
    money("fees", sum(row.fees_upokt for row in rows))
    table.add_column("ok")
    for row in rows:
        table.add_row(
            str(row.session_end_height),
            row.service_id,
            row.supplier_name,
            *(str(count) for count in row.counts()),
            f"{row.earned_upokt:,}",
            f"{row.fees_upokt:,}",
            GOOD if row.is_whole(faults=faults) else BAD,
        )
    return table


def change_table(changes: list[Change]) -> Table:
    """Balances and stakes: what they should have changed by, and what they did."""
    table = Table(title="Balances and stakes (uPOKT), fees taken off", box=box.SIMPLE_HEAD)
    table.add_column("account")
    table.add_column("expected", justify="right")
    table.add_column("actual", justify="right")
    table.add_column("exact")
    for change in changes:
        table.add_row(
            change.name,
            f"{change.expected_upokt:+,}",
            f"{change.actual_upokt:+,}",
            GOOD if change.is_right else BAD,
        )
    return table


def problems(rows: list[Row], changes: list[Change], *, faults: bool) -> list[str]:
    """Everything that is not as it must be, a sentence each."""
    found = []
    for row in rows:
        where = f"{row.supplier_name}, {row.service_id}, session ending at {row.session_end_height}"
        if row.skipped:
            found.append(f"{where}: {row.skipped}")
        elif not row.is_whole(faults=faults):
            counts = ", ".join(
                f"{name} {count}" for name, count in zip(COUNTS, row.counts(), strict=True)
            )
            found.append(f"{where}: the counts differ: {counts}")
        if row.slashed_upokt:
            found.append(f"{where}: slashed by {row.slashed_upokt} uPOKT")
        if not faults:
            found.extend(f"{where}: {failure}" for failure in row.failures)
    found.extend(
        f"{change.name}: changed by {change.actual_upokt}, expected {change.expected_upokt} uPOKT"
        for change in changes
        if not change.is_right
    )
    return found
