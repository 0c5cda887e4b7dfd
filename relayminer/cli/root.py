"""The table of commands."""

from __future__ import annotations

import click

from relayminer.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "run": LazyCommand(
        "relayminer.cli.run", "run", "Serve relays, mine them, keep the caches: one process."
    ),
    "relayer": LazyCommand(
        "relayminer.cli.foreign", "relayer", "Serve relays, from a file of the Go relayer."
    ),
    "miner": LazyCommand(
        "relayminer.cli.foreign", "miner", "Mine relays, from a file of the Go miner."
    ),
    "config": LazyCommand(
        "relayminer.cli.config", "config", "Show what holds; bring over a Go configuration."
    ),
    "keys": LazyCommand(
        "relayminer.cli.keys", "keys", "List, make, import and check supplier keys."
    ),
    "check": LazyCommand(
        "relayminer.cli.check", "check", "Look at configuration, keys, store, chain and backends."
    ),
    "explain": LazyCommand(
        "relayminer.cli.explain", "explain", "The whole story of one session, and why."
    ),
    "earnings": LazyCommand(
        "relayminer.cli.earnings", "earnings", "What was earned, paid and lost; a forecast."
    ),
    "deadletters": LazyCommand(
        "relayminer.cli.deadletters", "deadletters", "Relays that were refused: list, replay."
    ),
    "ledger": LazyCommand("relayminer.cli.ledger", "ledger", "Export what happened, step by step."),
    "demo": LazyCommand(
        "relayminer.cli.demo", "demo", "Chain, relayer and miner on this machine: uPOKT out."
    ),
    "devnet": LazyCommand(
        "relayminer.cli.devnet", "devnet", "A simulated Shannon chain to try and test against."
    ),
    "relay": LazyCommand(
        "relayminer.cli.relay", "relay", "Send one signed relay and explain each step."
    ),
    "redis": LazyCommand(
        "relayminer.cli.redis", "redis", "Look into the shared state, and repair it."
    ),
    "systemd": LazyCommand("relayminer.cli.systemd", "systemd", "Print a systemd unit."),
    "completion": LazyCommand(
        "relayminer.cli.completion", "completion", "Print what makes your shell complete."
    ),
    "status": LazyCommand(
        "relayminer.cli.status", "status", "Print the chain's height, as cosmovisor asks for it."
    ),
    "version": LazyCommand("relayminer.cli.version", "version", "Print versions."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: relayminer demo",
)
def main() -> None:
    """Serve relays of Pocket Network (Shannon), mine them, get paid.

    Start with `relayminer demo`: it shows everything on this machine, with a simulated chain.
    """
