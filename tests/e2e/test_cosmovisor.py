"""`relayminer run` under cosmovisor, which changes versions at the heights of upgrades."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from relayminer.devnet.info import DevnetInfo, read_info
from relayminer.net.ports import free_port
from tests.cli.command import ENVIRONMENT, relayminer
from tests.e2e.node import START_SECONDS, fetch, fetch_json, process, wait_until, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

FAILED, RETRY = 30, 31
"""Exit codes of `pre-upgrade` that keep cosmovisor from going on."""
BLOCKS = 3


@attrs.frozen
class Stand:
    """A chain, a configuration, and cosmovisor's folders with two versions that say who they are.

    Attributes:
        home: `DAEMON_HOME`.
        log: what the processes say.
        asked: a line for every other command that a version was asked for.
    """

    info: DevnetInfo
    config: Path
    control: int
    home: Path
    log: Path
    asked: Path

    @property
    def binary(self) -> Path:
        """The first version."""
        return self.home / "cosmovisor" / "genesis" / "bin" / "relayminer"

    @property
    def environment(self) -> dict[str, str]:
        """What the unit of `relayminer systemd --cosmovisor` sets."""
        return {
            **ENVIRONMENT,
            "DAEMON_NAME": "relayminer",
            "DAEMON_HOME": str(self.home),
            "DAEMON_SHUTDOWN_GRACE": "60s",
            "DAEMON_ALLOW_DOWNLOAD_BINARIES": "false",
            "RELAYMINER_CONFIG": str(self.config),
        }

    @contextmanager
    def started(self, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        """A command, whose words go to the log."""
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            yield child
        finally:
            child.kill()
            child.wait()

    def until_ready(self, child: subprocess.Popen[bytes]) -> None:
        """Until a node serves."""
        wait_until(lambda: fetch(f"http://127.0.0.1:{self.control}/ready"), child)

    def step(self, blocks: int) -> int:
        """Make more blocks; the height afterwards."""
        url = f"{self.info.control_url}/control/step?blocks={blocks}"
        height: int = fetch_json(url, method="POST")["height"]
        return height

    def said(self, words: str) -> int:
        """How often the log has them."""
        return self.log.read_text(encoding="utf-8").count(words)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A stepped chain with its node's configuration, and both versions in their places."""
    port, control, home = free_port(), free_port(), tmp_path / "daemon"
    asked, log = tmp_path / "asked", tmp_path / "log"
    for version, folder in (("one", "genesis"), ("two", "upgrades/two")):
        program = home / "cosmovisor" / folder / "bin" / "relayminer"
        program.parent.mkdir(parents=True)
        program.write_text(
            f"#!/bin/sh\n[ $1 = run ] && echo version {version} || echo $1 >> {asked}\n"
            f'exec {sys.executable} -m relayminer "$@"\n'
        )
        program.chmod(0o755)
    (home / "data").mkdir()
    asked.touch()
    log.touch()
    ports = ("--rpc-port=0", "--grpc-port=0", "--control-port=0", "--backend-port=0")
    devnet = ["devnet", f"--home={tmp_path / 'chain'}", "--stepped", "--with-backend", *ports]
    with (tmp_path / "chain.log").open("ab") as chain_log, process(devnet, chain_log):
        wait_until(lambda: read_info(tmp_path / "chain"))
        info = read_info(tmp_path / "chain")
        leave = {"shutdown_delay_seconds": 0.1}
        config = write_config(tmp_path, info, port, control, leave, {})
        one = Stand(info, config, control, home, log, asked)
        one.step(BLOCKS)
        yield one


def test_it_does_what_cosmovisor_asks_of_a_program(stand: Stand) -> None:
    """Its version as JSON and nothing else; the height, also of older form; an end at SIGQUIT.

    There is no `pre-upgrade`, and the exit code says nothing that would stop an upgrade.
    """
    told = relayminer("version", "--long", "--output", "json")
    assert json.loads(told.out + told.err)["relayminer"]
    assert relayminer("pre-upgrade").code not in {FAILED, RETRY}
    # Newer ones name their home, which is ours as well; what is said goes into one stream.
    asked = subprocess.run(
        [stand.binary, "status", "--home", stand.home],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
        timeout=START_SECONDS,
        env=stand.environment,
    )
    answer = json.loads(asked.stdout)
    assert answer["SyncInfo"] == answer["sync_info"]
    assert int(answer["SyncInfo"]["latest_block_height"]) == stand.step(1) - 1
    assert answer["node_info"]["network"] == stand.info.chain_id
    with stand.started(stand.binary, "run") as node:
        stand.until_ready(node)
        node.send_signal(signal.SIGQUIT)
        assert node.wait(START_SECONDS) == 0
    assert stand.said("SIGQUIT") == 1


def test_versions_change_at_the_height_of_an_upgrade(stand: Stand) -> None:
    """Not before; the old one ends in order; signals and exit codes get through."""
    cosmovisor = shutil.which("cosmovisor")
    if cosmovisor is None:
        pytest.skip("no cosmovisor: go install cosmossdk.io/tools/cosmovisor/cmd/cosmovisor@v1.5.0")
    with stand.started(cosmovisor, "run", "run") as supervisor:
        stand.until_ready(supervisor)
        plan = stand.home / "data" / "upgrade-info.json.new"
        plan.write_text(json.dumps({"name": "two", "height": stand.step(1) + BLOCKS}))
        plan.rename(plan.with_suffix(""))
        # It has asked for the height twice: the first answer did not make it change.
        wait_until(lambda: stand.asked.read_text().count("status") > 1, supervisor)
        assert (stand.said("version one"), stand.said("version two")) == (1, 0)
        stand.step(BLOCKS)
        wait_until(lambda: stand.said("version two"), supervisor)
        assert stand.said('"SIGINT"') == 1
        stand.until_ready(supervisor)
        # As the unit does it: cosmovisor ends when its program has ended, and as well as that.
        (child,) = children_of(supervisor.pid)
        os.kill(child, signal.SIGTERM)
        assert supervisor.wait(START_SECONDS) == 0
        assert (stand.home / "cosmovisor" / "current").readlink().name == "two"
    with stand.started(cosmovisor, "run", "run") as supervisor:
        stand.until_ready(supervisor)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(START_SECONDS) == 0
        assert (stand.said("version one"), stand.said("version two")) == (1, 2)
        assert stand.said('"SIGTERM"') == 2
    nowhere = ("--config", stand.home / "nowhere.yaml")
    with stand.started(cosmovisor, "run", "run", *nowhere) as supervisor:
        assert supervisor.wait(START_SECONDS) != 0


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for path in lists for word in path.read_text(encoding="ascii").split()]
