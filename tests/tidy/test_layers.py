"""Imports point down only (docs/architecture.md), and plugins stay on the public surface."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Each package may import itself and what is listed here; SERVES_ALL serve everyone.
SERVES_ALL = {"errors", "service", "watchdog"}
PURE = {"protocol", "smst"}
SUPPORT = {"config", "telemetry"}
OUTSIDE_WORLD = {"state", "chain", "keys", "net"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "service": set(),
    "watchdog": {"telemetry"},
    "protocol": set(),
    "smst": set(),
    "config": {"protocol"},
    "telemetry": set(),
    "net": set(),
    "keys": PURE | SUPPORT,
    "state": PURE | SUPPORT | {"net"},
    "chain": PURE | SUPPORT | {"net"},
    "plugin": PURE | SUPPORT | OUTSIDE_WORLD | {"relayer", "cache"},
    "cache": PURE | SUPPORT | OUTSIDE_WORLD | {"plugin"},
    "relayer": PURE | SUPPORT | OUTSIDE_WORLD | {"cache", "plugin"},
    "miner": PURE | SUPPORT | OUTSIDE_WORLD | {"cache"},
    "gateway": PURE | {"net"},
    "story": PURE | SUPPORT | OUTSIDE_WORLD,
    "insight": SUPPORT | {"net"},
    "console": PURE | SUPPORT | OUTSIDE_WORLD | {"cache", "story"},
    "devnet": PURE | {"net", "gateway"},
    "testing": PURE
    | SUPPORT
    | OUTSIDE_WORLD
    | {"devnet", "gateway", "plugin", "relayer", "cache", "miner"},
}
UNBOUNDED = {
    "cli",
    "app",
    "mining",
    "roles",
    "observing",
    "reload",
    "workers",
    "demo",
    "__main__",
    "__init__",
}


def sources(folder: str) -> Iterator[Path]:
    """Python files below `folder` that people wrote."""
    for path in sorted((REPOSITORY / folder).rglob("*.py")):
        if not path.name.endswith("_pb2.py"):
            yield path


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute names of the modules that `path` imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def part(module: str) -> str:
    """The layer of `relayminer.<layer>...`."""
    return module.split(".")[1] if "." in module else "__init__"


def test_imports_point_down_only() -> None:
    """No package imports a package of a higher layer."""
    wrong: list[str] = []
    for path in sources("relayminer"):
        relative = path.relative_to(REPOSITORY / "relayminer")
        here = relative.parts[0].removesuffix(".py")
        if here in UNBOUNDED:
            continue
        allowed = ALLOWED[here] | SERVES_ALL | {here, "__init__"}
        wrong.extend(
            f"{relative} imports {module}"
            for module in imported_modules(path)
            if module.startswith("relayminer.") and part(module) not in allowed
        )
    assert wrong == []


def test_the_core_imports_no_plugin() -> None:
    """The core knows transports and cache types only through the registry."""
    wrong = [
        f"{path.relative_to(REPOSITORY)} imports {module}"
        for path in sources("relayminer")
        for module in imported_modules(path)
        if module.split(".")[0] == "relayminer_plugins"
    ]
    assert wrong == []


def test_first_party_plugins_use_only_the_public_surface() -> None:
    """What ours can do, a third party can do."""
    wrong = [
        f"{path.relative_to(REPOSITORY)} imports {module}"
        for path in sources("plugins")
        for module in imported_modules(path)
        if module.startswith("relayminer.") and not module.startswith("relayminer.plugin")
    ]
    assert wrong == []


def test_nothing_knows_the_devnet_but_the_command_line() -> None:
    """Against a real chain the same code runs: no devnet-only path, name or constant outside."""
    wrong = [
        str(path.relative_to(REPOSITORY))
        for path in sources("relayminer")
        if path.relative_to(REPOSITORY / "relayminer").parts[0]
        not in {"devnet", "cli", "demo", "testing"}
        and "devnet" in path.read_text(encoding="utf-8").lower()
    ]
    assert wrong == []


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_every_layer_in_the_table_exists(package: str) -> None:
    """The table above speaks of packages that are there."""
    root = REPOSITORY / "relayminer"
    assert (root / package).is_dir() or (root / f"{package}.py").is_file()
