"""`relayminer deadletters list` and `replay`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from relayminer.cli.options import json_option, load_settings, overrides, settings_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from relayminer.config.settings import Settings
    from relayminer.state.dead_letters import DeadLetter

SHOWN = 50


@click.group(epilog="Example: relayminer deadletters list --config relayminer.yaml")
def deadletters() -> None:
    """Log entries that the miner could not use, each with its reason. The last 10,000 are kept."""


@deadletters.command("list", epilog="Example: relayminer deadletters list --reason weighs")
@settings_options
@json_option
@click.option("--supplier", "suppliers", multiple=True, help="Only this one; may be repeated.")
@click.option("--reason", default="", help="Only those whose reason contains this.")
@click.option("--limit", default=SHOWN, show_default=True, help="So many of each; 0: all.")
def listing(
    *,
    config: Path | None,
    as_json: bool,
    suppliers: tuple[str, ...],
    reason: str,
    limit: int,
    **flags: Any,
) -> None:
    """Show refused entries, the oldest first."""
    import trio  # noqa: PLC0415 - quick --help

    from relayminer.telemetry.logs import set_up_logs  # noqa: PLC0415

    settings = load_settings(config, overrides(**flags))
    set_up_logs("error", "auto")
    found = trio.run(_list, settings, suppliers, reason)
    rows = [
        {
            "supplier": supplier,
            "id": letter.id,
            "entry": letter.entry_id,
            "reason": letter.reason,
            "bytes": len(letter.data),
        }
        for supplier, letters in found.items()
        for letter in letters[: limit or None]
    ]
    if as_json:
        click.echo(json.dumps({"dead_letters": rows}))
        return
    for row in rows:
        click.echo("  ".join(str(value) for value in row.values()))
    click.echo(f"{len(rows)} of {sum(map(len, found.values()))}")


@deadletters.command(epilog="Example: relayminer deadletters replay --supplier pokt1... --all")
@settings_options
@click.option("--supplier", "suppliers", multiple=True, help="Only this one; may be repeated.")
@click.option("--reason", default="", help="Only those whose reason contains this.")
@click.option("--all", "everything", is_flag=True, help="All that are listed with these options.")
@click.argument("ids", nargs=-1)
def replay(
    *,
    config: Path | None,
    suppliers: tuple[str, ...],
    reason: str,
    everything: bool,
    ids: tuple[str, ...],
    **flags: Any,
) -> None:
    """Put refused entries back into the relay log, by their ids or all.

    What is still wrong with them sends them back here; what was counted is not counted again.
    """
    import trio  # noqa: PLC0415 - quick --help

    from relayminer.telemetry.logs import set_up_logs  # noqa: PLC0415

    if bool(ids) == everything:
        raise click.UsageError("name the ids of the entries to replay, or say --all")
    settings = load_settings(config, overrides(**flags))
    set_up_logs("error", "auto")
    count = trio.run(_replay, settings, suppliers, reason, ids)
    click.echo(f"{count} entries are in the relay log again")


async def _list(
    settings: Settings, suppliers: Sequence[str], reason: str
) -> dict[str, list[DeadLetter]]:
    from relayminer.cli.reading import reading  # noqa: PLC0415 - quick --help
    from relayminer.state.dead_letters import DeadLetters  # noqa: PLC0415

    async with reading(settings, with_chain=False) as from_store:
        letters = DeadLetters(from_store.redis, from_store.names)
        return {
            supplier: [one async for one in letters.read(supplier) if reason in one.reason]
            for supplier in suppliers or await letters.suppliers()
        }


async def _replay(
    settings: Settings, suppliers: Sequence[str], reason: str, ids: Sequence[str]
) -> int:
    from relayminer.cli.reading import reading  # noqa: PLC0415 - quick --help
    from relayminer.state.dead_letters import DeadLetters  # noqa: PLC0415

    replayed = 0
    async with reading(settings, with_chain=False) as from_store:
        letters = DeadLetters(from_store.redis, from_store.names)
        for supplier in suppliers or await letters.suppliers():
            wanted = [
                one.id
                async for one in letters.read(supplier)
                if reason in one.reason and (not ids or one.id in ids)
            ]
            replayed += await letters.replay(supplier, wanted)
    return replayed
