"""Typed settings and their errors."""

from __future__ import annotations

from relayminer.config.errors import ConfigError, Problem
from relayminer.config.load import load
from relayminer.config.settings import Settings

__all__ = ["ConfigError", "Problem", "Settings", "load"]
