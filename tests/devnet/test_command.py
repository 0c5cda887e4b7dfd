"""`relayminer devnet` as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.devnet.errors import DevnetInfoError
from relayminer.devnet.info import read_info
from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.devnet.http_client import HttpClient

COMMAND = [sys.executable, "-c", "from relayminer.cli.devnet import devnet; devnet()"]
FREE_PORTS = ["--rpc-port=0", "--grpc-port=0", "--control-port=0", "--backend-port=0"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

pytestmark = pytest.mark.e2e


async def test_it_runs_and_stops(tmp_path: Path, http: HttpClient) -> None:
    """The command serves on the ports of its info file and ends cleanly on SIGTERM."""
    arguments = [*COMMAND, f"--home={tmp_path}", "--block-time=50ms", "--with-backend", *FREE_PORTS]
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(trio.run_process, arguments, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        )
        with trio.fail_after(20):
            info = None
            while info is None:
                try:
                    info = read_info(tmp_path)
                except DevnetInfoError:
                    await trio.sleep(0.02)
            height = "1"
            while int(height) < 3:
                answer = await http.request("GET", f"{info.rpc_url}/status")
                height = answer.body.partition(b'latest_block_height":"')[2].split(b'"')[0].decode()
            assert (await http.request("GET", f"{info.backend_url}/health")).status == 200
            process.send_signal(signal.SIGTERM)
            await process.wait()
    assert process.returncode == 0


async def test_a_taken_port_is_a_message(tmp_path: Path) -> None:
    """A devnet that cannot have its port says so in a line and exits 1."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listeners[0]:
        port = listeners[0].socket.getsockname()[1]
        arguments = [*COMMAND, f"--home={tmp_path}", *FREE_PORTS, f"--rpc-port={port}"]
        done = await trio.run_process(arguments, env=ENVIRONMENT, check=False, capture_stderr=True)
    assert done.returncode == 1
    assert b"the devnet cannot start" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["0s", "fast", "-1s", "1h"])
async def test_block_times_that_are_none(text: str) -> None:
    """A block time is a positive number with ms, s or m."""
    done = await trio.run_process(
        [*COMMAND, f"--block-time={text}"], env=ENVIRONMENT, check=False, capture_stderr=True
    )
    assert done.returncode == 2
    assert b"is not a time" in done.stderr
