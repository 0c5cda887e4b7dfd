"""Options that commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relayminer.config.settings import Settings

config_option: Callable[[Any], Any] = click.option(
    "--config",
    "-c",
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file with the settings; config/relayminer.example.yaml explains all of them.",
)

home_option: Callable[[Any], Any] = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data directory, over what the file says.  [default: ~/.relayminer]",
)


def overrides(home: Path | None) -> dict[str, str]:
    """What the command line says over the file; relative paths count from here."""
    return {} if home is None else {"home": str(home.absolute())}


def load_settings(config: Path | None, values: Mapping[str, Any]) -> Settings:
    """The settings of a file, the environment and the command line.

    Raises:
        ConfigError: with everything that is wrong.
    """
    from relayminer.config.load import load  # noqa: PLC0415 - quick --help

    return load(config, values, os.environ)
