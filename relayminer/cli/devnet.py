"""`relayminer devnet`: a simulated chain, its RPC and gRPC, and a demo backend."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from relayminer.cli.options import DEVNET_HOME, devnet_home
from relayminer.devnet.backend import BackendFaults
from relayminer.devnet.backend_server import BackendOptions, RunningBackend, run_backend
from relayminer.devnet.chain import GenesisError
from relayminer.devnet.describe import describe
from relayminer.devnet.info import supplier_keys
from relayminer.devnet.options import DevnetOptions
from relayminer.devnet.server import Devnet, make_chain, run_devnet

if TYPE_CHECKING:
    from relayminer.devnet.info import DevnetInfo

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


def seconds(_context: click.Context, _parameter: click.Parameter, text: str) -> float:
    """The time that `500ms`, `2s`, `1m` or a bare number of seconds spells, in seconds."""
    match = _DURATION.fullmatch(text)
    if match is None or float(match[1]) <= 0:
        raise click.BadParameter(f"{text!r} is not a time: write 500ms, 2s or 1m")
    return float(match[1]) * _SECONDS[match[2]]


@click.group(
    invoke_without_command=True,
    epilog="Example: relayminer devnet --block-time 500ms --suppliers 5 --with-backend",
)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=devnet_home,
    help="Directory for devnet.json (URLs and keys) and the supplier keys.  "
    f"[default: {DEVNET_HOME}]",
)
@click.option("--block-time", callback=seconds, default="1s", show_default=True)
@click.option("--stepped", is_flag=True, help="Make blocks by POST /control/step only.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--rpc-port", default=26657, show_default=True, help="CometBFT RPC; 0: any free.")
@click.option("--grpc-port", default=19090, show_default=True)
@click.option("--control-port", default=26680, show_default=True)
@click.option("--with-backend", is_flag=True, help="Serve the demo backend too.")
@click.option("--backend-port", default=8545, show_default=True)
@click.option(
    "--backend-grpc-port", type=int, help="Default 50051, or any free one if the other is 0."
)
@click.option(
    "--genesis",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Start from this document instead of making a genesis.",
)
@click.option("--services", default=2, show_default=True, type=click.IntRange(1))
@click.option("--suppliers", default=3, show_default=True, type=click.IntRange(1))
@click.option("--applications", default=2, show_default=True, type=click.IntRange(1))
@click.option("--gateways", default=1, show_default=True, type=click.IntRange(0))
@click.option("--seed", default=0, show_default=True, help="Of keys; equal seeds, equal chains.")
@click.option(
    "--relayer-url",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="The endpoint that the suppliers stake.",
)
@click.pass_context
def devnet(
    context: click.Context, /, block_time: float, *, stepped: bool, **options: object
) -> None:
    """Run a simulated Shannon chain for trying and testing relayers and miners."""
    if context.invoked_subcommand is not None:
        return
    pace = None if stepped else block_time
    trio.run(_run, DevnetOptions(block_time_seconds=pace, **options))  # type: ignore[arg-type]  # click checks types


async def _run(options: DevnetOptions) -> None:
    """Run until a signal comes; a devnet that cannot start is a message, not a traceback."""
    refusal: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            running: Devnet = await nursery.start(run_devnet, options)
        except (OSError, GenesisError) as error:
            refusal = error
        else:
            _print(running.info)
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                await anext(signals)
            nursery.cancel_scope.cancel()
    if refusal is not None:
        raise click.ClickException(f"the devnet cannot start: {refusal}") from refusal


def _print(info: DevnetInfo) -> None:
    click.echo(f"chain     {info.chain_id}, {pace_text(info.block_time_seconds)}")
    click.echo(f"rpc       {info.rpc_url}")
    click.echo(f"grpc      {info.grpc_url}")
    click.echo(f"control   {info.control_url}/control/status")
    if info.backend_url:
        click.echo(f"backend   {info.backend_url}, gRPC {info.backend_grpc}")
    click.echo(f"suppliers {len(info.suppliers)}, keys in {info.supplier_keys_file}")


def pace_text(block_time_seconds: float | None) -> str:
    """How the chain's blocks come, in words."""
    if block_time_seconds is None:
        return "blocks by POST /control/step"
    return f"a block every {block_time_seconds:g} s"


@devnet.command(epilog="Example: relayminer devnet keys --seed 1 --suppliers 4")
@click.option("--seed", default=0, show_default=True, help="As for the devnet.")
@click.option("--suppliers", default=3, show_default=True, type=click.IntRange(min=1))
def keys(*, seed: int, suppliers: int) -> None:
    """Print the supplier keys that a devnet of this seed makes: for trying things out only."""
    options = DevnetOptions(home=Path(), seed=seed, suppliers=suppliers)
    chain = make_chain(options)
    info = describe(options, chain, rpc_url="", grpc_url="", control_url="", backend_url="")
    click.echo(supplier_keys(info.suppliers), nl=False)


@devnet.command(
    epilog="Example: relayminer devnet backend --port 18545 --error-rate 0.1 --delay 50ms"
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8545, show_default=True, help="HTTP, WebSocket, SSE, lines.")
@click.option("--grpc-port", default=50051, show_default=True, help="gRPC in cleartext.")
@click.option("--metrics-port", default=9095, show_default=True)
@click.option("--backend-id", default="backend", envvar="BACKEND_ID", help="Told in answers.")
@click.option(
    "--push",
    "push_seconds",
    callback=seconds,
    default="1s",
    show_default=True,
    help="From one push of a subscription to the next.",
)
@click.option(
    "--error-rate", default=0.0, type=click.FloatRange(0.0, 1.0), help="Share of failed requests."
)
@click.option("--error-code", default=500, show_default=True, type=click.IntRange(100, 599))
@click.option(
    "--error-codes", multiple=True, type=click.IntRange(100, 599), help="One of these by chance."
)
@click.option("--delay", default="0s", show_default=True, help="Before every answer: 50ms, 2s.")
@click.option(
    "--broken-compression", is_flag=True, help="Gzip for who accepts it, without saying so."
)
@click.option("--filler-bytes", default=0, type=click.IntRange(0), help="More in every result.")
@click.option(
    "--seed", default=0, show_default=True, help="Of the dice that faults are thrown with."
)
def backend(
    push_seconds: float,
    error_rate: float,
    error_code: int,
    error_codes: tuple[int, ...],
    delay: str,
    broken_compression: bool,
    filler_bytes: int,
    **options: object,
) -> None:
    """Run the demo backend alone: JSON-RPC, REST, CometBFT, WebSocket, SSE, lines and gRPC."""
    found = _DURATION.fullmatch(delay)
    if found is None:
        raise click.BadParameter(f"{delay!r} is not a time", param_hint="--delay")
    faults = BackendFaults(
        error_rate=error_rate,
        error_status=error_code,
        error_statuses=error_codes,
        delay_seconds=float(found[1]) * _SECONDS[found[2]],
        broken_compression=broken_compression,
        filler_bytes=filler_bytes,
    )
    trio.run(_run_backend, BackendOptions(faults=faults, push_seconds=push_seconds, **options))  # type: ignore[arg-type]  # click checks types


async def _run_backend(options: BackendOptions) -> None:
    async with trio.open_nursery() as nursery:
        running: RunningBackend = await nursery.start(run_backend, options)
        click.echo(f"backend   {running.url}, WebSocket too; {running.url}/stream/sse, /ndjson")
        click.echo(f"grpc      {running.grpc}")
        click.echo(f"metrics   {running.metrics_url}")
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            await anext(signals)
        nursery.cancel_scope.cancel()
