"""`relayminer earnings`."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import click

from relayminer.cli.options import json_option, load_settings, overrides, settings_options

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.config.settings import Settings
    from relayminer.story.earnings import Earnings, Report


PIPE_WIDTH = 200
"""Of a table that goes into a file or another program."""


@click.command(epilog="Example: relayminer earnings --config relayminer.yaml --by service")
@settings_options
@click.option(
    "--by",
    type=click.Choice(["supplier", "service", "app", "day"]),
    default="supplier",
    show_default=True,
    help="What the lines are.",
)
@click.option("--supplier", "suppliers", multiple=True, help="Only this one; may be repeated.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="Only what the ledger says from then on, UTC.",
)
@json_option
def earnings(
    *,
    config: Path | None,
    by: str,
    suppliers: tuple[str, ...],
    since: dt.datetime | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """What was earned, paid in fees and lost, by cause; and what the open sessions would bring.

    Amounts are uPOKT. `earned` is what the suppliers' own addresses got, after the shares of
    others; fees are those of transactions that a mempool took, and of proofs.
    """
    import trio  # noqa: PLC0415 - quick --help

    settings = load_settings(config, overrides(**flags))
    moment = 0 if since is None else int(since.replace(tzinfo=dt.UTC).timestamp())
    found = trio.run(_report, settings, by, suppliers, moment)
    if as_json:
        groups = [group.as_json() for group in found.groups]
        click.echo(json.dumps({"by": by, "groups": groups, "total": found.total.as_json()}))
    else:
        _show(found, by)


async def _report(
    settings: Settings, by: str, suppliers: tuple[str, ...], since_unix_seconds: int
) -> Report:
    from relayminer.cli.reading import reading  # noqa: PLC0415 - quick --help
    from relayminer.story.earnings import report  # noqa: PLC0415
    from relayminer.story.forecast import open_sessions  # noqa: PLC0415

    async with reading(settings) as store:
        accounts = await store.books.accounts(suppliers, since_unix_seconds=since_unix_seconds)
        everybody = suppliers or await store.books.suppliers()
        expected = await open_sessions(store.redis, store.names, everybody, store.prices)
        return report(accounts, by, expected)


def _show(found: Report, by: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table()
    table.add_column(by, overflow="fold")
    for title in ("sessions", "relays", "earned", "fees", "slashed", "net", "lost", "forecast"):
        # An amount that is cut is none.
        table.add_column(title, justify="right", no_wrap=True, overflow="fold")
    for group in [*found.groups, found.total]:
        table.add_row(escape(group.name), *_cells(group), end_section=group in found.groups[-1:])
    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(table)
    for cause, amount in sorted(found.total.losses.items()):
        console.print(f"lost: {escape(cause)} {amount:,} uPOKT", highlight=False)
    if found.total.open_sessions and not found.total.expected_upokt:
        console.print("no forecast: no node of the chain answered, or nothing is open")


def _cells(group: Earnings) -> list[str]:
    lost = sum(group.losses.values()) - group.slashed_upokt
    sums = (
        *(sum(group.sessions.values()), group.relays, group.earned_upokt, group.fees_upokt),
        *(group.slashed_upokt, group.net_upokt, lost, group.expected_upokt),
    )
    return [f"{one:,}" for one in sums]
