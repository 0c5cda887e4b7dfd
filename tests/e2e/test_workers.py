"""`--workers`: several relayer processes behind one port, kept alive by the first."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
import trio

from relayminer.telemetry.merged import merged_page
from relayminer.testing.store import fresh_store, running_gateway
from tests.cli.command import relayminer
from tests.e2e.relayers import Stage, load, logged_hashes, relayer, stage
from tests.spool.outage import until

pytestmark = pytest.mark.e2e


def children(pid: int) -> list[int]:
    """Worker processes of a supervisor."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"--worker\0" in command:
                found.append(int(child))
    return sorted(found)


async def served_by(set_up: Stage) -> dict[str, float]:
    """Relays served, by the number of the worker."""
    _, page = await set_up.get("/metrics")
    found: dict[str, float] = {}
    for line in page.decode().splitlines():
        match = re.match(r'ha_relayer_relays_mined_total\{worker="(\d)".*\} (\S+)', line)
        if match:
            found[match[1]] = found.get(match[1], 0) + float(match[2])
    return found


async def test_workers_share_the_port_and_the_page(tmp_path: Path) -> None:
    """Two workers serve what comes; one page counts for both; a killed one is replaced."""
    async with (
        stage(tmp_path) as set_up,
        fresh_store() as url,
        running_gateway(url) as redis,
    ):
        config = set_up.write_config(url)
        async with relayer(set_up, config, "--workers=2") as process:
            workers = children(process.pid)
            assert len(workers) == 2
            async with load(set_up, reconnect=True) as sent:
                await sent.answers(200)
                os.kill(workers[0], signal.SIGKILL)
                await until(lambda: len(set(children(process.pid)) - {workers[0]}) == 2)
                await sent.answers(200)
            await set_up.wait_ready(process)
            assert workers[1] in children(process.pid)
            assert await set_up.metric("relayminer_worker_restarts_total") == 1
            assert await set_up.metric("relayminer_workers") == 2
            async with load(set_up, clients=48) as more:
                await more.answers(200)
            by_worker = await served_by(set_up)
            assert set(by_worker) == {"1", "2"}
            assert min(by_worker.values()) > 0
            process.send_signal(signal.SIGTERM)
            with trio.fail_after(40):
                assert await process.wait() == 0
            assert not any(alive(pid) for pid in workers)
        answered = {*sent.answered, *more.answered}
        logged = await logged_hashes(redis, set_up.supplier)
        assert answered <= set(logged)
        assert set(logged.values()) == {1}


async def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    """`kill -9` of the first process leaves nobody on the port."""
    async with stage(tmp_path) as set_up, fresh_store() as url:
        config = set_up.write_config(url)
        async with relayer(set_up, config, "--workers=2") as process:
            workers = children(process.pid)
            process.kill()
            await process.wait()
            await until(lambda: not any(alive(pid) for pid in workers))


def alive(pid: int) -> bool:
    """Whether a process runs: one that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_what_cannot_be_shared_is_told(tmp_path: Path) -> None:
    """A port that the system chooses would be another one for each worker."""
    config = tmp_path / "node.yaml"
    config.write_text(
        "relayer: {listen: '127.0.0.1:0', services: {a: {backends: {jsonrpc: {url: 'http://b'}}}}}"
    )
    ended = relayminer("run", "--config", str(config), "--workers", "2")
    assert ended.code == 2
    assert "relayer.listen" in ended.err
    ended = relayminer("run", "--config", str(config), "--workers", "2", "--roles", "miner")
    assert ended.code == 2
    assert "--roles" in ended.err


def test_pages_are_merged_family_by_family() -> None:
    """Every sample of a worker gets its number, comments stand once, values are untouched."""
    own = b"# HELP a_total A.\n# TYPE a_total counter\na_total 1.0\n"
    worker = (
        b"# HELP a_total A.\n# TYPE a_total counter\na_total 2.0\n"
        b'# HELP b B {x}.\n# TYPE b gauge\nb{le="a } b",c="d"} 3.0\n'
    )
    page = merged_page(own, {"1": worker, "2": worker}).decode()
    assert page.splitlines() == [
        "# HELP a_total A.",
        "# TYPE a_total counter",
        "a_total 1.0",
        'a_total{worker="1"} 2.0',
        'a_total{worker="2"} 2.0',
        "# HELP b B {x}.",
        "# TYPE b gauge",
        'b{worker="1",le="a } b",c="d"} 3.0',
        'b{worker="2",le="a } b",c="d"} 3.0',
    ]


async def test_workers_share_the_embedded_store_with_the_miner(tmp_path: Path) -> None:
    """All roles on embedded defaults: the first process mines what its workers have logged."""
    async with stage(tmp_path) as set_up:
        config = set_up.write_config("embedded")
        roles = "--roles=relayer,miner,cache-leader"
        async with relayer(set_up, config, "--workers=2", roles) as process:
            async with load(set_up, clients=8) as sent:
                await sent.answers(100)
            await set_up.wait_metric("ha_miner_relays_added_to_smst_total", len(sent.answered))
            process.send_signal(signal.SIGTERM)
            with trio.fail_after(40):
                assert await process.wait() == 0
