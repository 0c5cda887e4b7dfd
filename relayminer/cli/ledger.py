"""`relayminer ledger export`."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import IO, TYPE_CHECKING, Any

import click

from relayminer.cli.options import load_settings, overrides, settings_options

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.config.settings import Settings
    from relayminer.story.entries import Entry


@click.group(epilog="Example: relayminer ledger export --config relayminer.yaml --format csv")
def ledger() -> None:
    """What happened to every session, step by step, as it was written down."""


@ledger.command(
    epilog="Example: relayminer ledger export --format csv --since 2026-11-01 --file ledger.csv"
)
@settings_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "jsonl"]),
    default="csv",
    show_default=True,
    help="csv has a heading; json is one list; jsonl one object per line.",
)
@click.option("--supplier", "suppliers", multiple=True, help="Only this one; may be repeated.")
@click.option("--session", default="", help="Only sessions whose id begins so.")
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="From then on, UTC."
)
@click.option(
    "--file", "target", type=click.File("w", encoding="utf-8"), default="-", help="Where to."
)
def export(
    *,
    config: Path | None,
    form: str,
    suppliers: tuple[str, ...],
    session: str,
    since: dt.datetime | None,
    target: IO[str],
    **flags: Any,
) -> None:
    """Write the ledgers of all suppliers, or of some."""
    import trio  # noqa: PLC0415 - quick --help

    from relayminer.story.export import csv_lines, json_lines  # noqa: PLC0415

    settings = load_settings(config, overrides(**flags))
    moment = 0 if since is None else int(since.replace(tzinfo=dt.UTC).timestamp())
    entries = trio.run(_entries, settings, suppliers, moment)
    entries = [entry for entry in entries if entry.session_id.startswith(session)]
    if form == "json":
        json.dump([entry.as_json() for entry in entries], target, indent=1)
        target.write("\n")
    else:
        for line in csv_lines(entries) if form == "csv" else json_lines(entries):
            target.write(line)
    if target is not sys.stdout:
        click.echo(f"{len(entries)} entries", err=True)


async def _entries(
    settings: Settings, suppliers: tuple[str, ...], since_unix_seconds: int
) -> list[Entry]:
    from relayminer.cli.reading import reading  # noqa: PLC0415 - quick --help

    async with reading(settings, with_chain=False) as from_store:
        found = from_store.books.entries(suppliers, since_unix_seconds=since_unix_seconds)
        return [entry async for entry in found]
