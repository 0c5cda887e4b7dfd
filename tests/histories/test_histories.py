"""Histories from seeds: whatever fails, every relay is paid once and nobody harms anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest
import trio

from tests.vector_data import REPOSITORY

HISTORIES: Final = 300
HISTORIES_SOAK: Final = 10_000
WORKERS: Final = 2
REGRESSIONS: Final[tuple[int, ...]] = (23031, 23041)
"""Seeds beyond the first ones that found something once."""


def command(*arguments: str) -> list[str]:
    """The program that runs histories."""
    return [sys.executable, "-m", "tests.histories", *arguments]


async def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the program in a process of its own."""
    result = await trio.run_process(
        command(*arguments),
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    return result.returncode, result.stdout.decode()


@pytest.mark.timeout(3600)
async def test_every_history_ends_well(soak: bool) -> None:
    """After the faults heal all that could be claimed is settled, once and whole.

    A seed that fails is printed; `python -m tests.histories --seed N` tells its story.
    """
    count = HISTORIES_SOAK if soak else HISTORIES
    failures: list[str] = []

    async def some(first: int) -> None:
        share = ("--first", str(first), "--count", str(count - first), "--step", str(WORKERS))
        code, said = await run(*share)
        if code:
            failures.append(said)

    async with trio.open_nursery() as nursery:
        for first in range(WORKERS):
            nursery.start_soon(some, first)
    assert not failures, "\n".join(failures)


async def test_what_failed_once() -> None:
    """Seeds that have found a fault end well since it was mended."""
    for seed in REGRESSIONS:
        code, said = await run("--first", str(seed), "--count", "1")
        assert code == 0, said


async def test_a_seed_is_one_history() -> None:
    """The same seed gives the same history, to the last command sent to the store."""
    first, second = await run("--seed", "7"), await run("--seed", "7")
    assert first[0] == 0, first[1]
    assert first[1].splitlines()[-1].startswith("digest ")
    assert first[1].splitlines()[-1] == second[1].splitlines()[-1]
    assert (await run("--seed", "8"))[1].splitlines()[-1] != first[1].splitlines()[-1]
