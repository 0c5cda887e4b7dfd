"""The example under docs/examples, installed as a third party's: found, and as good as ours."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from relayminer.testing.conformance import CHECKS, Check
from relayminer.testing.process import ProcessStands
from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relayminer.testing.driver import TransportDriver

EXAMPLE = REPOSITORY / "docs" / "examples" / "framed_transport"
INSTALL = (
    *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
    *("--no-build-isolation", "--disable-pip-version-check", "--no-compile"),
)

pytestmark = [pytest.mark.conformance, pytest.mark.e2e]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the example as pip installs it."""
    target = tmp_path_factory.mktemp("installed")
    done = subprocess.run(
        [*INSTALL, f"--target={target}", str(EXAMPLE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def driver(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TransportDriver]:
    """The example's own driver, from its own tests."""
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.syspath_prepend(str(EXAMPLE / "tests"))
    module: Any = importlib.import_module("framed_driver")
    yield module.FramedDriver()
    for name in [name for name in sys.modules if name.startswith(("framed_", "relayminer_framed"))]:
        del sys.modules[name]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_example(
    check: Check, driver: TransportDriver, installed: Path, *, soak: bool
) -> None:
    """Every check holds over a plugin that `relayminer run` finds by its entry point."""
    plugins = REPOSITORY / "plugins"
    await check(ProcessStands(driver, soak=soak, python_path=(installed, REPOSITORY, plugins)))


def test_the_examples_own_tests_pass(tmp_path: Path) -> None:
    """What a reader is told to run runs: the suite in process, without an installation."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"--basetemp={tmp_path / 'pytest'}", f"--rootdir={EXAMPLE}", str(EXAMPLE)),
        ],
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(CHECKS)} passed" in done.stdout
