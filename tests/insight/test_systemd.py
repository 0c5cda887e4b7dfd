"""What systemd is told, on a real socket."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import trio

from relayminer.insight.systemd import Systemd
from tests.cli.command import relayminer

if TYPE_CHECKING:
    from pathlib import Path


async def heard(listener: trio.socket.SocketType) -> list[str]:
    """One message, in words."""
    with trio.fail_after(20):
        return (await listener.recv(4096)).decode().split("\n")


async def test_it_is_told_when_all_has_started_lives_is_unwell_and_stops(tmp_path: Path) -> None:
    """In this order; the word of being alive comes from the loop itself, in half the time."""
    path = str(tmp_path / "notify")
    problems: list[str] = []
    listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    await listener.bind(path)
    environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}
    systemd = Systemd(lambda: problems[0] if problems else None, environ)
    with listener:
        async with trio.open_nursery() as nursery:
            await nursery.start(systemd.run)
            assert (await heard(listener))[0] == "READY=1"
            assert await heard(listener) == ["WATCHDOG=1", "STATUS=serving"]
            problems.append("the store is not reached")
            words = await heard(listener)
            while len(words) == 1:
                assert words == ["WATCHDOG=1"]
                words = await heard(listener)
            assert words == ["WATCHDOG=1", "STATUS=the store is not reached"]
            nursery.cancel_scope.cancel()
        words = await heard(listener)
        while words[0] == "WATCHDOG=1":
            words = await heard(listener)
        assert words == ["STOPPING=1"]


async def test_below_a_supervisor_it_is_not_the_unit_that_starts_and_ends(tmp_path: Path) -> None:
    """Not the process that systemd started: ready and alive, but neither main nor stopping."""
    path = str(tmp_path / "notify")
    listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    await listener.bind(path)
    with listener:
        for pid, ready, last in (
            (os.getppid(), ["READY=1"], "WATCHDOG=1"),
            (os.getpid(), ["READY=1", f"MAINPID={os.getpid()}"], "STOPPING=1"),
        ):
            environ = {"NOTIFY_SOCKET": path, "SYSTEMD_EXEC_PID": str(pid)}
            async with trio.open_nursery() as nursery:
                await nursery.start(Systemd(lambda: None, environ).run)
                assert await heard(listener) == ready
                words = await heard(listener)
                nursery.cancel_scope.cancel()
            if pid == os.getpid():
                words = await heard(listener)
            assert words[0] == last


async def test_without_systemd_nothing_is_said() -> None:
    """And it ends at once."""
    async with trio.open_nursery() as nursery:
        await nursery.start(Systemd(lambda: None, {}).run)


async def test_a_manager_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    """Its socket is away: the process goes on."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "20000"}
    async with trio.open_nursery() as nursery:
        await nursery.start(Systemd(lambda: None, environ).run)
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()


def test_the_unit_starts_what_it_says() -> None:
    """Limits, credentials and hardening are in it."""
    ended = relayminer("systemd", "--config", "/etc/a b.yaml", "--passphrase", "/etc/secret")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert "Type=notify" in lines
    assert "LimitCORE=0" in lines
    assert "LoadCredential=relayminer-passphrase:/etc/secret" in lines
    (start,) = (line for line in lines if line.startswith("ExecStart="))
    assert start.endswith(
        "-m relayminer run --config '/etc/a b.yaml' --roles relayer,miner,cache-leader"
    )


def test_shells_complete() -> None:
    """Each of them gets a script that asks us."""
    for shell in ("bash", "zsh", "fish"):
        ended = relayminer("completion", shell)
        assert ended.code == 0
        assert "_RELAYMINER_COMPLETE" in ended.out


def test_the_unit_for_cosmovisor_leaves_the_ends_to_the_program() -> None:
    """Signals reach the program below it, which alone says how it is; no version is downloaded."""
    ended = relayminer("systemd", "--cosmovisor", "/opt/cosmovisor", "--home", "/srv/rm")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert "NotifyAccess=all" in lines
    assert "Environment=DAEMON_HOME=/srv/rm" in lines
    assert "Environment=RELAYMINER_CONFIG=/etc/relayminer/relayminer.yaml" in lines
    assert any(line.startswith("ExecStart=/opt/cosmovisor run run --config ") for line in lines)
    stops = [line for line in lines if line.startswith("ExecStop=")]
    assert [stop.partition("/")[2] for stop in stops] == [
        "usr/bin/pkill -TERM -P $MAINPID",
        "usr/bin/tail --pid=$MAINPID -f /dev/null",
    ]
