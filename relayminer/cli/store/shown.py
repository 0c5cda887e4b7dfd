"""What a look at the store comes to: rows under names, for people or for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen
class Look:
    """Rows of one kind.

    Attributes:
        name: of the list, for programs.
        columns: names of the fields that people see, in order; empty: those of the first row.
        rows: each a record.
        notes: lines below the table.
        more: further tables.
    """

    name: str
    rows: Sequence[dict[str, Any]]
    columns: Sequence[str] = ()
    notes: Sequence[str] = ()
    more: Sequence[Look] = field(factory=tuple)


def show(look: Look, *, as_json: bool) -> None:
    """Print it."""
    if as_json:
        click.echo(json.dumps(_json(look), default=str))
        return
    for one in (look, *look.more):
        _table(one)
        for note in one.notes:
            click.echo(note)


def _json(look: Look) -> dict[str, Any]:
    found: dict[str, Any] = {look.name: list(look.rows)}
    for one in look.more:
        found |= _json(one)
    return found


def _table(look: Look) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    if not look.rows:
        click.echo(f"no {look.name.replace('_', ' ')}")
        return
    columns = look.columns or list(look.rows[0])
    table = Table()
    for name in columns:
        number = isinstance(look.rows[0].get(name), int | float)
        table.add_column(
            name.replace("_", " "), overflow="fold", justify="right" if number else "left"
        )
    for row in look.rows:
        table.add_row(*(escape(_text(row.get(name, ""))) for name in columns))
    Console(emoji=False).print(table)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
