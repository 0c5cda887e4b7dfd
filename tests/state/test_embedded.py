"""The embedded server: start, share, survive, adopt, stop."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import trio

from relayminer.config.settings import RedisSettings
from relayminer.state.embedded import EmbeddedStore, open_store
from relayminer.state.errors import StoreAwayError, StoreStartError
from relayminer.state.server_process import Server, wait_for_exit
from relayminer.state.store_home import MAX_SOCKET_PATH_BYTES, store_home
from relayminer.testing.store import running_gateway

REPOSITORY = Path(__file__).resolve().parents[2]

STAYS = """
import sys, trio
from pathlib import Path
from relayminer.config.settings import RedisSettings
from relayminer.state.embedded import EmbeddedStore
from relayminer.state.gateway import Redis
from relayminer.state.store_home import store_home

async def main():
    store = EmbeddedStore(store_home(Path(sys.argv[1])))
    await store.join()
    redis = Redis(store.url)
    async with trio.open_nursery() as nursery:
        await nursery.start(redis.run)
        await redis.command("SET", "kept", "yes")
        sys.stdout.write(f"{store.pid}\\n")
        sys.stdout.flush()
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()
    await store.leave()

trio.run(main)
"""


def start_owner(home: Path) -> tuple[subprocess.Popen[str], int]:
    """Another process that holds the store; returns it and the server's process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAYS, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    if process.stdout is None:
        raise RuntimeError("no pipe")
    while not (line := process.stdout.readline().strip()).isdigit():
        if process.poll() is not None:
            raise RuntimeError(line)
    return process, int(line)


def alive(pid: int) -> bool:
    """Whether the process exists and is not just waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_data_survives_a_restart_and_is_private(tmp_path: Path) -> None:
    """What was confirmed is there after the store was stopped, in a directory of our own."""
    for turn in range(2):
        async with open_store(RedisSettings(), tmp_path) as url, running_gateway(url) as redis:
            assert await redis.command("INCR", "turns") == turn + 1
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    assert not (tmp_path / "store" / "server.sock").exists()


async def test_another_url_is_left_alone(tmp_path: Path) -> None:
    """With a URL of the operator's own nothing is started."""
    async with open_store(RedisSettings(url="redis://elsewhere"), tmp_path) as url:
        assert url == "redis://elsewhere"
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing else runs here


async def test_a_killed_server_comes_back_with_everything_confirmed(tmp_path: Path) -> None:
    """Killing the server under load loses no confirmed entry and the gateway finds it again."""
    confirmed: list[bytes] = []
    async with open_store(RedisSettings(), tmp_path) as url, running_gateway(url) as redis:
        pid = int((tmp_path / "store" / "server.pid").read_text())

        async def writer() -> None:
            while True:
                try:
                    confirmed.append(await redis.command("XADD", "log", "*", "data", "x" * 500))
                except StoreAwayError:
                    return

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(writer)
            while len(confirmed) < 2000:
                await trio.lowlevel.checkpoint()
            os.kill(pid, signal.SIGKILL)
        with trio.fail_after(10):
            await redis.command("PING", timeout_seconds=10)
        stored = {entry[0] for entry in await redis.command("XRANGE", "log", "-", "+")}
        assert set(confirmed) <= stored
        assert redis.reconnections >= 1


async def test_a_server_that_outlived_its_owner_is_adopted(tmp_path: Path) -> None:
    """After our own kill -9 the next start takes over the running server, and stops it."""
    owner, pid = start_owner(tmp_path)
    owner.kill()
    owner.communicate()
    assert alive(pid)
    store = EmbeddedStore(store_home(tmp_path))
    await store.join()
    assert store.pid == pid
    async with running_gateway(store.url) as redis:
        assert await redis.command("GET", "kept") == b"yes"
    await store.leave()
    assert not alive(pid)


async def test_a_dead_server_of_a_dead_owner_is_replaced(tmp_path: Path) -> None:
    """When both were killed the next start begins a new server on the same data."""
    owner, pid = start_owner(tmp_path)
    owner.kill()
    owner.communicate()
    os.kill(pid, signal.SIGKILL)
    await wait_for_exit(pid)
    async with open_store(RedisSettings(), tmp_path) as url, running_gateway(url) as redis:
        assert await redis.command("GET", "kept") == b"yes"


async def test_the_last_to_leave_stops_the_server(tmp_path: Path) -> None:
    """A process that leaves while another uses the server leaves the server alone."""
    owner, pid = start_owner(tmp_path)
    async with open_store(RedisSettings(), tmp_path) as url:
        await trio.to_thread.run_sync(owner.communicate, "")
        assert alive(pid)
        async with running_gateway(url) as redis:
            assert await redis.command("GET", "kept") == b"yes"
    assert not alive(pid)


async def test_many_that_start_at_once_share_one_server(tmp_path: Path) -> None:
    """However many begin together, there is one server; after its death they agree on the next."""
    stores = [EmbeddedStore(store_home(tmp_path)) for _ in range(5)]
    async with trio.open_nursery() as nursery:
        for store in stores:
            nursery.start_soon(store.join)
    pids = {store.pid for store in stores}
    assert len(pids) == 1
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for store in stores:
                nursery.start_soon(store.supervise)
            os.kill(pids.pop(), signal.SIGKILL)
            while any(store.restarts == 0 for store in stores):  # noqa: ASYNC110 - no event
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    (pid,) = {store.pid for store in stores}
    for store in stores:
        assert alive(pid)
        await store.leave()
    assert not alive(pid)


async def test_ctrl_c_does_not_reach_the_server(tmp_path: Path) -> None:
    """The server is in a process group of its own."""
    async with open_store(RedisSettings(), tmp_path):
        pid = int((tmp_path / "store" / "server.pid").read_text())
        assert os.getpgid(pid) != os.getpgid(0)


async def test_a_long_home_gets_a_short_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a socket's path would be too long it lives in the runtime directory, on record."""
    home = tmp_path / ("long" * 30)
    with tempfile.TemporaryDirectory() as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        async with open_store(RedisSettings(), home) as url, running_gateway(url) as redis:
            path = Path(redis.target.path)
            assert path.is_relative_to(runtime)
            assert len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES
            assert (home / "store" / "socket-path").read_text() == str(path)


async def test_what_the_body_raises_comes_out_as_it_is(tmp_path: Path) -> None:
    """An error of the process is not wrapped, and the server is stopped all the same."""
    pid = 0
    with pytest.raises(ValueError, match="mine"):
        async with open_store(RedisSettings(), tmp_path):
            pid = int((tmp_path / "store" / "server.pid").read_text())
            raise ValueError("mine")
    assert not alive(pid)


async def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    """A server that refuses to start is quoted; a missing program is named."""
    home = store_home(tmp_path)
    with pytest.raises(StoreStartError, match="sometimes"):
        await Server(home, home.socket(), appendfsync="sometimes").ensure_running()
    with pytest.raises(StoreStartError, match="cannot run"):
        await Server(home, home.socket(), program="/nonexistent/server").ensure_running()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreStartError, match="--home"):
        store_home(tmp_path / "file")


async def test_damaged_data_is_reported(tmp_path: Path) -> None:
    """A server that gives up on its append-only file does not hang the start."""
    async with open_store(RedisSettings(), tmp_path) as url, running_gateway(url) as redis:
        await redis.command("SET", "a", "b")
    for file in (tmp_path / "store" / "appendonlydir").glob("*.incr.aof"):
        file.write_bytes(b"*9\r\ngarbage\r\n" * 10)
    with pytest.raises(StoreStartError, match=r"server\.log"):
        async with open_store(RedisSettings(), tmp_path):
            pass


@pytest.mark.parametrize("left", ["", "\0\0\0\0", "server.sock"])
async def test_a_socket_record_that_a_power_loss_emptied_is_written_anew(
    tmp_path: Path, left: str
) -> None:
    """What is no absolute path was never where the socket is."""
    home = store_home(tmp_path)
    home.socket_record.write_text(left, "utf-8")
    async with open_store(RedisSettings(), tmp_path) as url, running_gateway(url) as redis:
        assert await redis.command("PING") in {b"PONG", "PONG"}
    assert home.socket() == home.directory / "server.sock"


@pytest.mark.parametrize("name", ["start.lock", "members.lock", "socket-path", "socket-path.new"])
async def test_files_that_cannot_be_had_are_told(tmp_path: Path, name: str) -> None:
    """A full or foreign directory ends the start with the file and what to do, no traceback."""
    (store_home(tmp_path).directory / name).mkdir()
    with pytest.raises(StoreStartError, match=f"cannot use .*{name.removesuffix('.new')}.*--home"):
        async with open_store(RedisSettings(), tmp_path):
            pass
