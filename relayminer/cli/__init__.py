"""The `relayminer` command."""

from __future__ import annotations

from relayminer.cli.root import main

__all__ = ["main"]
