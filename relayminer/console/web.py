"""The web application: three pages' worth of data and the files that show it."""

from __future__ import annotations

import hmac
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import frozen
from quart import Response, jsonify, redirect, request
from quart_trio import QuartTrio

from relayminer.config.console import is_loopback
from relayminer.state.errors import StateError
from relayminer.story.errors import UnknownSessionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from werkzeug.wrappers import Response as Redirect

    from relayminer.story.explain import Teller

COOKIE: Final = "relayminer-console"
_PAGES: Final = files("relayminer.console") / "pages"
_FILES: Final = {
    "index.html": "text/html; charset=utf-8",
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "timeline.js": "text/javascript; charset=utf-8",
    "session.js": "text/javascript; charset=utf-8",
    "format.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_HEADERS: Final = {
    # Nothing comes from, or goes to, another host.
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@frozen
class Live:
    """What the pages are told.

    Attributes:
        now: the newest overview.
        watch: overviews as they come, or None when too many watch already.
        teller: of one session's story.
    """

    now: Callable[[], Awaitable[dict[str, Any]]]
    watch: Callable[[], AsyncIterator[dict[str, Any]] | None]
    teller: Teller


def console_app(live: Live, *, token: str, listens_here: bool) -> QuartTrio:
    """The application, without a server.

    Args:
        live: what to tell.
        token: what a visitor has to show; empty: nothing.
        listens_here: whether only this machine reaches it: then only its names are answered.
    """
    app = QuartTrio("relayminer.console", static_folder=None)
    pages = _Pages(live)
    app.before_request(_Guard(token, listens_here=listens_here).check)
    app.after_request(_harden)
    for rule, view in (
        ("/", pages.index),
        ("/pages/<name>", pages.page),
        ("/api/overview", pages.overview),
        ("/api/session/<supplier>/<session_id>", pages.session),
        ("/events", pages.events),
    ):
        app.add_url_rule(rule, view_func=view, methods=["GET"])
    return app


class _Guard:
    """Who may look."""

    def __init__(self, token: str, *, listens_here: bool) -> None:
        self._token = token
        self._listens_here = listens_here

    async def check(self) -> Response | Redirect | None:
        """None when the visitor may."""
        # A page of another site must not read ours by giving its own name our address.
        host = urlsplit(f"//{request.host}").hostname or ""
        if self._listens_here and not is_loopback(host):
            return Response("this console answers to localhost only\n", 403)
        if not self._token:
            return None
        if self._is_ours(request.args.get("token", "")):
            answer = redirect(request.path)
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="Strict")
            return answer
        shown = request.cookies.get(COOKIE, "") or _bearer(request.headers.get("Authorization", ""))
        if self._is_ours(shown):
            return None
        return Response("open this page once with ?token=... (console.token)\n", 401)

    def _is_ours(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode(), self._token.encode())


class _Pages:
    """What is answered."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def index(self) -> Response:
        return _file("index.html")

    async def page(self, name: str) -> Response:
        return _file(name)

    async def overview(self) -> Response:
        return jsonify(await self._live.now())

    async def session(self, supplier: str, session_id: str) -> tuple[Response, int]:
        teller = self._live.teller
        try:
            for account in await teller.find(session_id):
                if account.supplier == supplier:
                    return jsonify((await teller.tell(account)).as_json()), 200
        except UnknownSessionError as error:
            return jsonify(error=str(error)), 404
        except StateError as error:
            return jsonify(error=str(error)), 503
        return jsonify(error=f"{supplier} has no session {session_id}"), 404

    async def events(self) -> Response:
        watched = self._live.watch()
        if watched is None:
            return Response("too many pages are open (console.max_watchers)\n", 503)
        response = Response(_stream(watched), content_type="text/event-stream")
        # A page stays open for as long as somebody looks at it.
        response.timeout = None
        return response


async def _harden(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers[name] = value
    return response


async def _stream(watched: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for found in watched:
        yield b"data: " + json.dumps(found, separators=(",", ":")).encode() + b"\n\n"


def _bearer(header: str) -> str:
    scheme, _, value = header.partition(" ")
    return value if scheme.lower() == "bearer" else ""


def _file(name: str) -> Response:
    kind = _FILES.get(name)
    if kind is None:
        return Response("no such page\n", 404)
    return Response((_PAGES / name).read_bytes(), content_type=kind)
