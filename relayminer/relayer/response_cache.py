"""Answers of immutable methods, kept in memory. Every relay still gets a signature of its own."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NoReturn

from relayminer.net.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.config.traffic import ResponseCacheSettings
    from relayminer.relayer.lanes_calls import Calls

_OK = 200
_ENTRY_BYTES = 500
"""What an entry costs beside its key and its result."""
_MAX_SHARE = 8
"""An answer that would take more than this part of the cache is not kept."""
_MOVING = frozenset({"latest", "pending", "safe", "finalized"})
_HEADERS = [(b"Content-Type", b"application/json")]


class _Entry:
    __slots__ = ("expires_at", "result", "size")

    def __init__(self, result: bytes, size: int, expires_at: float) -> None:
        self.result = result
        self.size = size
        self.expires_at = expires_at


class ResponseCache:
    """Results by method and parameters, the least recently used go first.

    Kept is the `result` of a JSON-RPC answer with status 200, unless it is null or holds numbers
    that would not come back as they were; never an error, never a batch, never a question about
    what moves (`latest`, `pending`, `safe`, `finalized`).

    Args:
        settings: which methods, how many bytes, for how long.
        clock: monotonic seconds.
    """

    def __init__(self, settings: ResponseCacheSettings, clock: Callable[[], float]) -> None:
        self._methods = frozenset(settings.methods)
        self._max_bytes = settings.max_bytes
        self._ttl_seconds = settings.ttl_seconds
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self.bytes_kept = 0

    def key_of(self, place: str, calls: Calls) -> bytes | None:
        """Under which key an answer may be kept; None when it may not.

        Args:
            place: where the question goes: the RPC type and the URL.
            calls: what is asked.
        """
        call = calls.single
        if call is None or call.get("method") not in self._methods:
            return None
        if call.get("jsonrpc") != "2.0" or not _is_plain_id(call.get("id")):
            return None
        params = call.get("params", [])
        if _moves(params):
            return None
        asked = [place, call["method"], params]
        return json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()

    def find(self, key: bytes, calls: Calls) -> Response | None:
        """The answer to the question of `key`, with the asker's own id."""
        entry = self._entries.get(key)
        if entry is None or calls.single is None:
            return None
        if entry.expires_at <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        wanted = json.dumps(calls.single["id"]).encode()
        body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (wanted, entry.result)
        return Response(_OK, list(_HEADERS), body)

    def holds(self, key: bytes) -> bool:
        """Whether `find` would answer."""
        entry = self._entries.get(key)
        return entry is not None and entry.expires_at > self._clock()

    def keep(self, key: bytes, calls: Calls, response: Response) -> None:
        """Keep a backend's answer if it may be kept."""
        limit = self._max_bytes // _MAX_SHARE
        if response.status != _OK or len(response.body) > limit:
            return
        result = _result_of(response.body, calls)
        if result is None:
            return
        size = len(key) + len(result) + _ENTRY_BYTES
        if size > limit:
            return
        if key in self._entries:
            self._drop(key)
        self._entries[key] = _Entry(result, size, self._clock() + self._ttl_seconds)
        self.bytes_kept += size
        while self.bytes_kept > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        self.bytes_kept -= self._entries.pop(key).size


def _result_of(body: bytes, calls: Calls) -> bytes | None:
    try:
        answer = json.loads(body, parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or "error" in answer or answer.get("result") is None:
        return None
    if calls.single is None or answer.get("id") != calls.single["id"]:
        return None
    return json.dumps(answer["result"], separators=(",", ":"), ensure_ascii=False).encode(
        errors="surrogatepass"
    )


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def _is_plain_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _moves(params: Any) -> bool:
    if isinstance(params, str):
        return params in _MOVING
    if isinstance(params, float):
        return True
    if isinstance(params, dict):
        return any(_moves(value) for value in params.values())
    return isinstance(params, list) and any(_moves(value) for value in params)
