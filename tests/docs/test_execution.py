"""The commands of README and docs, executed as they stand there, beside a node that runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import yaml

from relayminer.net.ports import free_port
from tests.cli.command import COMMAND, ENVIRONMENT
from tests.docs.pages import blocks, commands
from tests.docs.ways import WAYS, Elsewhere, Here, Serves, ways_of
from tests.e2e.node import fetch, running_node, wait_until
from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

LINES = sorted({line for block in blocks("sh") for line in commands(block)})
HERE = [way for way in WAYS if isinstance(way, Here)]
SERVES = [way for way in WAYS if isinstance(way, Serves)]
SECONDS = 120


def test_every_command_of_the_pages_has_its_way() -> None:
    """One row each, and no row is left over; a test that a row names is there."""
    for line in LINES:
        assert len(ways_of(line)) == 1, f"{line}: give it a row in tests/docs/ways.py"
    used = {way for line in LINES for way in ways_of(line)}
    assert used == set(WAYS)
    for way in WAYS:
        if isinstance(way, Elsewhere):
            file, _, function = way.test.partition("::")
            assert f"def {function}(" in (REPOSITORY / file).read_text(encoding="utf-8")


@attrs.frozen
class Place:
    """A directory in which an operator stands, and what is set there."""

    folder: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The files that the pages speak of, and a node on a chain."""
    home = tmp_path_factory.mktemp("node")
    with running_node(home) as node:
        document = yaml.safe_load((home / "node.yaml").read_text(encoding="utf-8"))
        document["home"] = str(home / "node")
        folder = tmp_path_factory.mktemp("operator")
        document["control"] = {"enabled": False}
        write(folder / "relayminer.yaml", yaml.safe_dump(document))
        write(folder / "shadow.yaml", yaml.safe_dump(document | {"miner": {"shadow": True}}))
        keys = Path(node.info.supplier_keys_file).read_text(encoding="utf-8")
        write(folder / "supplier-keys.yaml", keys)
        write(folder / "passphrase", "correct horse\n")
        for name in ("relayer.yaml", "miner.yaml"):
            shutil.copy(REPOSITORY / "tests" / "config" / "go" / name, folder)
        # Commands without --config find the node by these.
        chain = document["chain"]
        environment = {
            "RELAYMINER_HOME": document["home"],
            "RELAYMINER_CHAIN__RPC_URL": chain["rpc_url"],
            "RELAYMINER_CHAIN__GRPC_URL": chain["grpc_url"],
            "RELAYMINER_RELAYER__LISTEN": "127.0.0.1:0",
        }
        yield Place(folder, environment)


def write(path: Path, text: str) -> None:
    """A file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def split(line: str) -> tuple[dict[str, str], list[str]]:
    """Variables in front of `relayminer`, and the words behind it."""
    words = shlex.split(line)
    at = words.index("relayminer")
    return dict(word.split("=", 1) for word in words[:at]), words[at + 1 :]


@pytest.mark.e2e
@pytest.mark.parametrize("way", HERE, ids=[way.line for way in HERE])
def test_it_does_what_the_page_says(place: Place, way: Here, tmp_path: Path) -> None:
    """As it stands there: it ends well and prints what it is for."""
    variables, words = split(way.line)
    environment = {} if "import" in words or "validate" in words else place.environment
    folder = shutil.copytree(place.folder, tmp_path / "here")
    if "import" in words:
        (folder / "relayminer.yaml").unlink()
    done = subprocess.run(
        [*COMMAND, *words, *way.more],
        cwd=folder,
        env={**ENVIRONMENT, **environment, **variables},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode in way.codes, said
    assert "Traceback" not in said
    assert way.told in said
    for name in re.findall(r"--(?:output|file) (\S+)", way.line):
        assert (folder / name).exists()


@pytest.mark.e2e
def test_what_serves_starts_as_the_page_says(place: Place, tmp_path: Path) -> None:
    """Each becomes ready beside the others, on the node's store, and ends when it is told to."""
    children = []
    try:
        for number, way in enumerate(SERVES):
            variables, words = split(way.line)
            listen, control = (f"127.0.0.1:{free_port()}" for _ in range(2))
            environment = place.environment | variables
            environment |= {
                "RELAYMINER_RELAYER__LISTEN": listen,
                "RELAYMINER_CONTROL__LISTEN": control,
                "RELAYMINER_CONTROL__ENABLED": "true",
            }
            if "RELAYMINER_HOME" in variables:
                environment["RELAYMINER_HOME"] = str(tmp_path / "shadow")
                environment["RELAYMINER_REDIS__URL"] = store_of(place)
            log = (tmp_path / f"{number}.log").open("wb")
            child = subprocess.Popen(
                [*COMMAND, *words],
                cwd=place.folder,
                env={**ENVIRONMENT, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            log.close()
            children.append((child, control, number))
        for child, control, number in children:
            try:
                wait_until(lambda at=control: fetch(f"http://{at}/ready"), child)
            except AssertionError as error:
                said = (tmp_path / f"{number}.log").read_text(encoding="utf-8")
                raise AssertionError(said[-3_000:]) from error
        for child, _, _ in children:
            child.send_signal(signal.SIGTERM)
        assert [child.wait(SECONDS) for child, _, _ in children] == [0] * len(SERVES)
    finally:
        for child, _, _ in children:
            child.kill()
            child.wait()


def store_of(place: Place) -> str:
    """The URL of the node's own store: a shadow has another home, and the same store."""
    (socket,) = Path(place.environment["RELAYMINER_HOME"], "store").glob("*.sock")
    return f"unix://{os.fspath(socket)}"
