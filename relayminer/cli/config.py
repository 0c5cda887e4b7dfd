"""`relayminer config`: what holds, how it is written, and files of the Go implementation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relayminer.cli.options import json_option, overrides, settings_options

if TYPE_CHECKING:
    from relayminer.config.foreign import Imported
    from relayminer.config.shown import Shown

PRIVATE = 0o600
"""Mode of a file that may hold passwords."""


@click.group(epilog="Example: relayminer config show --config relayminer.yaml")
def config() -> None:
    """Look at a configuration, or bring one over from the Go implementation."""


@config.command(epilog="Example: relayminer config show --config relayminer.yaml --set")
@settings_options
@click.option("--set", "only_set", is_flag=True, help="Leave out what has its default.")
@json_option
def show(*, config: Path | None, only_set: bool, as_json: bool, **flags: Any) -> None:
    """Print every setting that holds, and where it comes from; secrets are masked.

    The command line wins over the environment (RELAYMINER_SECTION__KEY), that over the file.
    """
    from relayminer.config.document import Document, read_document  # noqa: PLC0415 - quick --help
    from relayminer.config.load import DEFAULTS, settle  # noqa: PLC0415
    from relayminer.config.shown import DEFAULT, shown_settings  # noqa: PLC0415

    document = Document(DEFAULTS) if config is None else read_document(config, os.environ)
    loaded = settle(document, config, overrides(**flags), os.environ)
    shown = [
        one
        for one in shown_settings(loaded.settings, loaded.document)
        if not only_set or one.origin != DEFAULT
    ]
    if as_json:
        settings = {one.key: {"value": one.value, "origin": one.origin} for one in shown}
        click.echo(json.dumps({"settings": settings}))
    else:
        _table(shown)


def _table(shown: list[Shown]) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("setting", "value", "from")
    for column in table.columns:
        # Folded, not cut: they are there to be copied.
        column.overflow = "fold"
    for one in shown:
        style = "dim" if one.origin == "default" else None
        table.add_row(escape(one.key), escape(one.value), escape(one.origin), style=style)
    Console(emoji=False).print(table)


@config.command(epilog="Example: relayminer config schema > relayminer.schema.json")
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from relayminer.config.schema import schema as made  # noqa: PLC0415 - quick --help

    click.echo(json.dumps(made(), indent=2))


@config.command(
    "import",
    epilog="Example: relayminer config import --relayer relayer.yaml --miner miner.yaml "
    "--output relayminer.yaml",
)
@click.option(
    "--relayer",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The Go relayer's file.",
)
@click.option(
    "--miner", type=click.Path(dir_okay=False, path_type=Path), help="The Go miner's file."
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write it, readable by you alone; it must not exist.  [default: printed]",
)
def import_(*, relayer: Path | None, miner: Path | None, output: Path | None) -> None:
    """Make one file of ours from those of `pocket-relay-miner`.

    A comment stands where a value means something else here. Both can also be used as they are:
    `relayminer relayer --config FILE`, `relayminer miner --config FILE`.
    """
    paths = {"relayer": relayer, "miner": miner}
    given = {kind: path for kind, path in paths.items() if path is not None}
    if not given:
        raise click.UsageError("name at least one file: --relayer FILE, --miner FILE")
    from relayminer.config.foreign import imported  # noqa: PLC0415 - quick --help
    from relayminer.config.foreign.write import written  # noqa: PLC0415

    found = imported(given)
    text = written(found)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    except FileExistsError:
        raise click.UsageError(f"{output} is there already; choose another name") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    tell_notes(found)
    click.echo(f"wrote {output}; look it over, then: relayminer check --config {output}", err=True)


def tell_notes(found: Imported) -> None:
    """One line for everything that holds otherwise than it did."""
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
