"""The command line as a person meets it."""

from __future__ import annotations

import ast
import errno
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from relayminer.cli.failures import explained, leaves
from relayminer.cli.lazy import LazyCommand, LazyGroup
from relayminer.cli.root import COMMANDS
from relayminer.errors import RelayMinerError
from tests.cli.command import ENVIRONMENT, relayminer
from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

NAMES = sorted(COMMANDS)


def test_help_names_every_command_and_imports_none() -> None:
    """`--help` is quick because it brings in nothing of the service."""
    ended = relayminer("--help")
    assert ended.code == 0
    assert all(name in ended.out for name in NAMES)
    program = (
        "import sys; from relayminer.cli import main; main(['--help'], standalone_mode=False);"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in"
        " {'trio', 'grpc', 'rich', 'google', 'coincurve', 'redis'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    assert ast.literal_eval(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(
    "name",
    [*NAMES, *(f"relay {mode}" for mode in ("jsonrpc", "rest", "websocket", "grpc", "stream"))],
)
def test_help_of_every_command_shows_an_example(name: str) -> None:
    """Every command can be learned from its help."""
    ended = relayminer(*name.split(), "--help")
    assert ended.code == 0
    assert "Usage:" in ended.out
    assert f"relayminer {name.split(maxsplit=1)[0]}" in ended.out.partition("Example")[2], ended.out


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    """The command line is as helpful as the configuration."""
    ended = relayminer("chek")
    assert ended.code == 2
    assert "Did you mean 'check'?" in ended.err
    assert "Did you mean" not in relayminer("xyzzy").err


def test_a_command_whose_module_is_missing_is_not_offered() -> None:
    """What is not installed is not in the list, and cannot be hit."""
    commands = {
        "there": LazyCommand("relayminer.cli.version", "version", "there"),
        "gone": LazyCommand("relayminer.cli.nothing", "nothing", "gone"),
    }
    group = LazyGroup("x", lazy=commands)
    context = click.Context(group)
    assert group.list_commands(context) == ["there"]
    assert group.get_command(context, "gone") is None


def test_run_without_a_configuration_says_what_to_do() -> None:
    """The first thing that a newcomer types leads on."""
    ended = relayminer("run")
    assert ended.code == 2
    for hint in ("relayminer demo", "config/relayminer.example.yaml", "relayminer check"):
        assert hint in ended.err
    assert (REPOSITORY / "config" / "relayminer.example.yaml").is_file()


@pytest.mark.parametrize("command", ["run", "check"])
def test_mistakes_in_a_configuration_are_told_a_line_each(tmp_path: Path, command: str) -> None:
    """Exit code 2, and every problem with its place."""
    path = tmp_path / "bad.yaml"
    path.write_text("redis: {ulr: x}\nrelayer: {listen: 80}\n", encoding="utf-8")
    ended = relayminer(command, "--config", str(path))
    assert ended.code == 2
    assert "2 problems" in ended.err
    assert f"{path}:1: redis.ulr: unknown setting; did you mean `url`?" in ended.err
    assert f"{path}:2: relayer.listen = 80" in ended.err


def test_problems_are_told_to_programs_as_json(tmp_path: Path) -> None:
    """`check --json` answers in JSON whatever happens."""
    path = tmp_path / "bad.yaml"
    path.write_text("redis: {ulr: x}\n", encoding="utf-8")
    ended = relayminer("check", "--json", "--config", str(path))
    assert ended.code == 2
    (problem,) = json.loads(ended.out)["problems"]
    assert (problem["key"], problem["line"]) == ("redis.ulr", 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--config", "/nowhere.yaml"], "No such file"),
        (["run", "--config", "CONFIG", "--roles", "mimer"], "unknown role 'mimer'"),
        (["run", "--config", "CONFIG", "--roles", ","], "no role given"),
        (["relay", "jsonrpc", "--devnet", "HOME"], "start `relayminer devnet --home"),
        (["relay", "jsonrpc", "--node", "127.0.0.1:1"], "--node needs --keys-file"),
        (["relay", "jsonrpc", "--params", "{"], "not JSON"),
    ],
)
def test_expected_failures_are_one_message(tmp_path: Path, arguments: list[str], told: str) -> None:
    """What can be expected to go wrong never shows a traceback."""
    config = tmp_path / "ok.yaml"
    config.write_text("{}", encoding="utf-8")
    names = {"CONFIG": str(config), "HOME": str(tmp_path)}
    ended = relayminer(*(names.get(argument, argument) for argument in arguments))
    assert ended.code in {1, 2}
    assert told in ended.err
    assert len(ended.err.splitlines()) <= 4


def test_run_without_keys_says_where_to_put_them(tmp_path: Path) -> None:
    """A node without supplier keys can do nothing for anybody."""
    config = tmp_path / "ok.yaml"
    config.write_text("{}", encoding="utf-8")
    ended = relayminer("run", "--config", str(config), "--home", str(tmp_path))
    assert ended.code == 1
    assert "no supplier key" in ended.err
    assert "keys.keys_file" in ended.err


def test_run_says_when_a_role_would_be_alone_on_its_store(tmp_path: Path) -> None:
    """A relayer on a private store mines for nobody: that is told, with the remedy."""
    config = tmp_path / "ok.yaml"
    config.write_text("{}", encoding="utf-8")
    alone = relayminer("run", "-c", str(config), "--home", str(tmp_path), "--roles", "relayer")
    assert "set redis.url" in alone.err
    config.write_text("redis: {url: 'redis://127.0.0.1:1'}", encoding="utf-8")
    assert "Note" not in relayminer("run", "-c", str(config), "--roles", "relayer").err


def test_bad_keys_end_the_start_without_showing_them(tmp_path: Path) -> None:
    """Key files are named with their problems; nothing of a key is on any output."""
    secret = "7e36160df33d38d5425e08107e11af02bb0a0683aa383c872897798100a74a33"
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"keys: [{secret}0, '{secret[1:]}']\n", encoding="utf-8")
    keys.chmod(0o600)
    config = tmp_path / "node.yaml"
    config.write_text("keys: {keys_file: keys.yaml}\n", encoding="utf-8")
    for command in ("run", "check"):
        ended = relayminer(command, "--config", str(config), "--home", str(tmp_path / "home"))
        assert ended.code == 1
        told = ended.out + ended.err
        assert "keys[0]" in told
        assert "keys[1]" in told
        assert secret[1:40] not in told
    keys.chmod(0o644)
    assert f"chmod 600 {keys}" in relayminer("run", "--config", str(config)).err


def test_version_is_for_people_and_programs() -> None:
    """Both forms name relayminer and what it stands on."""
    assert "relayminer" in relayminer("version").out
    versions = json.loads(relayminer("version", "--json").out)
    assert {"relayminer", "python", "trio", "coincurve"} <= set(versions)


def test_errors_of_groups_are_told_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A nursery's group of expected errors is no traceback either."""
    group = ExceptionGroup(
        "", [RelayMinerError("one"), ExceptionGroup("", [RelayMinerError("two")])]
    )
    assert len(list(leaves(group))) == 2
    assert explained(group) == 1
    assert capsys.readouterr().err.splitlines() == ["Error: one", "Error: two"]


def test_what_the_system_refuses_is_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    """A taken port and a file that cannot be written are no bugs of ours."""
    assert explained(OSError(errno.EADDRINUSE, "Address already in use")) == 1
    assert "control.listen" in capsys.readouterr().err
    assert explained(PermissionError(errno.EACCES, "Permission denied", "/a/b")) == 1
    assert capsys.readouterr().err == "Error: /a/b: Permission denied\n"
    with pytest.raises(OSError, match="Input/output"):
        explained(OSError(errno.EIO, "Input/output error"))


def test_unexpected_errors_keep_their_traceback() -> None:
    """A bug is not hidden behind a message."""
    with pytest.raises(ZeroDivisionError):
        explained(ZeroDivisionError())
    with pytest.raises(ExceptionGroup):
        explained(ExceptionGroup("", [RelayMinerError("one"), ZeroDivisionError()]))
    with pytest.raises(click.Abort):
        explained(BaseExceptionGroup("", [KeyboardInterrupt()]))


@pytest.mark.parametrize("words", [("devnet",), ("relay", "jsonrpc")])
def test_a_default_in_the_home_directory_is_shown_as_such(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    """Help says `~`, whoever asks; the home directory is meant, not a folder of that name."""
    ended = relayminer(*words, "--help", environment={"HOME": str(tmp_path)})
    assert "~/.relayminer/devnet" in " ".join(ended.out.split())
    assert str(tmp_path) not in ended.out
    if words == ("relay", "jsonrpc"):
        ended = relayminer(*words, "--verbose", environment={"HOME": str(tmp_path)})
        assert ended.code == 1
        assert str(tmp_path / ".relayminer" / "devnet") in ended.err
