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

PARTS = ("micro", "trie", "ingest", "relayer", "websocket", "grpc", "streaming", "overload")
CONNECTIONS = (1, 10, 50, 100)


def main() -> None:
    """Measure the parts asked for."""
    arguments = _arguments()
    parts = arguments.only or PARTS
    console = Console()
    # What the store says of itself would only tear the table apart.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    figures: list[Figure] = []
    if "micro" in parts:
        from benchmarks.micro import cache_figures, proof_figures, relay_figures  # noqa: PLC0415

        figures += [*relay_figures(), *proof_figures(), *cache_figures()]
    if "trie" in parts:
        from benchmarks.tries import trie_figures  # noqa: PLC0415 - needs the store

        figures += trie_figures()
    if "ingest" in parts:
        from benchmarks.ingest import ingest_figures  # noqa: PLC0415 - needs the store

        figures += ingest_figures(leaves=arguments.leaves, console=console)
    if "relayer" in parts:
        from benchmarks.relay_path import relay_figures as path_figures  # noqa: PLC0415

        figures += path_figures(
            connections=arguments.connections, seconds=arguments.seconds, console=console
        )
    if "websocket" in parts:
        from benchmarks.websocket import websocket_figures  # noqa: PLC0415 - needs the store

        figures += websocket_figures(seconds=arguments.seconds, console=console)
    if "grpc" in parts:
        from benchmarks.grpc import grpc_figures  # noqa: PLC0415 - needs the store

        figures += grpc_figures(seconds=arguments.seconds, console=console)
    if "streaming" in parts:
        from benchmarks.streaming import streaming_figures  # noqa: PLC0415 - needs the store

        figures += streaming_figures()
    if "overload" in parts:
        from benchmarks.overload import measure  # noqa: PLC0415

        figures += measure(arguments.seconds).figures()
    console.print(table(figures))
    if arguments.json is not None:
        write_json(arguments.json, figures)
        console.print(f"written: {arguments.json}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="parts to measure; default all")
    parser.add_argument(
        "--connections", nargs="+", type=int, default=list(CONNECTIONS), help="load levels"
    )
    parser.add_argument(
        "--leaves", type=int, default=1_000_000, help="relays that the ingest part ends with"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="measured time of each level")
    return parser.parse_args()


if __name__ == "__main__":
    main()
