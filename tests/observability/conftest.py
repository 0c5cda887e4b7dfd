"""A real node that has served, claimed, proven and been paid, and what it showed meanwhile."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.cli.command import COMMAND, ENVIRONMENT
from tests.e2e.node import Node, running_node, wait_until
from tests.observability.exposition import Exposed, read_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RELAYS = 12
STEPS = 60
"""Blocks at most from a session's first relay to its settlement."""
SETTLED = "ha_miner_claims_settled_by_status_total"


@attrs.frozen
class Watched:
    """The node, and everything that its page of metrics ever had.

    Attributes:
        exposed: of the whole run: samples stay when the process forgets them.
    """

    node: Node
    exposed: Exposed


def send_relays(chain: Path) -> None:
    """Relays to every supplier of the session; one is refused."""
    for extra in ([f"--count={RELAYS}", "--load-test", "--all-suppliers"], ["--service=nothing"]):
        subprocess.run(
            [*COMMAND, "relay", "jsonrpc", "--devnet", str(chain), *extra],
            check=not extra[0].startswith("--service"),
            capture_output=True,
            timeout=120,
            env=ENVIRONMENT,
        )


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One run for all tests: they only look."""
    home = tmp_path_factory.mktemp("watched")
    sections = {"miner": {"require_profit": False, "balance": {"interval_seconds": 1}}}
    with running_node(home, sections=sections) as node:
        send_relays(home / "chain")
        exposed = read_page(node.metrics())
        for _ in range(STEPS):
            node.catch_up(height := node.step(1))

            def driven(height: int = height) -> bool:
                exposed.merge(read_page(node.metrics()))
                return exposed.highest("ha_miner_driven_height") >= height

            wait_until(driven)
            if exposed.highest(SETTLED) > 0:
                break
        yield Watched(node, exposed)
