"""`relayminer redis`, with all of its commands."""

from __future__ import annotations

from relayminer.cli.store import changes
from relayminer.cli.store.commands import redis

COMMANDS_THAT_CHANGE = (changes.cache, changes.flush)

__all__ = ["COMMANDS_THAT_CHANGE", "redis"]
