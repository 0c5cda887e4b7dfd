"""The rows of relayer.md 2.2 and 10.5 that answer a client, each with the test that provokes it.

| row | answer | test |
|---|---|---|
| 2.2 step 1 | 400, 408, 431: the request cannot be read | here; `test_front_door.py` |
| 2.2 step 2, 14 | 413, over everybody's limit and over the service's | `test_refusals.py` |
| 2.2 step 3 | 400, no relay request | `test_refusals.py` |
| 2.2 step 4 | 500, not configured | `test_refusals.py` |
| 2.2 step 5 | 404, unknown service | `test_refusals.py` |
| 2.2 step 7 | the rows of section 11 | `tests/simulation/test_admission.py` |
| 2.2 step 9 | 400, no supplier | `test_refusals.py` |
| 2.2 step 10, 11 | 503, the supplier gate | `test_refusals.py` |
| 2.2 step 13 | never fires (K-20): there is no such gate | |
| 2.2 step 16 | 400, implausible heights | `test_refusals.py` |
| 2.2 step 17 | 503 and 429, the meter | `test_refusals.py` |
| 2.2 step 18 | 503, eager, no pool or no healthy endpoint | `test_refusals.py` |
| 2.2 step 19 | 403, validation | `test_refusals.py` |
| 2.2 step 20 | the same, optimistic | here |
| 2.2 step 21 | 502, the backend gave no answer | `test_refusals.py`, here |
| 2.2 step 21 | a client that leaves a stream | `tests/streaming/test_broken_streams.py` |
| 2.2 step 22 | the backend's own status | `test_refusals.py` |
| 2.2 step 23 | 500, cannot be signed | `test_refusals.py` |
| 2.2 step 24 | 200 | `test_eager.py` |
| 10.5 relay port | `/health`, `/healthz`, `/ready` | here; `test_front_door.py` |
| 10.5 relay port | `/ready/{service}`: 200, 400, 404, 503 | here; `test_front_door.py` |
| 10.5 other ports | one control port: `/health`, `/ready` | `tests/telemetry/test_metrics.py` |
| ours | 503, at capacity | `test_front_door.py` |
| ours | 503, all answers in hand too large | `tests/backends/test_held.py` |
"""

from __future__ import annotations

import ast
import json
import re
from functools import partial

import pytest
import trio

from relayminer.net.http1 import Request, response_bytes
from tests.relayer.client import connect, error_of
from tests.relayer.kit import Backend, bench, request_body, settings, signed_request
from tests.relayer.test_refusals import refusal
from tests.spool.outage import until
from tests.vector_data import REPOSITORY

OPTIMISTIC = {"validation_mode": "optimistic"}
STEPS = 24


def test_every_step_is_in_the_table() -> None:
    """None of the steps that answer is forgotten, and the files that it names have tests."""
    rows = re.findall(r"^\| 2\.2 steps? ([0-9, ]+) \|", __doc__ or "", re.MULTILINE)
    named = {int(number) for row in rows for number in row.split(",")}
    # These say nothing to a client: routing, counting, a warning, the arrival height, metrics,
    # and what happens behind the answer.
    silent = {6, 8, 12, 15}
    assert named | silent == set(range(1, STEPS + 1))
    for file in set(re.findall(r"`((?:tests/)?[a-z_/]+\.py)`", __doc__ or "")):
        path = REPOSITORY / (file if file.startswith("tests/") else f"tests/relayer/{file}")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert any(
            isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
            and node.name.startswith("test_")
            for node in tree.body
        ), file


@pytest.mark.parametrize(
    "said",
    [
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnot a chunk\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"POST / HTTP/9.9\r\nContent-Length: 0\r\n\r\n",
        b"POST  /  HTTP/1.1\r\nBad Header\r\n\r\n",
    ],
)
async def test_a_request_that_cannot_be_read_is_400(redis_url: str, said: bytes) -> None:
    """Step 1: framing that is broken or has two meanings; nothing behind it is believed."""
    async with bench(redis_url) as b:
        client = await connect(b.address)
        await client.wire.send(said + b"GET /health HTTP/1.1\r\n\r\n")
        answer = await client.read()
        assert answer.status == 400
        assert "malformed" in error_of(answer)
        assert await client.wire.receive() == b""
        client.wire.close()


async def test_a_client_that_leaves_within_its_request_is_not_answered(redis_url: str) -> None:
    """Step 1: there is nobody to answer, and the backend is not asked."""
    async with bench(redis_url) as b:
        client = await connect(b.address)
        await client.wire.send(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc")
        client.wire.finish_writing()
        assert await client.wire.receive() == b""
        client.wire.close()
        await until(lambda: b.value("ha_relayer_active_connections") == 0)
        assert b.backend.requests == []


async def test_optimistic_relays_need_a_backend_too(redis_url: str) -> None:
    """Step 20: no pool for the type, and then no healthy endpoint."""
    backend = {"url": "http://127.0.0.1:1", "unhealthy_threshold": 2}
    configure = partial(settings, backend=backend, service=OPTIMISTIC)
    async with bench(redis_url, configure=configure) as b:
        body = request_body(signed_request(b.chain))
        unavailable = (503, "service temporarily unavailable")
        assert await refusal(b, body, [(b"Rpc-Type", b"5")]) == unavailable
        for _ in range(2):
            assert await refusal(b, body) == (502, "backend error")
        assert await refusal(b, body) == unavailable
        assert b.value("ha_relayer_fast_fails_total", service_id="anvil") >= 1
        assert await b.logged() == []


@pytest.mark.parametrize("mode", ["eager", "optimistic"])
async def test_a_backend_without_an_answer_is_502(redis_url: str, mode: str) -> None:
    """Step 21: hung up at once, silent in the middle, or no HTTP; nothing is logged."""
    sayings = iter(
        (
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            b"220 mail.example ESMTP\r\n",
        )
    )

    def say(request: Request) -> bytes:
        del request
        said = next(sayings, None)
        return response_bytes(200, b"fine") if said is None else said

    backend = {"max_retries": 0}
    async with bench(
        redis_url,
        backend=Backend(say),
        configure=lambda url: settings(
            "",
            backend={"url": url, **backend},
            service={"validation_mode": mode},
            request_timeout_seconds=1.0,
        ),
    ) as b:
        body = request_body(signed_request(b.chain))
        for _ in range(3):
            assert await refusal(b, body) == (502, "backend error")
        assert await b.logged() == []


async def test_the_pages_of_the_relay_port(redis_url: str) -> None:
    """10.5: alive is one thing, ready another; a service without a healthy endpoint is not."""
    backend = {"url": "http://127.0.0.1:1", "unhealthy_threshold": 1}
    async with bench(redis_url, configure=partial(settings, backend=backend)) as b:
        client = await connect(b.address)
        for path in (b"/health", b"/healthz", b"/ready"):
            page = await client.get(path)
            assert (page.status, json.loads(page.body)["status"]) == (200, "healthy")
            assert page.header(b"content-type") == b"application/json"
        ready = await client.get(b"/ready/anvil?verbose=1")
        assert (ready.status, json.loads(ready.body)["ready"]) == (200, True)
        assert await refusal(b, request_body(signed_request(b.chain))) == (502, "backend error")
        ready = await client.get(b"/ready/anvil")
        page = json.loads(ready.body)
        assert (ready.status, page["ready"], page["backends"]["healthy"]) == (503, False, 0)
        assert (await client.get(b"/ready")).status == 200
        client.wire.close()


async def test_a_relayer_that_stops_is_not_ready_and_takes_no_more(redis_url: str) -> None:
    """K-40: a request that is in hand is answered, the next one finds nobody."""
    release = trio.Event()
    async with bench(redis_url, backend=Backend(release=release)) as b:
        busy = await connect(b.address)
        async with trio.open_nursery() as nursery:

            async def finish() -> None:
                assert (await busy.send(request_body(signed_request(b.chain)))).status == 200

            nursery.start_soon(finish)
            await until(lambda: len(b.backend.requests) == 1)
            b.relayer_scope.cancel()
            await until(lambda: b.relayer.engine.draining)
            answer = b.relayer.engine.status("/ready")
            assert answer is not None
            assert (answer.status, json.loads(answer.body)["problems"]) == (
                503,
                {"drain": "shutting down"},
            )
            with pytest.raises(OSError, match="refused"):
                await connect(b.address)
            release.set()
        busy.wire.close()
