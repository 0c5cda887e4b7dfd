"""The debug endpoint: pages for whoever looks after this process, on this machine alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import Response, jsonify, request
from quart_trio import QuartTrio

from relayminer.config.console import is_loopback
from relayminer.insight.profiles import RENDERERS, BusyError, Profiles
from relayminer.watchdog import task_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relayminer.config.debug import DebugSettings

DEFAULT_SECONDS: Final = 10.0
MAX_TASK_LINES: Final = 20_000
INDEX: Final = """\
RelayMiner, the inside of this process

/debug/profile?seconds=10&format=html   where the time goes, as a flame graph (text, speedscope)
/debug/heap?seconds=10                  which lines take memory and do not give it back
/debug/tasks                            the tree of Trio tasks, each with where it waits
/debug/state                            heights, leases, sessions, queues, readiness
/debug/config                           settings in force and where each comes from
"""


class DebugPlane:
    """Serves the debug pages until cancelled.

    Args:
        settings: where.
        state: what `/debug/state` tells, by name.
        config: what `/debug/config` tells: setting -> value and origin, secrets masked.
    """

    name = "debug endpoint"

    def __init__(
        self,
        settings: DebugSettings,
        state: Callable[[], Mapping[str, Any]],
        config: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._settings = settings
        self._state = state
        self._config = config
        self._profiles = Profiles()
        self._root: trio.lowlevel.Task | None = None
        self.addresses: list[str] = []

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        self._root = trio.lowlevel.current_root_task()
        config = Config()
        config.bind = [self._settings.listen]
        config.accesslog = None
        config.errorlog = None
        config.graceful_timeout = 0.2
        async with trio.open_nursery() as nursery:
            self.addresses = await nursery.start(serve, self.app(), config)
            task_status.started()

    def app(self) -> QuartTrio:
        """The application, without a server."""
        app = QuartTrio("relayminer.insight", static_folder=None)
        app.before_request(_only_here)
        for rule, view in (
            ("/", self.index),
            ("/debug/", self.index),
            ("/debug/profile", self.profile),
            ("/debug/heap", self.heap),
            ("/debug/tasks", self.tasks),
            ("/debug/state", self.state),
            ("/debug/config", self.config),
        ):
            app.add_url_rule(rule, view_func=view, methods=["GET"])
        return app

    async def index(self) -> Response:
        """What there is."""
        return _text(INDEX)

    async def profile(self) -> Response:
        """Sample the loop for a while."""
        form = request.args.get("format", "html")
        if form not in RENDERERS:
            return _text(f"no such format: write one of {', '.join(RENDERERS)}\n", 400)
        seconds = self._seconds()
        if seconds is None:
            return self._no_time()
        try:
            page, kind = await self._profiles.cpu(seconds, form)
        except BusyError as error:
            return _text(f"{error}\n", 409)
        return Response(page, content_type=kind)

    async def heap(self) -> Response:
        """Watch memory for a while."""
        seconds = self._seconds()
        if seconds is None:
            return self._no_time()
        try:
            return _text(await self._profiles.heap(seconds))
        except BusyError as error:
            return _text(f"{error}\n", 409)

    async def tasks(self) -> Response:
        """Every task, below the one that started it."""
        return _text("" if self._root is None else task_tree(self._root, MAX_TASK_LINES) + "\n")

    async def state(self) -> Response:
        """What the process knows and holds."""
        return jsonify(dict(self._state()))

    async def config(self) -> Response:
        """What holds."""
        return jsonify(dict(self._config()))

    def _seconds(self) -> float | None:
        """How long to look; None for a time that cannot be."""
        try:
            seconds = float(request.args.get("seconds", DEFAULT_SECONDS))
        except ValueError:
            return None
        return seconds if 0 < seconds <= self._settings.max_profile_seconds else None

    def _no_time(self) -> Response:
        most = self._settings.max_profile_seconds
        return _text(f"seconds must be above 0 and at most {most:g}\n", 400)


async def _only_here() -> Response | None:
    """Names of other hosts are not answered, whatever address they lead to."""
    host = urlsplit(f"//{request.host}").hostname or ""
    if is_loopback(host):
        return None
    return _text("this endpoint answers to localhost only\n", 403)


def _text(text: str, status: int = 200) -> Response:
    return Response(text, status, content_type="text/plain; charset=utf-8")
