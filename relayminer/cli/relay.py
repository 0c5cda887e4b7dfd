"""`relayminer relay MODE`: one signed relay with every step explained, or a load test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relayminer.cli.failures import FAILED
from relayminer.cli.options import DEVNET_HOME, devnet_home

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.cli.relay_options import RelayOptions
    from relayminer.cli.relay_steps import Outcome

MARKS = {True: "ok  ", False: "FAIL"}
_PERCENT = 100.0

OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--service", default="", help="Service id; a devnet's first one if left out."),
    click.option(
        "--devnet",
        "devnet_home",
        type=click.Path(file_okay=False, path_type=Path),
        default=devnet_home,
        help="Home of a devnet that runs: node, application and keys are taken from there.  "
        f"[default: {DEVNET_HOME}]",
    ),
    click.option("--localnet", is_flag=True, help="Keys and addresses of Tilt's local network."),
    click.option("--node", default="", help="gRPC host:port of a chain's node, not a devnet."),
    click.option("--grpc-tls", is_flag=True, help="Speak TLS to the node."),
    click.option("--node-rpc", default="", help="Understood; --node is enough."),
    click.option("--chain-id", default="", help="Understood; not needed."),
    click.option("--verbose", is_flag=True, help="Understood; every step is printed anyway."),
    click.option("--application", default="", help="Address of the application that pays."),
    click.option(
        "--keys-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="YAML with `applications: [hex]` and, if a gateway signs, `gateways: [hex]`.",
    ),
    click.option(
        "--app-priv-key",
        default="",
        envvar="RELAYMINER_APP_PRIV_KEY",
        help="64 hex digits; better from $RELAYMINER_APP_PRIV_KEY, which `ps` does not show.",
    ),
    click.option(
        "--gateway-priv-key",
        default="",
        envvar="RELAYMINER_GATEWAY_PRIV_KEY",
        help="The same; $RELAYMINER_GATEWAY_PRIV_KEY.",
    ),
    click.option("--keyring-backend", default="", help="test, file, os or pass: keys by name."),
    click.option("--keyring-dir", type=click.Path(file_okay=False, path_type=Path)),
    click.option("--app-key", default="", help="Name in the keyring."),
    click.option("--gateway-key", default="", help="Name in the keyring."),
    click.option("--supplier", default="", help="Whom to ask; the session's first if left out."),
    click.option("--all-suppliers", is_flag=True, help="Load test: all of the session in turn."),
    click.option(
        "--relayer-url",
        "--url",
        "url",
        default="",
        help="The relayer, instead of the supplier's staked endpoint.",
    ),
    click.option("--method", default="", help="JSON-RPC method; default by mode."),
    click.option("--params", default="[]", show_default=True, help="JSON-RPC params, as JSON."),
    click.option("--payload", default="", help="The request's body, instead of the default."),
    click.option("--http-method", default="GET", show_default=True, help="Of rest."),
    click.option("--path", default="", help="Of rest, by default /health; of stream, /."),
    click.option(
        "--batches",
        default=0,
        type=click.IntRange(0),
        help="stream: how many to ask for; 0: until the end or --timeout.",
    ),
    click.option(
        "--timeout",
        default=30.0,
        show_default=True,
        type=click.FloatRange(0.001, 3600.0),
        help="Seconds for an answer, or for reading a stream.",
    ),
    click.option("--load-test", is_flag=True, help="Many relays, and a report."),
    click.option(
        "-n", "--count", default=1, type=click.IntRange(1, 1_000_000), help="Relays in all."
    ),
    click.option(
        "--concurrency",
        default=10,
        show_default=True,
        type=click.IntRange(1, 1000),
        help="Relays in flight.",
    ),
    click.option(
        "--rps",
        default=0.0,
        type=click.FloatRange(0.0, 10_000.0),
        help="Relays a second, due whether or not earlier ones were answered; 0: no limit.",
    ),
    click.option(
        "--min-success",
        default=100.0,
        show_default=True,
        type=click.FloatRange(0.0, _PERCENT),
        help="Percent of good relays below which the exit code is 1.",
    ),
    click.option("--simulate", is_flag=True, help="A simulated relay: no chain, no money."),
    click.option("--sim-key-id", default="", help="The identity that the relayer has pinned."),
    click.option("--sim-app-pubkey", default="", help="Hex; by default the application key's."),
    click.option(
        "--sim-gateway-pubkeys",
        default="",
        help="Hex, separated by commas; by default the gateway key's.",
    ),
    click.option(
        "--json", "--output-json", "as_json", is_flag=True, help="One JSON object, for programs."
    ),
)


@click.group(
    epilog=(
        "Example: relayminer relay jsonrpc --service svc1\n\n"
        "Example: relayminer relay jsonrpc --load-test -n 10000 --rps 500 --all-suppliers"
    )
)
def relay() -> None:
    """Send one signed relay and explain each step, or many and measure them."""


def _command(mode: str, summary: str) -> None:
    def run(**options: Any) -> None:
        _run(mode, options)

    run.__doc__ = f"{summary}\n\nExit code 0 if it was answered and every check passed."
    command: Any = run
    for option in reversed(OPTIONS):
        command = option(command)
    epilog = (
        f"Example, against a devnet: relayminer relay {mode} --service svc1\n\n"
        f"Example, against a chain: relayminer relay {mode} --service eth --node host:9090"
        " --application pokt1... --keys-file keys.yaml"
    )
    relay.command(mode, epilog=epilog)(command)


_command("jsonrpc", "Send ring-signed JSON-RPC relays and check everything about the answers.")
_command("rest", "The same for a REST call.")
_command("cometbft", "The same for a CometBFT node's JSON-RPC.")
_command("websocket", "The same over a WebSocket conversation.")
_command("grpc", "The same over gRPC, with a gRPC call inside.")
_command("stream", "Ask for a stream and check each of its signed batches.")


def _run(mode: str, words: dict[str, Any]) -> None:
    from relayminer.keys.hardening import protect_process  # noqa: PLC0415 - quick --help

    # It holds keys of applications and gateways.
    protect_process()
    as_json = words.pop("as_json")
    for name in ("node_rpc", "chain_id", "verbose"):
        words.pop(name)
    try:
        params = json.loads(words.pop("params"))
    except ValueError:
        raise click.BadParameter("not JSON", param_hint="--params") from None
    pubkeys = words.pop("sim_gateway_pubkeys")
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    explicit = frozenset(
        name for name in words if context.get_parameter_source(name) is not default
    )
    import trio  # noqa: PLC0415 - quick --help

    from relayminer.cli.relay_options import RelayOptions, check_options  # noqa: PLC0415

    options = RelayOptions(
        mode=mode,
        params=params,
        sim_gateway_pubkeys=tuple(part for part in pubkeys.split(",") if part),
        **words,
    )
    check_options(options, explicit=explicit)
    if options.load_test:
        context.exit(_load(options, as_json=as_json))
    from relayminer.cli.relay_steps import send_one  # noqa: PLC0415

    outcome = trio.run(send_one, options)
    if as_json:
        click.echo(json.dumps(outcome.as_json()))
    else:
        _show(outcome)
    context.exit(0 if outcome.ok else FAILED)


def _load(options: RelayOptions, *, as_json: bool) -> int:
    """Run a load test, print its report; the exit code."""
    import trio  # noqa: PLC0415 - quick --help
    from rich.console import Console  # noqa: PLC0415

    from relayminer.cli.relay_load import load  # noqa: PLC0415
    from relayminer.cli.relay_report import as_json as report_json  # noqa: PLC0415
    from relayminer.cli.relay_report import report  # noqa: PLC0415

    results = trio.run(load, options)
    if as_json:
        click.echo(json.dumps(report_json(results)))
    else:
        Console().print(report(results))
    return 0 if results.success_percent >= options.min_success else FAILED


def _show(outcome: Outcome) -> None:
    for number, step in enumerate(outcome.steps, 1):
        click.echo(f"{number}. [{MARKS[step.ok]}] {step.title}")
        for line in step.details:
            click.echo(f"           {line}")
    if outcome.ok:
        click.echo(f"\nanswered in {outcome.latency_seconds * 1000:.1f} ms: {outcome.body}")
    else:
        click.echo(f"\nfailed: {outcome.error}", err=True)
