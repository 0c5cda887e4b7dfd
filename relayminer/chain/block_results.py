"""A `/block_results` answer read as a stream, keeping only the events of the block's end.

The answer's `txs_results` come first and nothing bounds them. They are skipped unparsed: the name
that is looked for, in quotes and before a colon, cannot occur inside a JSON string, where every
quote is escaped.
"""

from __future__ import annotations

import json
import re
from typing import Any

import httptools

from relayminer.net.errors import BadResponseError, ResponseTooLargeError

MAX_KEPT_BYTES = 64 * 1024 * 1024
"""From the start of the events to the end of the answer."""
MAX_READ_BYTES = 1024 * 1024 * 1024
"""Of one answer, skipped bytes included."""
HEAD_BYTES = 65_536
"""Kept of an answer's start, to read an error from."""

_WANTED = re.compile(rb'"finalize_block_events"\s*:\s*(?=\S)')
_OVERLAP_BYTES = 256


class EventsReader:
    """Turns the bytes of one HTTP answer into the events that it holds.

    Attributes:
        complete: the whole answer was read.
        status: HTTP status code.
        head: the body's first bytes.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._problem: Exception | None = None
        self._seeking = b""
        self._kept = bytearray()
        self._found = False
        self._read_bytes = 0
        self.complete = False
        self.status = 0
        self.head = b""

    def feed(self, data: bytes) -> None:
        """Read on.

        Raises:
            ResponseTooLargeError: more bytes than a limit allows.
            BadResponseError: this is not HTTP/1.1.
        """
        if self.complete:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise self._problem or BadResponseError("malformed HTTP answer") from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BadResponseError(f"malformed HTTP answer: {error}") from None

    def end(self) -> bool:
        """The server has closed; whether what was read can be the whole answer."""
        self.complete = self.complete or bool(self.status)
        return self.complete

    @property
    def events(self) -> list[dict[str, Any]] | None:
        """The events, or None when the answer has none (an error, or cut short)."""
        if not self._found:
            return None
        try:
            events, _ = json.JSONDecoder().raw_decode(self._kept.decode())
        except (ValueError, RecursionError):
            return None
        return events if isinstance(events, list) else []

    def on_headers_complete(self) -> None:
        """The status is known."""
        self.status = self._parser.get_status_code()

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body: look for the events, or keep what belongs to them."""
        self._read_bytes += len(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        if self._found:
            self._kept += chunk
        else:
            self._seek(chunk)
        if len(self._kept) > MAX_KEPT_BYTES or self._read_bytes > MAX_READ_BYTES:
            self._problem = ResponseTooLargeError("the block's results have more bytes than read")
            raise self._problem

    def on_message_complete(self) -> None:
        """The answer is complete."""
        self.complete = True

    def _seek(self, chunk: bytes) -> None:
        text = self._seeking + chunk
        match = _WANTED.search(text)
        if match is None:
            self._seeking = text[-_OVERLAP_BYTES:]
            return
        self._found = True
        self._seeking = b""
        self._kept += text[match.end() :]
