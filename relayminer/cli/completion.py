"""`relayminer completion`: shell completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(epilog='Example: eval "$(relayminer completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, /, *, shell: str) -> None:
    """Print what makes SHELL complete commands and options.

    In ~/.bashrc or ~/.zshrc as in the example; for fish, write it to
    ~/.config/fish/completions/relayminer.fish.
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    made = found(context.find_root().command, {}, "relayminer", "_RELAYMINER_COMPLETE")
    click.echo(made.source())
