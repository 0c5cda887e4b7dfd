"""A backend that streams, on its way to the client: signed batches (relayer.md 5).

Each batch is a whole signed response of its own, followed by a delimiter; together their bodies are
the backend's body, byte for byte. **What is mined is the last batch**: the stream's end always is
a batch (an empty one when nothing else is left to send), it is logged before it is sent, and so the
leaf is a response that the client of a complete stream got (DESIGN 12), with a payload hash that
anybody can check. A stream that breaks off, whoever broke it, is neither mined nor charged, and
its last delimiter is missing.

K-17 is done the better way: see `stream_batches.py` for the flushing; length and hop-by-hop headers
are the transport's; a client that leaves is not held against the backend.
"""

from __future__ import annotations

import math
import zlib
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import trio

from relayminer.net.errors import NetError, WireTimeoutError
from relayminer.plugin import StreamAnswer
from relayminer.relayer.errors import RefusedError
from relayminer.relayer.stream_batches import Batches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from relayminer.net.http1 import Headers
    from relayminer.net.response_stream import ResponseStream
    from relayminer.plugin import AnswerSink
    from relayminer.relayer.pool import BackendPool, Endpoint
    from relayminer.relayer.relay import Relay
    from relayminer.relayer.sign import Signer
    from relayminer.telemetry.metrics import Metrics

STREAM_TYPES: Final = frozenset({b"text/event-stream", b"application/x-ndjson"})
NO_STREAM: Final[frozenset[bytes]] = frozenset()
DELIMITER: Final = b"||POKT_STREAM||"
_INFLATED_BYTES: Final = 65_536
_NOT_PASSED_ON: Final = frozenset(
    {
        b"connection",
        b"content-encoding",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


class Verdict(Protocol):
    """Tells a pool how an endpoint's stream went."""

    def __call__(self, pool: BackendPool, endpoint: Endpoint, /) -> None:
        """Exactly once per stream."""
        ...


class StreamBrokenError(RefusedError):
    """The stream's end is missing.

    Attributes:
        verdict: on the endpoint.
    """

    def __init__(self, reason: str, verdict: Verdict) -> None:
        super().__init__(502, "stream broken", reason)
        self.verdict = verdict


class _ClientGoneError(StreamBrokenError):
    def __init__(self) -> None:
        super().__init__("client_disconnected", _released)


class _BackendBrokeError(StreamBrokenError):
    def __init__(self) -> None:
        super().__init__("backend_network_error", _failed)


def _succeeded(pool: BackendPool, endpoint: Endpoint, seconds: float) -> None:
    pool.succeeded(endpoint, seconds)


def _released(pool: BackendPool, endpoint: Endpoint) -> None:
    pool.released(endpoint)


def _failed(pool: BackendPool, endpoint: Endpoint) -> None:
    pool.failed(endpoint, "it broke a stream off")


class StreamMetrics:
    """Of all streams (relayer.md 13)."""

    def __init__(self, metrics: Metrics) -> None:
        prefix = "ha_relayer_streaming_"
        self.served = metrics.counter(
            prefix + "relays_served", "Streams completed", ("service_id",)
        )
        self.bytes = metrics.counter(
            prefix + "bytes_forwarded", "Bytes written in signed batches"
        ).bind()
        self.batches = metrics.counter(prefix + "batches_signed", "Batches").bind()
        self.active = metrics.gauge(prefix + "active", "Streams in progress").bind()


class Streamer:
    """Passes streams on.

    Args:
        signer: of batches.
        metrics: counters.
    """

    def __init__(self, signer: Signer, metrics: StreamMetrics) -> None:
        self._signer = signer
        self._metrics = metrics
        self._active = 0
        metrics.active.read = lambda: self._active

    async def run(
        self,
        relay: Relay,
        upstream: ResponseStream,
        sink: AnswerSink | None,
        finish: Callable[[bytes], Awaitable[None]],
        *,
        is_counted: bool = True,
    ) -> StreamAnswer:
        """Pass `upstream` on to its end, and close it.

        Args:
            relay: admitted, verified and charged.
            upstream: the backend's answer, any status below 500.
            sink: the client.
            finish: accounts for the relay, given the last batch without its payload; called once,
                when the body is complete and before the last batch is sent.
            is_counted: whether the relay counts as served.

        Returns:
            Complete, unless the client left before the last batch (its relay is accounted for).

        Raises:
            StreamBrokenError: the backend, the time, the client or `finish` ended it early.
        """
        if sink is None:
            # Nobody asked for a stream, so nobody should have got one.
            upstream.close()
            raise RefusedError(502, "backend error", "backend_network_error")
        self._active += 1
        began = trio.current_time()
        verdict: Verdict = _released
        try:
            transfer = _Transfer(self._signer, self._metrics, relay, upstream, sink)
            await transfer.run(_head(upstream, relay.retries))
            verdict = partial(_succeeded, seconds=trio.current_time() - began)
            complete = await transfer.close(finish)
        except StreamBrokenError as broken:
            verdict = broken.verdict
            raise
        except RefusedError as refusal:
            # The answer has begun: there is no place for another one.
            raise StreamBrokenError(refusal.reason, _released) from refusal
        finally:
            self._active -= 1
            upstream.close()
            if relay.endpoint is not None and relay.route.pool is not None:
                verdict(relay.route.pool, relay.endpoint)
        if is_counted:
            metrics = relay.route.metrics
            metrics.served(upstream.status).value += 1
            metrics.response_bytes.observe(transfer.written_bytes)
            self._metrics.served.bind(relay.service).value += 1
        return StreamAnswer(complete=complete)


class _Transfer:
    """One stream."""

    def __init__(
        self,
        signer: Signer,
        metrics: StreamMetrics,
        relay: Relay,
        upstream: ResponseStream,
        sink: AnswerSink,
    ) -> None:
        self._signer = signer
        self._metrics = metrics
        self._relay = relay
        self._upstream = upstream
        self._sink = sink
        self._plain = _Plain(upstream.headers)
        self._batches = Batches(trio.current_time())
        self._problem: RefusedError | None = None
        self.written_bytes = 0

    async def run(self, head: Headers) -> None:
        """Everything but the end; gives up when the client does."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            try:
                await self._pump(head)
            except RefusedError as error:
                self._problem = error
            nursery.cancel_scope.cancel()
        if self._problem is not None:
            raise self._problem

    async def close(self, finish: Callable[[bytes], Awaitable[None]]) -> bool:
        """The last batch: signed, accounted for, sent; whether the client took it."""
        last, stored_response = self._sign(self._batches.rest())
        await finish(stored_response)
        try:
            await self._write(last)
        except _ClientGoneError:
            return False
        return True

    async def _watch(self, scope: trio.CancelScope) -> None:
        await self._sink.gone()
        self._problem = _ClientGoneError()
        scope.cancel()

    async def _pump(self, head: Headers) -> None:
        batches = self._batches
        await self._begin(head)
        while True:
            piece = None
            try:
                with trio.move_on_at(batches.due_at if batches else math.inf):
                    piece = await self._upstream.receive()
                now = trio.current_time()
                if piece is None:
                    await self._send(batches.due(now))
                elif not piece:
                    self._plain.end()
                    return
                else:
                    for plain in self._plain.feed(piece):
                        for batch in batches.add(plain, now):
                            await self._send(batch)
            except NetError as error:
                # What came in time is the client's, whatever happened after it.
                await self._send(batches.rest())
                raise _broken(error) from error

    async def _begin(self, head: Headers) -> None:
        try:
            await self._sink.begin(self._upstream.status, head)
        except NetError as error:
            raise _ClientGoneError from error

    async def _send(self, body: bytes) -> None:
        if body:
            await self._write(self._sign(body)[0])

    def _sign(self, body: bytes) -> tuple[bytes, bytes]:
        self._metrics.batches.value += 1
        return self._signer.sign_batch(self._relay, self._upstream.status, body)

    async def _write(self, signed: bytes) -> None:
        piece = signed + DELIMITER
        try:
            await self._sink.send(piece)
        except NetError as error:
            raise _ClientGoneError from error
        self.written_bytes += len(piece)
        self._metrics.bytes.value += len(piece)


class _Plain:
    """The body as it is meant: backends are asked for plain bodies, some compress anyway."""

    def __init__(self, headers: Headers) -> None:
        encoding = b""
        for name, value in headers:
            if name.lower() == b"content-encoding":
                encoding = value.strip().lower()
        self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding == b"gzip" else None
        self._inside = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` stands for, in pieces of a bounded size."""
        inflater = self._inflater
        if inflater is None:
            yield data
            return
        while data:
            try:
                plain = inflater.decompress(data, _INFLATED_BYTES)
            except zlib.error as error:
                raise _BackendBrokeError from error
            yield plain
            data = inflater.unconsumed_tail
            self._inside = not inflater.eof
            if inflater.eof:
                data = inflater.unused_data
                inflater = self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def end(self) -> None:
        """Nothing more comes; StreamBrokenError when something should."""
        if self._inside:
            raise _BackendBrokeError


def _head(upstream: ResponseStream, retries: int) -> Headers:
    """The backend's headers, without those of its connection."""
    dropped = set(_NOT_PASSED_ON)
    for name, value in upstream.headers:
        if name.lower() == b"connection":
            dropped.update(token.strip().lower() for token in value.split(b","))
    head = [(name, value) for name, value in upstream.headers if name.lower() not in dropped]
    if retries:
        head.append((b"Backend-Retries", b"%d" % retries))
    return head


def _broken(error: NetError) -> StreamBrokenError:
    if isinstance(error, WireTimeoutError):
        return StreamBrokenError("backend_timeout", _released)
    return _BackendBrokeError()
