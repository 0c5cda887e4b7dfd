"""The table of the Go implementation's commands: all of them, and ours as `--help` tells them."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from relayminer.cli import main
from tests.vector_data import REPOSITORY

_CACHE = "--type --key --list --invalidate --all --key-file --dry-run --yes"
_SUBMISSIONS = (
    "--supplier --service --app --session --session-end --failed-only --success-only --json --limit"
)
_RELAY = (
    "--localnet --app-priv-key --gateway-priv-key --keyring-backend --keyring-dir --app-key "
    "--gateway-key --keys-file --service --node --grpc-tls --node-rpc --chain-id --relayer-url "
    "--supplier --all-suppliers -n --count --load-test --concurrency --rps --payload "
    "--output-json --timeout --verbose --simulate --sim-key-id --sim-app-pubkey "
    "--sim-gateway-pubkeys"
)
# Subcommand of `pocket-relay-miner` -> its flags; all modes of `relay` share theirs.
THERE = {
    "relayer": "--config --redis-url",
    "relayer validate": "--config --check-stake --node",
    "miner": "--config --keys-file --keys-dir --keyring-backend --keyring-dir --redis-url "
    "--consumer-name --hot-reload --session-ttl",
    "miner validate": "--config",
    "relay jsonrpc": _RELAY,
    "relay websocket": "",
    "relay grpc": "",
    "relay stream": "--batches",
    "relay cometbft": "",
    "redis": "--redis --config",
    "redis sessions": "--supplier --session --state --json",
    "redis smst": "--session --limit",
    "redis streams": "--supplier --all --limit",
    "redis dedup": "--session",
    "redis leader": "",
    "redis cache": _CACHE,
    "redis supplier": "--supplier --list --claims",
    "redis meter": "--session --app --service --all",
    "redis pubsub": "--channel --duration",
    "redis keys": "--pattern --limit --stats",
    "redis flush": "--pattern --all --force",
    "redis submissions": _SUBMISSIONS,
    "version": "",
}


def rows(columns: int) -> list[list[str]]:
    """Rows of the page's tables that have so many columns, without headings and code marks."""
    text = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
    found = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    return [row for row in found if len(row) == columns]


COMMANDS = rows(3)
FLAGS = rows(4)


def test_every_command_and_flag_has_a_row() -> None:
    """What is there has one row, and no row is of what is not there."""
    groups = {"redis"}
    assert sorted(row[0] for row in COMMANDS) == sorted(THERE.keys() - groups)
    there = [(command, flag) for command, flags in THERE.items() for flag in flags.split()]
    assert sorted((row[0], row[1]) for row in FLAGS) == sorted(there)


@pytest.mark.parametrize("row", COMMANDS, ids=[row[0] for row in COMMANDS])
def test_our_commands_are_there(row: list[str]) -> None:
    """Each answers to `--help` with an example."""
    assert "Example" in help_of(row[1])


@pytest.mark.parametrize("row", FLAGS, ids=[f"{row[0]} {row[1]}" for row in FLAGS])
def test_our_flags_are_in_their_help(row: list[str]) -> None:
    """A row has a flag of ours that the command's `--help` shows, or a reason why there is none."""
    command, _, ours, remark = row
    if ours == "none":
        assert remark
        return
    assert ours in options_of(command)
    assert re.search(rf"(?<![\w-]){re.escape(ours)}(?![\w-])", help_of(command))


@pytest.mark.parametrize("mode", ["websocket", "grpc", "stream", "cometbft", "rest"])
def test_all_modes_of_relay_take_the_same(mode: str) -> None:
    """The table names them once."""
    assert options_of(f"relay {mode}") == options_of("relay jsonrpc")


def test_what_only_we_have_is_named() -> None:
    """The page's last words name every command that is in no row."""
    text = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
    only = set(re.findall(r"`(\w+)`", text.partition("Only here:")[2]))
    rows_of = {row[1].split()[0] for row in COMMANDS}
    assert only == set(main.list_commands(click.Context(main))) - rows_of


def help_of(command: str) -> str:
    """What `--help` prints."""
    done = CliRunner().invoke(main, [*command.split(), "--help"])
    assert done.exit_code == 0, done.output
    return done.output


def options_of(command: str) -> set[str]:
    """Every spelling of every option, hidden ones too."""
    found: click.Command = main
    for word in command.split():
        assert isinstance(found, click.Group)
        one = found.get_command(click.Context(found), word)
        assert one is not None, f"no command {command}"
        found = one
    return {spelling for parameter in found.params for spelling in parameter.opts}
