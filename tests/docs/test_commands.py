"""The commands of the documentation are there, take what they are given, and do what they say."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import click
import pytest

from relayminer.cli import main
from relayminer.config import load
from tests.cli.command import COMMAND, ENVIRONMENT, relayminer
from tests.docs.pages import Block, blocks, commands, pages
from tests.e2e.node import fetch, wait_until
from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHELL = [(block, line) for block in blocks("sh") for line in commands(block)]
TARGETS = re.findall(
    r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
)
DEFAULT_PORTS = (26657, 19090, 26680, 8545, 50051, 8080, 9092, 8095)


@pytest.mark.parametrize(("block", "line"), SHELL, ids=[line for _, line in SHELL])
def test_every_command_exists(
    block: Block, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target of the Makefile, a command of ours with these options, or one of every system."""
    monkeypatch.chdir(tmp_path)
    for name in ("supplier-keys.yaml", "gateway-keys.yaml"):
        (tmp_path / name).touch()
    words = [word for word in shlex.split(line) if not re.match(r"[A-Z_]+=", word)]
    match words[0]:
        case "make":
            assert words[1] in TARGETS, f"{block.page}: no such target"
        case "relayminer":
            parsed(words[1:])
        case "." | "cp" | "pip" | "pytest" | ".venv/bin/python" | "helm":
            return
        case other:
            raise AssertionError(f"{block.page}: who knows {other}?")


def parsed(words: list[str]) -> None:
    """Let click parse a command line to its end, without running it."""
    command: click.Command = main
    context: click.Context | None = None
    while isinstance(command, click.Group):
        with command.make_context(command.name, words, parent=context) as context:
            rest = [*context._protected_args, *context.args]
            if not rest and command.invoke_without_command:
                return
            _, found, words = command.resolve_command(context, rest)
            assert found is not None
            command = found
    command.make_context(command.name, words, parent=context)


def test_the_pages_name_targets_and_files_that_are_there() -> None:
    """`make x` in the text is a target, and a linked or quoted path of the tree exists."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"`make ([a-z]+)", text):
            assert target in TARGETS, f"{page.name}: make {target}"
        links = re.findall(r"\]\(((?!http)[^)#]+)\)", text)
        for link in links:
            assert (page.parent / link).exists(), f"{page.name}: {link}"
        roots = "relayminer|plugins|tests|docs|config|benchmarks|scripts"
        for path in re.findall(rf"`((?:{roots})/[\w/.-]+)`", text):
            # Paths within the package are written without its name, too.
            places = (REPOSITORY, REPOSITORY / "relayminer", page.parent)
            assert any((place / path).exists() for place in places), f"{page.name}: {path}"


def test_code_on_the_pages_is_code_of_the_examples() -> None:
    """Every Python block stands in a file below docs/examples as it stands there."""
    examples = sorted((REPOSITORY / "docs" / "examples").rglob("*.py"))
    code = [path.read_text(encoding="utf-8") for path in examples]
    found = blocks("python")
    assert found
    for block in found:
        assert any(block.text in text for text in code), f"{block.page}: {block.text}"


def test_configurations_on_the_pages_load(tmp_path: Path) -> None:
    """Every YAML block; README's has all that a node needs."""
    found = blocks("yaml")
    assert found
    for block in found:
        path = tmp_path / "block.yaml"
        path.write_text(block.text, encoding="utf-8")
        settings = load(path)
        assert settings.relayer.services or block.page != "README.md"


def test_check_names_what_the_example_still_needs(tmp_path: Path) -> None:
    """The example, copied and not edited: no problem of its own, but keys and nodes are missing."""
    shutil.copy(REPOSITORY / "config" / "relayminer.example.yaml", tmp_path / "relayminer.yaml")
    ended = relayminer(
        "check", "--config", str(tmp_path / "relayminer.yaml"), "--home", str(tmp_path / "home")
    )
    assert ended.code == 1
    assert "supplier-keys.yaml" in ended.out


@pytest.fixture
def default_ports() -> None:
    """The ports that the page's commands use, all free; else this machine is not for this test."""
    for port in DEFAULT_PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"port {port} is taken, and README's commands use the default ports")


@pytest.fixture
def kept() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that go on; told to stop, last first, and expected to end well."""
    children: list[subprocess.Popen[bytes]] = []
    yield children
    codes = [ended(child) for child in reversed(children)]
    assert codes == [0] * len(children)


def ended(child: subprocess.Popen[bytes]) -> int:
    """The exit code after Ctrl-C."""
    child.send_signal(signal.SIGINT)
    try:
        return child.wait(40)
    finally:
        child.kill()
        child.wait()


@pytest.mark.e2e
@pytest.mark.usefixtures("default_ports")
def test_trying_it_by_hand_works(tmp_path: Path, kept: list[subprocess.Popen[bytes]]) -> None:
    """README's three terminals, word for word, with a home directory of their own."""
    (block,) = (one for one in blocks("sh") if "devnet" in one.text and one.page == "README.md")
    devnet, run, relay = (shlex.split(line)[1:] for line in commands(block))
    kept.append(started(devnet, tmp_path))
    wait_until((tmp_path / ".relayminer" / "devnet" / "supplier-keys.yaml").exists, kept[-1])
    kept.append(started(run, tmp_path))
    wait_until(lambda: fetch("http://127.0.0.1:8080/ready"), kept[-1])
    done = relayminer(*relay, environment={"HOME": str(tmp_path)})
    assert done.code == 0, done.out + done.err
    assert "[FAIL]" not in done.out
    assert "answered in" in done.out


def started(words: list[str], home: Path) -> subprocess.Popen[bytes]:
    """`relayminer` with these words, as in a terminal of its own."""
    with (home / "log").open("ab") as log:
        return subprocess.Popen(
            [*COMMAND, *words],
            env={**ENVIRONMENT, "HOME": str(home)},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
