"""The console as a service: looks while somebody watches, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from relayminer.config.console import is_loopback
from relayminer.console.overview import Overview
from relayminer.console.web import Live, console_app
from relayminer.story.explain import Teller
from relayminer.story.forecast import Prices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relayminer.config.console import ConsoleSettings
    from relayminer.console.overview import Sources

LOOK_SECONDS = 10.0
"""A look that takes longer is given up; the page keeps what it has."""


class Console:
    """Serves the operator's pages until cancelled.

    Args:
        settings: where, and to whom.
        sources: what they show.
    """

    name = "console"

    def __init__(self, settings: ConsoleSettings, sources: Sources) -> None:
        self._settings = settings
        self._overview = Overview(sources)
        self._lock = trio.Lock()
        self._newest: dict[str, Any] = {}
        self._looked_at = -float("inf")
        self._watchers = 0
        host = settings.listen.rpartition(":")[0].strip("[]")
        teller = Teller(sources.redis, sources.names, Prices(sources.chain))
        self._app = console_app(
            Live(self._look, self._watch, teller),
            token=settings.token,
            listens_here=is_loopback(host),
        )
        self.addresses: list[str] = []
        """Where it listens, once started."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        config = Config()
        config.bind = [self._settings.listen]
        config.accesslog = None
        config.errorlog = None
        config.graceful_timeout = 0.2
        async with trio.open_nursery() as nursery:
            self.addresses = await nursery.start(serve, self._app, config)
            task_status.started()

    async def _look(self) -> dict[str, Any]:
        """The newest overview; however many ask, one of them looks."""
        async with self._lock:
            if trio.current_time() - self._looked_at >= self._settings.interval_seconds / 2:
                with trio.move_on_after(LOOK_SECONDS):
                    self._newest = await self._overview.look()
                self._looked_at = trio.current_time()
        return self._newest

    def _watch(self) -> AsyncIterator[dict[str, Any]] | None:
        if self._watchers >= self._settings.max_watchers:
            return None
        return self._overviews()

    async def _overviews(self) -> AsyncIterator[dict[str, Any]]:
        self._watchers += 1
        try:
            while True:
                yield await self._look()
                await trio.sleep(self._settings.interval_seconds)
        finally:
            self._watchers -= 1
