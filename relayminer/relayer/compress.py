"""Gzip of whole answers, for clients that accept it (relayer.md 2.6). Off by default."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Final

import trio

from relayminer.plugin import RelayAnswer

if TYPE_CHECKING:
    from relayminer.config.simulation import CompressionSettings
    from relayminer.net.http1 import Headers
    from relayminer.plugin import RelayCall

_LEVEL: Final = 5
_INLINE_BYTES: Final = 32_768
"""Larger answers are compressed in a thread: the loop has others to serve."""
_GZIP: Final = frozenset({b"gzip", b"x-gzip", b"*"})
_OK: Final = 200


class Compressor:
    """Compresses signed answers.

    Args:
        min_size_bytes: smaller answers go as they are.
        threads: at once.
    """

    def __init__(self, min_size_bytes: int, threads: int = 2) -> None:
        self._min_size_bytes = min_size_bytes
        self._threads = trio.CapacityLimiter(threads)

    async def apply(self, call: RelayCall, answer: RelayAnswer) -> RelayAnswer:
        """The answer as the client wants it."""
        body = answer.body
        if (
            answer.status != _OK
            or len(body) < self._min_size_bytes
            or not call.may_compress
            or not accepts_gzip(call.headers)
        ):
            return answer
        if len(body) <= _INLINE_BYTES:
            packed = _pack(body)
        else:
            packed = await trio.to_thread.run_sync(_pack, body, limiter=self._threads)
        if packed is None or len(packed) >= len(body):
            return answer
        headers = [*(answer.headers or []), (b"Content-Encoding", b"gzip")]
        return RelayAnswer(answer.status, packed, answer.content_type, headers, lease=answer.lease)


def compressor_of(settings: CompressionSettings) -> Compressor | None:
    """None when answers are never compressed."""
    return Compressor(settings.min_size_bytes) if settings.enabled else None


def accepts_gzip(headers: Headers) -> bool:
    """Whether an `Accept-Encoding` allows gzip: named, or `*`, and not with `q=0`."""
    for name, value in headers:
        if name != b"accept-encoding":
            continue
        for item in value.lower().split(b","):
            coding, _, parameters = item.partition(b";")
            if coding.strip() in _GZIP:
                return not _is_refused(parameters)
    return False


def _is_refused(parameters: bytes) -> bool:
    quality = parameters.strip().removeprefix(b"q=")
    return bool(quality) and quality.strip(b"0.") == b""


def _pack(body: bytes) -> bytes | None:
    try:
        return gzip.compress(body, _LEVEL, mtime=0)
    except (zlib.error, MemoryError):
        return None
