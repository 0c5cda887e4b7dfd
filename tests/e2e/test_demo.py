"""The two commands of the README do what they say, and survive what they say they survive."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

DEMO_SECONDS = 170


def run_demo(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A small demonstration in a process of its own, logs in `home`."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "relayminer",
            "demo",
            f"--home={home}",
            "--block-seconds=0.5",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS,
        check=False,
        env=None,
    )


def explained(result: subprocess.CompletedProcess[str], home: Path) -> str:
    """What a failed demonstration said, with the end of its processes' logs."""
    logs = [
        f"--- {path.name}\n{path.read_text(encoding='utf-8', errors='replace')[-3000:]}"
        for path in sorted(home.glob("*.log"))
    ]
    return "\n".join([result.stdout, result.stderr, *logs])


def test_every_relay_is_paid_and_every_balance_exact(tmp_path: Path) -> None:
    """Signed relays in, uPOKT out: no count and no balance differs by one."""
    result = run_demo(tmp_path, "--sessions=2", "--relays-per-row=30")
    assert result.returncode == 0, explained(result, tmp_path)
    assert "every relay is paid, every balance is exact" in result.stdout


@pytest.mark.parametrize("victim", ["relayminer", "store"])
def test_what_was_answered_is_paid_although_a_process_was_killed(
    tmp_path: Path, victim: str
) -> None:
    """`kill -9` in the middle of a session loses no answered relay and pays none twice."""
    result = run_demo(tmp_path, "--sessions=2", "--relays-per-row=40", f"--kill-{victim}")
    assert result.returncode == 0, explained(result, tmp_path)
