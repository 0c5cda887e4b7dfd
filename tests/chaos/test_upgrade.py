"""An upgrade without downtime: old and new on one store, each restarted in turn under load."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import tomllib
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.chaos.gateway import NOT_WAITED_FOR, Fate
from tests.chaos.plan import PARAMS, ChaosOptions
from tests.chaos.run import ChaosRun
from tests.cli.command import ENVIRONMENT
from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from relayminer.demo.children import Child
    from relayminer.devnet.http_client import HttpClient
    from tests.chaos.trouble import Troublemaker

pytestmark = pytest.mark.e2e

SECONDS = 150
POLL_SECONDS = 0.05
SETTLE_SECONDS = 1.0
SHORT = {
    **PARAMS,
    "claim_window_open_offset_blocks": 4,
    "claim_window_close_offset_blocks": 12,
    "proof_window_close_offset_blocks": 8,
}


def commit_before(home: Path) -> Path:
    """The files of the commit before this one (or of UPGRADE_FROM), in a directory of their own."""
    commit = os.environ.get("UPGRADE_FROM", "HEAD~1")
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit],  # noqa: S607 - the one on the path
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        pytest.skip(f"no git history to upgrade from: {archive.stderr.decode().strip()}")
    before = home / "before"
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(before, filter="data")
    write_metadata(before)
    return before


def write_metadata(tree: Path) -> None:
    """What an installation of a tree would know of its plugins: those of its own project file."""
    project = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = tree / f"{project['name']}-0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n",
        encoding="utf-8",
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (folder / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


def environment_of(tree: Path) -> dict[str, str]:
    """What makes a process run the code of a tree, wherever it starts."""
    path = f"{tree}{os.pathsep}{tree / 'plugins'}"
    return {**ENVIRONMENT, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def code_of(environment: Mapping[str, str]) -> str:
    """The file that a process would run."""
    said = subprocess.run(
        [sys.executable, "-c", "import relayminer; print(relayminer.__file__)"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout


class UpgradeRun(ChaosRun):
    """A run whose processes begin with old code and go over to new code one by one."""

    def __init__(self, options: ChaosOptions, old: Mapping[str, str]) -> None:
        super().__init__(options, lambda _line: None, old)
        self.upgraded: list[str] = []

    async def _during(self, trouble: Troublemaker, http: HttpClient) -> None:
        new = environment_of(REPOSITORY)
        for child in (*trouble.miners, *trouble.relayers):
            await trio.sleep(SETTLE_SECONDS)
            await self._upgrade(child, new)
        for port in self._ports:
            await self._await("a new relayer", partial(self._is_ready, http, port))

    async def _upgrade(self, child: Child, new: Mapping[str, str]) -> None:
        """Stop in order, start with the new code, wait until it works."""
        pid, child.environment = child.pid, new
        said = child.log.stat().st_size
        os.kill(pid, signal.SIGTERM)
        with trio.fail_after(SECONDS):
            while child.pid == pid or b"started" not in child.log.read_bytes()[said:]:  # noqa: ASYNC110 - a log
                await trio.sleep(POLL_SECONDS)
        self.upgraded.append(child.name)


@pytest.mark.timeout(2 * SECONDS)
async def test_old_and_new_side_by_side_lose_nothing(tmp_path: Path) -> None:
    """Relayers and miners go from the last commit to this one in turn: the count stays exact."""
    before = commit_before(tmp_path)
    assert str(before) in code_of(environment_of(before))
    assert str(REPOSITORY) in code_of(environment_of(REPOSITORY))
    options = ChaosOptions(home=tmp_path / "run", minutes=0.5, miners=2, params=SHORT)
    run = UpgradeRun(options, environment_of(before))
    with trio.fail_after(SECONDS):
        outcome = await run.run()
    assert run.upgraded == ["miner0", "miner1", "relayer0", "relayer1"]
    assert outcome.difference == 0, "\n".join(str(count) for count in outcome.counts)
    assert outcome.answered > 500
    # Each relay went to a relayer that was there, or found nobody listening; the last ones were on
    # their way when the load ended.
    errors = {one.error for one in run.sent if one.fate is not Fate.ANSWERED} - {NOT_WAITED_FOR}
    assert all("not reached" in error for error in errors), errors
