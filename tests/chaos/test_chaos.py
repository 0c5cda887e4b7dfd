"""The short form of `make chaos`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import trio

from tests.chaos.plan import ChaosOptions, Kind, troubles
from tests.cli.command import ENVIRONMENT
from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

SEED = 1
MINUTES_SOAK = 10.0
START_SECONDS = 180


@pytest.mark.timeout(1500)
async def test_nothing_is_lost_or_paid_twice_whatever_dies(tmp_path: Path, soak: bool) -> None:
    """Killed, stopped, without store or chain: what was answered is claimed once and settled."""
    minutes = MINUTES_SOAK if soak else 1.0
    arguments = (f"--seed={SEED}", f"--minutes={minutes:g}", f"--home={tmp_path}")
    with trio.fail_after(2 * minutes * 60 + START_SECONDS):
        result = await trio.run_process(
            [sys.executable, "-m", "tests.chaos", *arguments],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=REPOSITORY,
            env=ENVIRONMENT,
        )
    said = result.stdout.decode()
    assert result.returncode == 0, said + result.stderr.decode()
    assert said.splitlines()[-1].endswith("difference 0"), said


def test_a_seed_is_one_plan(tmp_path: Path) -> None:
    """The same seed brings the same troubles, and ten minutes bring every kind of them."""
    plan = troubles(ChaosOptions(home=tmp_path, seed=SEED))
    assert plan == troubles(ChaosOptions(home=tmp_path, seed=SEED))
    assert plan != troubles(ChaosOptions(home=tmp_path, seed=SEED + 1))
    assert {one.kind for one in plan} == set(Kind)
