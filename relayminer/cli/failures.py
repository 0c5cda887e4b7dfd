"""Expected failures, told to people: one message, what to do, an exit code, no traceback."""

from __future__ import annotations

import errno
import json
import sys
from typing import TYPE_CHECKING

import click

from relayminer.config.errors import ConfigError
from relayminer.errors import RelayMinerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relayminer.config.errors import Problem

FAILED = 1
"""Exit code: it did not work."""
UNUSABLE = 2
"""Exit code: the command line or the configuration cannot be used."""

LISTEN_HINT = (
    "does another process listen at relayer.listen or control.listen?"
    " `relayminer check --config FILE` says which one"
)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors of a group, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def explained(error: BaseException) -> int:
    """Print an error that was raised on purpose and return the exit code; raise any other again."""
    errors = list(leaves(error))
    if any(isinstance(one, KeyboardInterrupt) for one in errors):
        raise click.Abort
    if not all(isinstance(one, RelayMinerError) or system_failure(one) for one in errors):
        raise error
    code = FAILED
    for one in errors:
        if isinstance(one, ConfigError):
            show_problems(one.problems)
            code = UNUSABLE
        else:
            click.echo(f"Error: {system_failure(one) or one}", err=True)
    return code


def system_failure(error: BaseException) -> str:
    """What to say of an address or a file that the system does not give us; empty for others."""
    if not isinstance(error, OSError):
        return ""
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if error.errno in {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}:
        return f"cannot listen: {error.strerror}: {LISTEN_HINT}"
    return ""


def show_problems(problems: Sequence[Problem]) -> None:
    """Problems of a configuration: a table on a terminal, a line each elsewhere."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    click.echo(f"Error: the configuration has {count}", err=True)
    if not sys.stderr.isatty():
        for problem in problems:
            click.echo(f"  {problem}", err=True)
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only for terminals
    from rich.table import Table  # noqa: PLC0415

    table = Table("where", "setting", "value", "why not", "what to do")
    for problem in problems:
        place = (problem.place, problem.key, problem.value, problem.reason, problem.fix)
        table.add_row(*(text.replace("[", "\\[") for text in place))
    Console(stderr=True).print(table)


def problems_json(problems: Sequence[Problem]) -> str:
    """Problems for programs."""
    names = ("source", "line", "key", "value", "reason", "fix")
    return json.dumps(
        {"problems": [{name: getattr(one, name) for name in names} for one in problems]}
    )
