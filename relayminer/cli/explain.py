"""`relayminer explain`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from relayminer.cli.options import json_option, load_settings, overrides, settings_options

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.config.settings import Settings
    from relayminer.story.explain import Story


@click.command(
    epilog=(
        "Example: relayminer explain 5b1c --config relayminer.yaml\n\n"
        "Example: relayminer explain pokt1... --height 120"
    )
)
@click.argument("session", metavar="SESSION|SUPPLIER")
@settings_options
@click.option("--height", type=click.IntRange(min=1), help="A block of it: SUPPLIER is given.")
@click.option("--supplier", default="", help="Whose, when several suppliers have the session.")
@json_option
def explain(
    *,
    session: str,
    config: Path | None,
    height: int | None,
    supplier: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """The whole story of a session: relays, root, claim, proof, windows, money, and why.

    SESSION is a session's id or the beginning of one. Several sessions can fit: all are told.
    """
    import trio  # noqa: PLC0415 - quick --help

    from relayminer.cli.story_text import story_lines  # noqa: PLC0415

    settings = load_settings(config, overrides(**flags))
    stories = trio.run(_stories, settings, session, height, supplier)
    if as_json:
        click.echo(json.dumps({"sessions": [story.as_json() for story in stories]}))
        return
    for number, story in enumerate(stories):
        if number:
            click.echo()
        for line in story_lines(story):
            click.echo(line)


async def _stories(
    settings: Settings, session: str, height: int | None, supplier: str
) -> list[Story]:
    from relayminer.cli.reading import reading  # noqa: PLC0415 - quick --help
    from relayminer.story.explain import Teller  # noqa: PLC0415

    async with reading(settings) as store:
        teller = Teller(store.redis, store.names, store.prices)
        found = await teller.find(session, height, supplier=supplier)
        return [await teller.tell(account) for account in found]
