"""A real browser, and a node with its console."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from relayminer.net.ports import free_port
from tests.e2e.node import Node, fetch, running_node, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

REQUIRED = "REQUIRE_BROWSER"
"""Set where a missing browser is a failure, as in CI."""
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.fixture(scope="module")
def chromium() -> str:
    """The path of Debian's Chromium."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        message = "no Chromium on this machine: apt-get install chromium"
        if os.environ.get(REQUIRED):
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """It runs, without a window."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - in its own process only

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@attrs.frozen
class Watched:
    """A node and the address of its console."""

    node: Node
    url: str
    chain: Path


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A node on a stepped chain whose console is on."""
    home = tmp_path_factory.mktemp("console")
    port = free_port()
    console = {"enabled": True, "listen": f"127.0.0.1:{port}", "interval_seconds": 0.2}
    with running_node(home, sections={"console": console}) as node:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: fetch(f"{url}/api/overview"))
        yield Watched(node, url, home / "chain")
