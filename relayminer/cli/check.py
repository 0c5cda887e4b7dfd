"""`relayminer check`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import click

from relayminer.cli.failures import FAILED, UNUSABLE, problems_json
from relayminer.cli.options import json_option, load_settings, overrides, settings_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from relayminer.cli.checks.findings import Finding

SHOWN_WELL = 20
"""Suppliers and accounts that are well, each with a line of its own."""
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command(epilog="Example: relayminer check --config relayminer.yaml")
@settings_options
@json_option
@click.pass_context
def check(context: click.Context, /, *, config: Path | None, as_json: bool, **flags: Any) -> None:
    """Look at everything that `run` needs, and say what is wrong and what to do about it.

    Reads the configuration and the keys, and reaches out to the store, the chain's nodes, the
    suppliers' stakes and accounts, and every backend in its own protocol; an embedded store is
    started for that, and stopped. Exit code 0: it would work, though there may be warnings.
    1: a check failed. 2: the configuration cannot be used.
    """
    from relayminer.config.errors import ConfigError  # noqa: PLC0415 - quick --help

    if config is None:
        click.echo("no --config given: checking the defaults", err=True)
    try:
        settings = load_settings(config, overrides(**flags))
    except ConfigError as error:
        if not as_json:
            raise
        click.echo(problems_json(error.problems))
        context.exit(UNUSABLE)
    import trio  # noqa: PLC0415

    from relayminer.cli.checks.everything import check_everything  # noqa: PLC0415
    from relayminer.telemetry.logs import set_up_logs  # noqa: PLC0415

    set_up_logs("error", "auto")
    findings = trio.run(check_everything, settings)
    if as_json:
        click.echo(json.dumps({"checks": [finding.as_json() for finding in findings]}))
    else:
        show(findings)
    failed = any(finding.result == "fail" for finding in findings)
    context.exit(FAILED if failed else 0)


def show(findings: Sequence[Finding]) -> None:
    """A table of what was found, and a verdict."""
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(show_lines=False)
    for title in ("check", "", "found", "what to do"):
        # Folded, not cut: addresses and paths are there to be copied.
        table.add_column(title, overflow="fold")
    for finding in shortened(findings):
        style = STYLES[finding.result]
        table.add_row(
            escape(finding.subject),
            f"[{style}]{finding.result}[/]",
            escape(finding.found),
            escape(finding.remedy),
        )
    console = Console()
    console.print(table)
    failures = sum(finding.result == "fail" for finding in findings)
    if failures:
        console.print(f"[bold red]{failures} of {len(findings)} checks failed[/]")
        return
    warnings = sum(finding.result == "warn" for finding in findings)
    told = {0: "", 1: ", with 1 warning"}.get(warnings, f", with {warnings} warnings")
    console.print(f"[green]it would work[/]{told}")


def shortened(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Without most of a fleet's suppliers that are well: nobody reads hundreds of such lines."""
    well = [one for one in findings if one.result == "ok" and one.is_about_one_of_many]
    if len(well) <= SHOWN_WELL:
        return findings
    left_out = set(well[SHOWN_WELL:])
    rest = attrs.evolve(well[0], subject="...", found=f"{len(left_out)} more are well")
    return [*(one for one in findings if one not in left_out), rest]
