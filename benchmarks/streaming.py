"""Streams: what one costs, relayer, backend, client and store's client in one process."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

import trio

from benchmarks.figures import Figure
from relayminer.config.settings import RedisSettings
from relayminer.net.client import request_bytes
from relayminer.net.http1 import response_bytes
from relayminer.relayer.stream import DELIMITER
from relayminer.state.embedded import open_store
from relayminer.testing.backend import Backend
from relayminer.testing.relayer import Bench, bench
from relayminer.testing.small_chain import request_body, signed_request

STREAMS: Final = 200
CONNECTIONS: Final = 10
_EVENTS: Final = 50
_END: Final = b"0\r\n\r\n"


def streaming_figures() -> list[Figure]:
    """Short streams of one batch, and long ones of a hundred batches."""
    with tempfile.TemporaryDirectory() as home:
        return trio.run(_measure, Path(home))


async def _measure(home: Path) -> list[Figure]:
    figures = []
    async with open_store(RedisSettings(), home) as url:
        for name, lines, streams in (("short", _EVENTS, STREAMS), ("long", 10_000, STREAMS // 20)):
            body = b"data: 0123456789\n" * lines
            answer = response_bytes(200, body, content_type=b"text/event-stream")
            async with bench(url, backend=_backend(answer)) as b:
                figures += await _run(b, name, streams)
    return figures


def _backend(answer: bytes) -> Backend:
    return Backend(lambda _: answer)


async def _run(b: Bench, name: str, streams: int) -> list[Figure]:
    bodies = [request_body(signed_request(b.chain)) for _ in range(streams)]
    requests = [request_bytes(b"POST", b"/", b"relayer", [], body) for body in bodies]
    await _stream(b, requests.pop())
    batches_before = b.value("ha_relayer_streaming_batches_signed_total")
    started, cpu_started = time.perf_counter(), time.process_time()
    waiting = iter(requests)

    async def work() -> None:
        for request in waiting:
            await _stream(b, request)

    async with trio.open_nursery() as nursery:
        for _ in range(CONNECTIONS):
            nursery.start_soon(work)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    batches = b.value("ha_relayer_streaming_batches_signed_total") - batches_before
    done = len(requests)
    return [
        Figure(f"streaming_{name}_rate", done / seconds, "1/s"),
        Figure(f"streaming_{name}_all_parties_cpu_us", cpu / done * 1e6, "us"),
        Figure(f"streaming_{name}_batches_a_stream", batches / done, ""),
    ]


async def _stream(b: Bench, request: bytes) -> None:
    stream = await trio.open_tcp_stream(*b.address)
    async with stream:
        await stream.send_all(request)
        tail = b""
        async for piece in stream:
            tail = (tail + piece)[-64:]
        if not tail.endswith(DELIMITER + b"\r\n" + _END):
            raise RuntimeError("a stream without an end")
