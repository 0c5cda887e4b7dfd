"""`python -m benchmarks [--json FILE] [--only PART ...]`: measure, print a table, write JSON."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from rich.console import Console

from benchmarks.figures import table, write_json

if TYPE_CHECKING:
    from benchmarks.figures import Figure

CONNECTIONS = (1, 10, 50, 100)


# Each part imports what it needs, so that one alone does not wait for the others.
def _micro(_arguments: argparse.Namespace, _console: Console) -> list[Figure]:
    from benchmarks.micro import proof_figures, relay_figures  # noqa: PLC0415

    return [*relay_figures(), *proof_figures()]


def _caches(_arguments: argparse.Namespace, _console: Console) -> list[Figure]:
    from benchmarks.caches import cache_figures  # noqa: PLC0415

    return cache_figures()


def _trie(_arguments: argparse.Namespace, _console: Console) -> list[Figure]:
    from benchmarks.tries import trie_figures  # noqa: PLC0415

    return trie_figures()


def _ingest(arguments: argparse.Namespace, console: Console) -> list[Figure]:
    from benchmarks.ingest import ingest_figures  # noqa: PLC0415

    return ingest_figures(leaves=arguments.leaves, console=console)


def _relayer(arguments: argparse.Namespace, console: Console) -> list[Figure]:
    from benchmarks.relay_path import relay_figures  # noqa: PLC0415

    return relay_figures(
        connections=arguments.connections, seconds=arguments.seconds, console=console
    )


def _websocket(arguments: argparse.Namespace, console: Console) -> list[Figure]:
    from benchmarks.websocket import websocket_figures  # noqa: PLC0415

    return websocket_figures(seconds=arguments.seconds, console=console)


def _grpc(arguments: argparse.Namespace, console: Console) -> list[Figure]:
    from benchmarks.grpc import grpc_figures  # noqa: PLC0415

    return grpc_figures(seconds=arguments.seconds, console=console)


def _streaming(_arguments: argparse.Namespace, _console: Console) -> list[Figure]:
    from benchmarks.streaming import streaming_figures  # noqa: PLC0415

    return streaming_figures()


def _overload(arguments: argparse.Namespace, _console: Console) -> list[Figure]:
    from benchmarks.overload import measure  # noqa: PLC0415

    return measure(arguments.seconds).figures()


def _tester(arguments: argparse.Namespace, console: Console) -> list[Figure]:
    from benchmarks.load_tester import load_tester_figures  # noqa: PLC0415

    return load_tester_figures(seconds=arguments.seconds, console=console)


def _takeover(arguments: argparse.Namespace, console: Console) -> list[Figure]:
    from benchmarks.takeover import takeover_figures  # noqa: PLC0415

    return takeover_figures(tries=arguments.tries, console=console)


def _scale(arguments: argparse.Namespace, console: Console) -> list[Figure]:
    from benchmarks.scale import Scale, scale_figures  # noqa: PLC0415 - needs the store

    suppliers = arguments.suppliers
    scale = Scale(suppliers, max(1, suppliers // 10), 1.0 if suppliers < 200 else 5.0)  # noqa: PLR2004 - time to sign
    return scale_figures(scale, console)


PARTS = {
    "micro": _micro,
    "caches": _caches,
    "trie": _trie,
    "ingest": _ingest,
    "scale": _scale,
    "relayer": _relayer,
    "websocket": _websocket,
    "grpc": _grpc,
    "streaming": _streaming,
    "overload": _overload,
    "takeover": _takeover,
    "tester": _tester,
}


def main() -> None:
    """Measure the parts asked for."""
    arguments = _arguments()
    console = Console()
    # What the store says of itself would only tear the table apart.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    figures: list[Figure] = []
    for name, measure in PARTS.items():
        if name in (arguments.only or PARTS):
            figures += measure(arguments, console)
    console.print(table(figures))
    if arguments.json is not None:
        write_json(arguments.json, figures)
        console.print(f"written: {arguments.json}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--only",
        nargs="+",
        action="extend",
        choices=PARTS,
        help="parts to measure; default all",
    )
    parser.add_argument(
        "--suppliers", type=int, default=60, help="of the scale part; 600 is what is asked for"
    )
    parser.add_argument(
        "--connections", nargs="+", type=int, default=list(CONNECTIONS), help="load levels"
    )
    parser.add_argument(
        "--leaves", type=int, default=1_000_000, help="relays that the ingest part ends with"
    )
    parser.add_argument("--tries", type=int, default=20, help="kills of each kind of takeover")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured time of each level")
    return parser.parse_args()


if __name__ == "__main__":
    main()
