"""Commands that are imported when they are used, so that `relayminer --help` is quick."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from relayminer.cli.failures import explained

if TYPE_CHECKING:
    from collections.abc import Mapping


@frozen
class LazyCommand:
    """Where a command is, and what the list of commands says of it.

    Attributes:
        module: to import.
        attribute: of the module, a click command.
        summary: one line.
    """

    module: str
    attribute: str
    summary: str

    @property
    def is_installed(self) -> bool:
        """Whether the module is there, without importing it."""
        return importlib.util.find_spec(self.module) is not None

    def load(self) -> click.Command:
        """Import the command."""
        command: click.Command = getattr(importlib.import_module(self.module), self.attribute)
        return command


class LazyGroup(click.Group):
    """A group of lazy commands; errors raised on purpose end as a message, not a traceback."""

    def __init__(self, *args: Any, lazy: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = {name: one for name, one in lazy.items() if one.is_installed}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, in the order of the table."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command, imported now."""
        return self._lazy[cmd_name].load() if cmd_name in self._lazy else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name when there is none."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands with their summaries, without importing any."""
        rows = [(name, one.summary) for name, one in self._lazy.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run; what was raised on purpose becomes one message and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except BrokenPipeError:
            # The reader of our output has seen enough.
            sys.stderr.close()
            ctx.exit(1)
        except BaseException as error:  # noqa: BLE001 - raised again unless it is one of ours
            ctx.exit(explained(error))
