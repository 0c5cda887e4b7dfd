"""`relayminer devnet`: a simulated chain, its RPC and gRPC, and a demo backend."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from relayminer.devnet.chain import GenesisError
from relayminer.devnet.options import DevnetOptions
from relayminer.devnet.server import Devnet, run_devnet

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


@click.command(epilog="Example: relayminer devnet --block-time 500ms --suppliers 5 --with-backend")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path.home() / ".relayminer" / "devnet",
    show_default=True,
    help="Directory for devnet.json (URLs and keys) and the supplier keys.",
)
@click.option("--block-time", callback=seconds, default="1s", show_default=True)
@click.option("--stepped", is_flag=True, help="Make blocks by POST /control/step only.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--rpc-port", default=26657, show_default=True, help="CometBFT RPC; 0: any free.")
@click.option("--grpc-port", default=19090, show_default=True)
@click.option("--control-port", default=26680, show_default=True)
@click.option("--with-backend", is_flag=True, help="Serve the demo JSON-RPC backend too.")
@click.option("--backend-port", default=8545, show_default=True)
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
def devnet(block_time: float, *, stepped: bool, **options: object) -> None:
    """Run a simulated Shannon chain for trying and testing relayers and miners."""
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
        click.echo(f"backend   {info.backend_url}")
    click.echo(f"suppliers {len(info.suppliers)}, keys in {info.supplier_keys_file}")


def pace_text(block_time_seconds: float | None) -> str:
    """How the chain's blocks come, in words."""
    if block_time_seconds is None:
        return "blocks by POST /control/step"
    return f"a block every {block_time_seconds:g} s"
