"""A process that is told to stop before it has started."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.cli.command import COMMAND, ENVIRONMENT
from tests.state.test_embedded_cancel import servers

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

SECONDS = 30
NOBODY = "127.0.0.1:9"


def config(home: Path) -> Path:
    """A node whose chain does not answer."""
    keys = home / "keys.yaml"
    keys.write_text(yaml.safe_dump({"keys": ["11" * 32]}), encoding="utf-8")
    keys.chmod(0o600)
    path = home / "node.yaml"
    document = {
        "home": "node",
        "chain": {"chain_id": "nobody", "rpc_url": f"http://{NOBODY}", "grpc_url": NOBODY},
        "keys": {"keys_file": str(keys)},
        "relayer": {
            "listen": "127.0.0.1:0",
            "services": {"svc": {"backends": {"jsonrpc": {"url": f"http://{NOBODY}"}}}},
        },
        "control": {"enabled": False},
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def wait_until(condition: object, process: subprocess.Popen[bytes]) -> None:
    """Wait until `condition()` holds while the process lives."""
    deadline = time.monotonic() + SECONDS
    while not condition():  # type: ignore[operator]  # a callable
        assert process.poll() is None, "the process has ended"
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_waits_for_its_chain_can_be_stopped(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Told to stop while the chain does not answer, it ends with 0 and takes its store along."""
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "run", "--config", str(config(tmp_path))], env=ENVIRONMENT, stderr=output
        )
        try:
            wait_until(lambda: b"does not answer" in log.read_bytes(), process)
            process.send_signal(number)
            assert process.wait(SECONDS) == 0, log.read_text("utf-8")
        finally:
            process.kill()
            process.wait(SECONDS)
    assert servers(tmp_path) == []


def test_a_node_stopped_at_any_moment_of_its_start_leaves_no_server(tmp_path: Path) -> None:
    """However far a start has come when it is told to stop, no store stays behind."""
    path = config(tmp_path)
    for tenths in (4, 6, 8, 10, 12):
        process = subprocess.Popen(
            [*COMMAND, "run", "--config", str(path)], env=ENVIRONMENT, stderr=subprocess.DEVNULL
        )
        time.sleep(tenths / 10)
        process.terminate()
        process.wait(SECONDS)
        assert servers(tmp_path) == []
