"""`relayminer redis cache`, `flush` and `pubsub`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import trio

from relayminer.cli.options import json_option
from relayminer.cli.store import repairs
from relayminer.cli.store.commands import look_with, redis, run_with
from relayminer.cli.store.looks import clock
from relayminer.state.subscription import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.cli.reading import Reading

SAMPLE = 20


@redis.command(epilog="Example: relayminer redis cache --type application --list")
@click.option("--type", "kind", required=True, type=click.Choice(repairs.TYPES))
@click.option("--key", help="One entry: an address, a service id.")
@click.option("--list", "listed", is_flag=True, help="Show entries.")
@click.option("--invalidate", is_flag=True, help="Delete them and tell every process.")
@click.option("--all", "everything", is_flag=True, help="Every entry of the type.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="One key a line, `#` begins a comment.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def cache(
    context: click.Context,
    /,
    *,
    kind: str,
    key: str | None,
    listed: bool,
    invalidate: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Entries of the shared caches: list, show, invalidate."""
    if invalidate:
        _invalidate(context, kind, key, as_json=as_json, **how)
    elif key is not None:
        look_with(context, lambda store: repairs.show_cache(store, kind, key), as_json=as_json)
    elif listed:
        look_with(context, lambda store: repairs.list_cache(store, kind, 0), as_json=as_json)
    else:
        raise click.UsageError("say --list, --key KEY, or --invalidate")


def _invalidate(
    context: click.Context,
    kind: str,
    key: str | None,
    *,
    everything: bool,
    key_file: Path | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    if [key is not None, everything, key_file is not None].count(True) != 1:
        raise click.UsageError("--invalidate needs one of --key, --all and --key-file")
    if dry_run and key is not None:
        raise click.UsageError("--dry-run is for --all and --key-file")
    if kind == "all" and not everything:
        raise click.UsageError("--type all goes with --all")
    if everything:
        found: Sequence[Any] = run_with(context, lambda store: repairs.cache_keys(store, kind))
    else:
        found = [key] if key_file is None else repairs.keys_of_file(key_file)
    _preview(found)
    if dry_run:
        return
    # A relayer that misses a supplier's entry refuses its relays until it is written again.
    delicate = kind in {"supplier", "all"} or len(found) > repairs.ASK_BEYOND
    if delicate and not yes:
        click.confirm(f"invalidate {len(found)} entries of type {kind}?", abort=True, err=True)

    async def go(store: Reading) -> int:
        if everything:
            return await repairs.invalidate_all(store, kind)
        return await repairs.invalidate(store, kind, list(map(str, found)))

    gone = run_with(context, go)
    click.echo(json.dumps({"deleted": gone}) if as_json else f"{gone} entries are gone")


def _preview(keys: Sequence[Any]) -> None:
    for key in keys[:SAMPLE]:
        click.echo(f"  {key.decode(errors='replace') if isinstance(key, bytes) else key}", err=True)
    if len(keys) > SAMPLE:
        click.echo(f"  and {len(keys) - SAMPLE} more", err=True)


@redis.command(epilog="Example: relayminer redis flush --pattern 'ha:smst:*:5f2a...:*'")
@click.option("--pattern", help="Keys that fit this.")
@click.option("--all", "everything", is_flag=True, help="Every key of our namespace.")
@click.option("--force", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def flush(
    context: click.Context,
    /,
    *,
    pattern: str | None,
    everything: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Delete keys. Relays, tries and leases that go are lost: what they would have earned, too."""
    if (pattern is None) == (not everything):
        raise click.UsageError("either --pattern or --all")

    async def find(store: Reading) -> list[bytes]:
        wanted = store.names.all_keys_pattern if pattern is None else pattern
        return sorted([key async for some in store.redis.scan(wanted) for key in some])

    found = run_with(context, find)
    click.echo(f"{len(found)} keys:", err=True)
    _preview(found)
    if found and not force:
        word = click.prompt("Type DELETE to delete them", err=True)
        if word != "DELETE":
            raise click.Abort
    gone = run_with(context, lambda store: repairs.delete(store, found))
    click.echo(json.dumps({"deleted": gone}) if as_json else f"{gone} keys are gone")


@redis.command(epilog="Example: relayminer redis pubsub --channel ha:events:block --duration 60")
@click.option("--channel", required=True)
@click.option("--duration", default=0.0, help="Seconds.  [default: until Ctrl-C]")
@click.pass_context
def pubsub(context: click.Context, /, *, channel: str, duration: float) -> None:
    """Print messages as they come."""

    async def listen(store: Reading) -> None:
        with trio.move_on_after(duration or math.inf):
            async with store.redis.subscribe([channel]) as subscription:
                async for event in subscription:
                    if isinstance(event, Message):
                        text = event.payload.decode(errors="replace")
                        click.echo(f"{clock()} {event.channel} {text}")

    run_with(context, listen)
