"""The pages in a real browser, in a process of their own (browser_pages.py says why)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vector_data import REPOSITORY

pytestmark = pytest.mark.e2e

PAGES = Path(__file__).with_name("browser_pages.py")
SECONDS = 220


def test_the_pages_in_a_real_browser(chromium: str, request: pytest.FixtureRequest) -> None:
    """They load, live values change, no console error, no request leaves the host."""
    options = ["--screenshots"] if request.config.getoption("--screenshots") else []
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(PAGES)],
        cwd=REPOSITORY,
        env={**os.environ, "REQUIRE_BROWSER": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{chromium}\n{done.stdout}{done.stderr}"
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
