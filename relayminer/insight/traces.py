"""Sends spans to a collector: OTLP over HTTP.

It holds nobody up. What is not taken is kept while there is room and tried again at growing
intervals; what has no room any more is dropped, the oldest first, and counted. A process that stops
tries once more, for a moment, unless the other side is known to be away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog
import trio

from relayminer.insight.otlp import encode_request, otlp_span, refused_spans
from relayminer.net.client import HttpPool
from relayminer.net.dial import TLS_SCHEMES
from relayminer.net.errors import NetError, TlsSetupError
from relayminer.net.server import fetch
from relayminer.net.tls import ClientTls, client_context
from relayminer.net.url import DEFAULT_PORTS, Origin
from relayminer.net.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

    from relayminer.config.tracing import TracingSettings
    from relayminer.telemetry.spans import Traces, Value

FIRST_PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 30.0
"""Between two tries to have the same spans taken."""
LAST_WORDS_SECONDS: Final = 2.0
"""How long a process that stops waits for its last spans to be taken."""
SLICE_SPANS: Final = 32
"""Written in one go; then relays have their turn."""
ANSWER_BYTES_MAX: Final = 65_536
SCOPE: Final = "relayminer"
_TAKEN: Final = range(200, 300)
_LATER: Final = frozenset({408, 429, 502, 503, 504})

_log = structlog.get_logger("relayminer.traces")


class TraceExporter:
    """Sends spans until cancelled; a `Service`.

    Args:
        settings: where to, how often.
        traces: where spans wait.
        resource: what all of them have in common.
        first_pause_seconds: after a try that failed.

    Raises:
        TlsSetupError: `ca_file` cannot be used.
    """

    name = "traces"

    def __init__(
        self,
        settings: TracingSettings,
        traces: Traces,
        resource: Mapping[str, Value],
        *,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._settings = settings
        self._traces = traces
        self._resource = {"service.name": settings.service_name, **resource}
        self._first_pause_seconds = first_pause_seconds
        self._in_hand: list[OtlpSpan] = []
        self._is_away = False
        self._problem = ""
        results = traces.results
        self._sent, self._refused = results.bind("sent"), results.bind("refused")
        self._not_sent = results.bind("not_sent")
        self._watchdog = Watchdog()
        parts = urlsplit(settings.endpoint)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        origin = Origin(parts.scheme, parts.hostname or "", port)
        self._pool = HttpPool(
            origin,
            self._watchdog,
            max_connections=1,
            idle_seconds=30.0,
            tls=_trust(settings.ca_file) if parts.scheme in TLS_SCHEMES else None,
        )
        self._target = (f"{parts.path}?{parts.query}" if parts.query else parts.path).encode()
        headers = {"Content-Type": "application/x-protobuf", **settings.headers}
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        if settings.headers and parts.scheme not in TLS_SCHEMES:
            _log.warning("the headers of traces go over an unencrypted connection")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watchdog.run)
            task_status.started()
            try:
                while True:
                    await self._traces.wait_enough(self._settings.interval_seconds)
                    while await self._take():
                        await self._deliver()
            finally:
                await self._last_words()
                self._pool.close()

    async def _take(self) -> bool:
        """Have a batch in hand, unless there is one; False when there is nothing to send."""
        spans = [] if self._in_hand else self._traces.take()
        for number, span in enumerate(spans, 1):
            self._in_hand.append(otlp_span(span))
            if number % SLICE_SPANS == 0:
                # Shielded, so that no span is lost between the two lists.
                await trio.lowlevel.cancel_shielded_checkpoint()
        return bool(self._in_hand)

    async def _deliver(self) -> None:
        """Have what is in hand taken, however long that takes."""
        pause_seconds = self._first_pause_seconds
        while not await self._post(self._settings.timeout_seconds):
            await trio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, MAX_PAUSE_SECONDS)

    async def _last_words(self) -> None:
        """What is left, if the other side is there."""
        with trio.move_on_after(LAST_WORDS_SECONDS, shield=True):
            while not self._is_away and await self._take():
                await self._post(LAST_WORDS_SECONDS)
        self._not_sent.value += len(self._in_hand) + self._traces.drop()

    async def _post(self, seconds: float) -> bool:
        """Whether what was in hand is done with: taken, or refused for good."""
        body = encode_request(self._resource, SCOPE, self._in_hand)
        status, refused, problem = 0, 0, ""
        try:
            with trio.fail_after(seconds):
                answer = await fetch(
                    self._pool,
                    b"POST",
                    self._target,
                    headers=self._headers,
                    body=body,
                    timeout_seconds=seconds,
                    max_response_bytes=ANSWER_BYTES_MAX,
                )
                status = answer.status
                if status in _TAKEN:
                    refused, problem = refused_spans(answer.body)
        except (NetError, trio.TooSlowError) as error:
            problem = type(error).__name__
        self._tell(problem or (f"status {status}" if status not in _TAKEN else ""))
        self._is_away = not status or status in _LATER
        if self._is_away:
            return False
        count, self._in_hand = len(self._in_hand), []
        refused = min(refused, count) if status in _TAKEN else count
        self._refused.value += refused
        self._sent.value += count - refused
        return True

    def _tell(self, problem: str) -> None:
        """Say it once when something is wrong, and when it is over."""
        if problem == self._problem:
            return
        self._problem = problem
        if problem:
            _log.warning("spans are not taken", reason=problem)
        else:
            _log.info("spans are taken again")


def _trust(ca_file: Path | None) -> ClientTls:
    try:
        return ClientTls(client_context(ca_file=ca_file))
    except TlsSetupError as error:
        raise TlsSetupError(f"tracing.ca_file {error}") from None
