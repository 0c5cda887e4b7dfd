"""`relayminer relay jsonrpc`: one signed relay, every step explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relayminer.cli.failures import FAILED

if TYPE_CHECKING:
    from relayminer.cli.relay_steps import Outcome

MARKS = {True: "ok  ", False: "FAIL"}


@click.group(epilog="Example: relayminer relay jsonrpc --service svc1")
def relay() -> None:
    """Send one signed relay and explain each step."""


@relay.command(
    epilog=(
        "Example, against a devnet: relayminer relay jsonrpc --service svc1\n\n"
        "Example, against a chain: relayminer relay jsonrpc --service eth --node host:9090"
        " --application pokt1... --keys-file keys.yaml"
    )
)
@click.option("--service", default="", help="Service id; a devnet's first one if left out.")
@click.option(
    "--devnet",
    "devnet_home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path.home() / ".relayminer" / "devnet",
    show_default=True,
    help="Home of a devnet that runs: node, application and keys are taken from there.",
)
@click.option("--node", default="", help="gRPC host:port of a chain's node, instead of a devnet.")
@click.option("--application", default="", help="Address of the application that pays.")
@click.option(
    "--keys-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML with `applications: [hex]` and, if a gateway signs, `gateways: [hex]`.",
)
@click.option("--supplier", default="", help="Whom to ask; the session's first if left out.")
@click.option("--url", default="", help="The relayer, instead of the supplier's staked endpoint.")
@click.option("--method", default="eth_blockNumber", show_default=True, help="JSON-RPC method.")
@click.option("--params", default="[]", show_default=True, help="JSON-RPC params, as JSON.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds for the answer.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.pass_context
def jsonrpc(context: click.Context, /, *, as_json: bool, params: str, **options: object) -> None:
    """Send one ring-signed JSON-RPC relay and check everything about its answer.

    Exit code 0 if it was answered and every check passed.
    """
    try:
        parsed = json.loads(params)
    except ValueError:
        raise click.BadParameter("not JSON", param_hint="--params") from None
    import trio  # noqa: PLC0415 - quick --help

    from relayminer.cli.relay_steps import RelayOptions, send_one  # noqa: PLC0415

    outcome = trio.run(send_one, RelayOptions(params=parsed, **options))  # type: ignore[arg-type]  # click checks types
    if as_json:
        click.echo(json.dumps(outcome.as_json()))
    else:
        _show(outcome)
    context.exit(0 if outcome.ok else FAILED)


def _show(outcome: Outcome) -> None:
    for number, step in enumerate(outcome.steps, 1):
        click.echo(f"{number}. [{MARKS[step.ok]}] {step.title}")
        for line in step.details:
            click.echo(f"           {line}")
    if outcome.ok:
        click.echo(f"\nanswered in {outcome.latency_seconds * 1000:.1f} ms: {outcome.body}")
    else:
        click.echo(f"\nfailed: {outcome.error}", err=True)
