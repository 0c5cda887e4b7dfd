"""The commands of `relayminer redis`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relayminer.cli.options import json_option, load_settings
from relayminer.cli.store.shown import show

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.cli.reading import Reading
    from relayminer.cli.store.shown import Look
    from relayminer.config.settings import Settings

LIMIT = 10


def _group_options(command: Callable[..., Any]) -> Callable[..., Any]:
    config = click.option(
        "--config",
        "-c",
        type=click.Path(dir_okay=False, path_type=Path),
        help="For redis.url and the namespace; also a file of the Go miner or relayer.",
    )
    url = click.option("--redis", "url", help="URL of the server, over the file's.")
    home = click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        help="Data directory of an embedded store.",
    )
    return config(url(home(command)))


def settings_of(config: Path | None, url: str | None, home: Path | None) -> Settings:
    """Ours, or the Go miner's or relayer's, whichever the file is; raises ConfigError."""
    from relayminer.config.document import read_document  # noqa: PLC0415 - quick --help
    from relayminer.config.foreign import load_foreign  # noqa: PLC0415

    values: dict[str, Any] = {}
    if url is not None:
        values["redis.url"] = url
    if home is not None:
        values["home"] = str(home.absolute())
    if config is not None:
        top = read_document(config).values
        if "pocket_node" in top:
            kind = "relayer" if "services" in top else "miner"
            return load_foreign(kind, config, values).settings
    return load_settings(config, values)


def look_with(
    context: click.Context, task: Callable[[Reading], Awaitable[Look]], *, as_json: bool
) -> None:
    """Open the store, look, print."""
    show(run_with(context, task), as_json=as_json)


def run_with(context: click.Context, task: Callable[[Reading], Awaitable[Any]]) -> Any:
    """What a task finds in the store."""
    import trio  # noqa: PLC0415 - quick --help

    from relayminer.cli.reading import reading  # noqa: PLC0415

    settings: Settings = settings_of(**context.obj)

    async def run() -> Any:
        async with reading(settings, with_chain=False) as store:
            return await task(store)

    return trio.run(run)


@click.group(
    epilog="Example: relayminer redis --config relayminer.yaml sessions --supplier pokt1..."
)
@_group_options
@click.pass_context
def redis(context: click.Context, /, **places: Any) -> None:
    """Look into the shared state, and repair it, on every topology, without blocking a server."""
    context.obj = places


@redis.command(epilog="Example: relayminer redis sessions --supplier pokt1... --state claimed")
@click.option("--supplier", required=True)
@click.option("--session", default="", help="Its id, or the beginning of it.")
@click.option("--state", default="", help="active, claiming, claimed, proving, proved, ...")
@json_option
@click.pass_context
def sessions(
    context: click.Context, /, *, supplier: str, session: str, state: str, as_json: bool
) -> None:
    """Session records of a supplier."""
    from relayminer.cli.store import looks  # noqa: PLC0415 - quick --help

    look_with(
        context, lambda store: looks.sessions(store, supplier, session, state), as_json=as_json
    )


@redis.command(epilog="Example: relayminer redis smst --session 5f2a...")
@click.option("--session", required=True)
@click.option("--limit", default=LIMIT, show_default=True, help="Nodes to show of each trie.")
@json_option
@click.pass_context
def smst(context: click.Context, /, *, session: str, limit: int, as_json: bool) -> None:
    """Stored nodes of a session's tries."""
    from relayminer.cli.store import looks  # noqa: PLC0415 - quick --help

    look_with(context, lambda store: looks.tries(store, session, limit), as_json=as_json)


@redis.command(epilog="Example: relayminer redis streams --all")
@click.option("--supplier", "suppliers", multiple=True)
@click.option("--all", "everything", is_flag=True, help="Of every known supplier.")
@click.option("--limit", default=LIMIT, show_default=True, help="Newest entries of each.")
@json_option
@click.pass_context
def streams(
    context: click.Context,
    /,
    *,
    suppliers: tuple[str, ...],
    everything: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Relay logs: their length, their readers, their newest entries."""
    from relayminer.cli.store import looks  # noqa: PLC0415 - quick --help

    if bool(suppliers) == everything:
        raise click.UsageError("name a --supplier, or say --all")
    look_with(context, lambda store: looks.streams(store, suppliers, limit), as_json=as_json)


@redis.command(epilog="Example: relayminer redis dedup --session 5f2a...")
@click.option("--session", required=True)
@json_option
@click.pass_context
def dedup(context: click.Context, /, *, session: str, as_json: bool) -> None:
    """The Go fleet's set of counted relays of a session."""
    from relayminer.cli.store import looks  # noqa: PLC0415 - quick --help

    look_with(context, lambda store: looks.dedup(store, session, LIMIT), as_json=as_json)


@redis.command(epilog="Example: relayminer redis leader")
@json_option
@click.pass_context
def leader(context: click.Context, /, *, as_json: bool) -> None:
    """Who leads."""
    from relayminer.cli.store import looks  # noqa: PLC0415 - quick --help

    look_with(context, looks.leader, as_json=as_json)


@redis.command(epilog="Example: relayminer redis supplier --list")
@click.option("--supplier", default="", help="What the registry says of this one.")
@click.option("--list", "everything", is_flag=True, help="What the registry says of all.")
@click.option("--claims", is_flag=True, help="Who mines for whom.  [default]")
@json_option
@click.pass_context
def supplier(
    context: click.Context, /, *, supplier: str, everything: bool, claims: bool, as_json: bool
) -> None:
    """Who mines for whom; what the registry says."""
    from relayminer.cli.store import looks  # noqa: PLC0415 - quick --help

    if claims and (supplier or everything):
        raise click.UsageError("--claims stands alone")
    look_with(
        context,
        lambda store: looks.suppliers(store, supplier, everything=everything),
        as_json=as_json,
    )


@redis.command(epilog="Example: relayminer redis meter --app pokt1...")
@click.option("--session", default="")
@click.option("--app", "application", default="")
@click.option("--service", default="")
@click.option("--all", "everything", is_flag=True, help="Without a filter.  [default]")
@json_option
@click.pass_context
def meter(
    context: click.Context,
    /,
    *,
    session: str,
    application: str,
    service: str,
    everything: bool,
    as_json: bool,
) -> None:
    """Budgets of sessions and what was spent of them."""
    from relayminer.cli.store import looks  # noqa: PLC0415 - quick --help

    if everything and (session or application or service):
        raise click.UsageError("--all stands alone")
    look_with(
        context, lambda store: looks.meters(store, session, application, service), as_json=as_json
    )


@redis.command(epilog="Example: relayminer redis submissions --supplier pokt1... --failed-only")
@click.option("--supplier", default="")
@click.option("--service", default="")
@click.option("--app", "application", default="")
@click.option("--session", "session_id", default="")
@click.option("--session-end", type=int, help="Height at which the session ends.")
@click.option("--failed-only", is_flag=True)
@click.option("--success-only", is_flag=True)
@click.option("--limit", default=50, show_default=True, help="0: all.")
@json_option
@click.pass_context
def submissions(
    context: click.Context,
    /,
    *,
    supplier: str,
    session_end: int | None,
    failed_only: bool,
    success_only: bool,
    limit: int,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Claims and proofs that were sent, the newest session first."""
    from relayminer.cli.store import looks  # noqa: PLC0415 - quick --help

    if failed_only and success_only:
        raise click.UsageError("either --failed-only or --success-only")
    outcome = "failed" if failed_only else "success" if success_only else ""
    if session_end is not None:
        wanted["session_end"] = session_end
    look_with(
        context,
        lambda store: looks.submissions(store, supplier, wanted, outcome, limit),
        as_json=as_json,
    )


@redis.command("keys", epilog="Example: relayminer redis keys --pattern 'ha:smst:*' --stats")
@click.option("--pattern", default="ha:*", show_default=True)
@click.option("--limit", default=100, show_default=True, help="0: all.")
@click.option("--stats", is_flag=True, help="Type and life of each.")
@json_option
@click.pass_context
def list_keys(
    context: click.Context, /, *, pattern: str, limit: int, stats: bool, as_json: bool
) -> None:
    """Keys that fit a pattern, on every server."""
    from relayminer.cli.store import looks  # noqa: PLC0415 - quick --help

    look_with(
        context, lambda store: looks.keys(store, pattern, limit, stats=stats), as_json=as_json
    )
