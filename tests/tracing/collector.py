"""A collector: OTLP over HTTP on a real socket, read with the library's own messages."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from relayminer.config.tracing import TracingSettings
from relayminer.insight.traces import TraceExporter
from relayminer.net.ports import free_port
from relayminer.telemetry.metrics import Metrics
from relayminer.telemetry.spans import Traces

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

PATH = "/v1/traces"
PATIENCE_SECONDS = 20.0
SPANS = "relayminer_trace_spans"
WAITING = "relayminer_trace_spans_waiting"


@attrs.frozen
class Seen:
    """A span as it came.

    Attributes:
        parent: empty for a root; ids are hexadecimal.
        span: the library's message.
        resource: of its process.
    """

    name: str
    trace: str
    id: str
    parent: str
    about: dict[str, Any]
    span: Any
    resource: dict[str, Any]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return float(self.span.end_time_unix_nano - self.span.start_time_unix_nano) / 1e9


def read_attributes(pairs: Any) -> dict[str, Any]:
    """Names and values."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in pairs}


def read_spans(body: bytes) -> list[Seen]:
    """The spans of a request."""
    found = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        common = read_attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            assert scope.scope.name == "relayminer"
            found += [
                Seen(
                    one.name,
                    one.trace_id.hex(),
                    one.span_id.hex(),
                    one.parent_span_id.hex(),
                    read_attributes(one.attributes),
                    one,
                    common,
                )
                for one in scope.spans
            ]
    return found


@attrs.define
class Collector:
    """What it was sent.

    Attributes:
        status: what it answers; None: nothing at all.
        refused: spans of a request that it says it has not taken.
        advice: what it says although it takes them all.
        heads: of requests.
        tls: what it shows; None: it speaks plain HTTP.
    """

    status: int | None = 200
    refused: int = 0
    advice: str = ""
    port: int = 0
    heads: list[bytes] = attrs.field(factory=list)
    bodies: list[bytes] = attrs.field(factory=list)
    spans: list[Seen] = attrs.field(factory=list)
    tls: ssl.SSLContext | None = None

    @property
    def endpoint(self) -> str:
        """Where it takes spans."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}{PATH}"

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Take spans until cancelled; on the port of before, if there was one."""
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(
                partial(trio.serve_tcp, self._serve, self.port, host="127.0.0.1")
            )
            self.port = listener.socket.getsockname()[1]
            task_status.started()

    async def _serve(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            if self.tls is None:
                await self._take(stream)
            else:
                await self._take(trio.SSLStream(stream, self.tls, server_side=True))

    async def _take(self, stream: trio.abc.Stream) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                if not (more := await stream.receive_some()):
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(data) < length:
                if not (more := await stream.receive_some()):
                    return
                data += more
            self.heads.append(head)
            if self.status is None:
                await trio.sleep_forever()
            elif self.status == 200:
                self.bodies.append(data[:length])
                self.spans += read_spans(data[:length])
            data = data[length:]
            answer = ExportTraceServiceResponse()
            if self.refused:
                answer.partial_success.rejected_spans = self.refused
                answer.partial_success.error_message = "too old"
            elif self.advice:
                answer.partial_success.error_message = self.advice
            body = answer.SerializeToString()
            told = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (self.status, len(body))
            await stream.send_all(told + body)

    def traces(self) -> dict[str, list[Seen]]:
        """Spans by trace, the earliest first."""
        found: dict[str, list[Seen]] = {}
        for one in sorted(self.spans, key=lambda seen: seen.span.start_time_unix_nano):
            found.setdefault(one.trace, []).append(one)
        return found

    def named(self, name: str) -> list[Seen]:
        """Spans of a name."""
        return [one for one in self.spans if one.name == name]

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for spans."""
        await eventually(condition)


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait for what nobody announces."""
    with trio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - that is what it is for
            await trio.sleep(0.005)


@attrs.define
class Tracing:
    """A collector, and what sends to it.

    Attributes:
        scope: ends the sender.
        ended: the sender has.
    """

    collector: Collector
    traces: Traces
    metrics: Metrics
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ended: trio.Event = attrs.field(factory=trio.Event)

    def counted(self, result: str) -> float:
        """Spans of which that became."""
        return self.metrics.values(SPANS).get((result,), 0.0)

    @property
    def waiting(self) -> float:
        """Spans not sent yet."""
        return self.metrics.values(WAITING)[()]


@asynccontextmanager
async def tracing(
    ratio: float = 1.0,
    status: int | None = 200,
    *,
    is_away: bool = False,
    tls: ssl.SSLContext | None = None,
    **changes: Any,
) -> AsyncIterator[Tracing]:
    """Traces that go to a collector."""
    async with trio.open_nursery() as nursery:
        collector = Collector(status, tls=tls)
        if is_away:
            collector.port = free_port()
        else:
            await nursery.start(collector.run)
        async with _sending(collector, ratio, changes) as it:
            yield it
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _sending(
    collector: Collector, ratio: float, changes: dict[str, Any]
) -> AsyncIterator[Tracing]:
    metrics = Metrics()
    settings = {"interval_seconds": 0.01, "max_waiting_spans": 10_000, **changes}
    traces = Traces(ratio, settings["max_waiting_spans"], metrics)
    it = Tracing(collector, traces, metrics)

    async def send(*, task_status: trio.TaskStatus[None]) -> None:
        exporter = TraceExporter(
            TracingSettings(enabled=True, endpoint=collector.endpoint, ratio=ratio, **settings),
            traces,
            {"service.instance.id": "this one"},
            first_pause_seconds=0.01,
        )
        try:
            with it.scope:
                await exporter.run(task_status=task_status)
        finally:
            it.ended.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(send)
        yield it
        it.scope.cancel()
        await it.ended.wait()
        nursery.cancel_scope.cancel()
