"""Which process tells a person of what all processes of a fleet see alike.

Who sees trouble first takes the word for it in the store, the others know by that that it was told.
A word lives as long as somebody sees the trouble, and who sees first that it is over takes it back
and says so. A store that is away keeps nobody from telling: twice is better than not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

WORD_SECONDS: Final = 900
"""How long a word lives that nobody has kept alive."""
ASK_SECONDS: Final = 1.0

_log = structlog.get_logger("relayminer.notify")


class NoticeWords:
    """The words that processes of a fleet have taken, by event and subject.

    Args:
        redis: the shared store.
        names: its key names.
        process: who we are, for a person who looks into the store.
    """

    def __init__(self, redis: Redis, names: KeyNames, process: str) -> None:
        self._redis = redis
        self._names = names
        self._process = process

    async def take(self, event: str, subject: str) -> bool:
        """Whether it is ours to tell that something is so."""
        name = self._names.notice_key(event, subject)
        try:
            taken = await self._redis.command(
                *("SET", name, self._process, "NX", "EX", WORD_SECONDS),
                timeout_seconds=ASK_SECONDS,
            )
        except StateError as error:
            _log.debug("told without asking the others", reason=str(error))
            return True
        return taken is not None

    async def take_back(self, event: str, subject: str) -> bool:
        """Whether it is ours to tell that it is over."""
        name = self._names.notice_key(event, subject)
        try:
            return bool(await self._redis.command("DEL", name, timeout_seconds=ASK_SECONDS))
        except StateError as error:
            _log.debug("told without asking the others", reason=str(error))
            return True

    async def keep(self, words: Iterable[tuple[str, str]]) -> None:
        """Let the words of troubles that are still so live on."""
        commands = [("EXPIRE", self._names.notice_key(*word), WORD_SECONDS) for word in words]
        try:
            await self._redis.pipeline(commands, timeout_seconds=ASK_SECONDS)
        except StateError as error:
            _log.debug("words of notices not kept", reason=str(error))
