"""The whole demo backend on real ports: every way to ask it, and every fault."""

from __future__ import annotations

import gzip
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trio

from relayminer.devnet.backend import BackendFaults
from relayminer.devnet.backend_server import BackendOptions, RunningBackend, run_backend
from relayminer.devnet.http_client import HttpClient
from tests.websocket.frames import BINARY, CLOSE, TEXT, FrameSocket, read_head
from tests.websocket.kit import handshake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relayminer.devnet.http_message import HttpResponse

JSON = (("Content-Type", "application/json"),)


@asynccontextmanager
async def running(**faults: Any) -> AsyncIterator[RunningBackend]:
    """A backend with these faults, on free ports."""
    options = BackendOptions(
        port=0, grpc_port=0, metrics_port=0, push_seconds=0.05, faults=BackendFaults(**faults)
    )
    async with trio.open_nursery() as nursery:
        yield await nursery.start(run_backend, options)
        nursery.cancel_scope.cancel()


async def get(url: str) -> HttpResponse:
    """One GET."""
    async with HttpClient() as client:
        return await client.request("GET", url)


async def post(url: str, document: Any, headers: Any = JSON) -> HttpResponse:
    """One POST of JSON."""
    async with HttpClient() as client:
        return await client.request(
            "POST", url, headers=headers, body=json.dumps(document).encode()
        )


@asynccontextmanager
async def conversation(backend: RunningBackend) -> AsyncIterator[FrameSocket]:
    """An open WebSocket."""
    port = int(backend.url.rpartition(":")[2])
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(handshake(b"/ws"))
    head, rest = await read_head(stream)
    assert head.startswith(b"HTTP/1.1 101 "), head
    socket = FrameSocket(stream, masks=True, received=bytearray(rest))
    try:
        with trio.fail_after(10):
            yield socket
    finally:
        await socket.aclose()


async def say(socket: FrameSocket, document: Any, *, text: bool = True) -> None:
    """Send JSON."""
    await socket.send(json.dumps(document).encode(), text=text)


async def hear(socket: FrameSocket, *, text: bool = True) -> Any:
    """The next message, which must be JSON in this type of frame."""
    got = await socket.receive()
    assert got.opcode == (TEXT if text else BINARY), got
    return json.loads(got.payload)


async def test_http_rest_and_cometbft() -> None:
    """JSON-RPC by POST, anything by GET, a node's status both ways, health uncounted."""
    async with running() as backend:
        answer = await post(backend.url, {"id": 1, "method": "eth_chainId"})
        assert json.loads(answer.body)["result"] == "0x504f4b54"
        answer = await get(f"{backend.url}/v1/blocks?page=2")
        assert json.loads(answer.body)["path"] == "/v1/blocks"
        assert json.loads(answer.body)["query"] == "page=2"
        for answer in (
            await get(f"{backend.url}/status"),
            await post(backend.url, {"id": 1, "method": "status"}),
        ):
            assert json.loads(answer.body)["result"]["sync_info"]["catching_up"] is False
        assert (await get(f"{backend.url}/health")).status == 200
        assert backend.node.requests == 4
        page = (await get(backend.metrics_url)).body.decode()
        assert 'demo_requests_total{method="/v1/blocks",protocol="http"} 1.0' in page
        assert 'demo_request_duration_seconds_count{protocol="http"}' in page


async def test_events_and_lines() -> None:
    """As many as are asked for, by query or body, 200 ms apart; the connection goes on."""
    async with running() as backend, HttpClient() as client:
        began = trio.current_time()
        answer = await client.request("GET", f"{backend.url}/stream/sse?batches=3")
        assert trio.current_time() - began >= 0.4
        assert answer.header("content-type") == "text/event-stream"
        events = answer.body.decode().split("\n\n")[:-1]
        assert [json.loads(one.removeprefix("data: "))["sequence"] for one in events] == [1, 2, 3]
        answer = await client.request(
            "POST", f"{backend.url}/stream/ndjson", headers=JSON, body=b'{"batches":1}'
        )
        assert answer.header("content-type") == "application/x-ndjson"
        assert json.loads(answer.body)["sequence"] == 1
        assert (await client.request("GET", f"{backend.url}/health")).status == 200


async def test_a_client_that_leaves_a_stream_ends_it() -> None:
    """A stream without end stops when nobody reads it."""
    async with running() as backend:
        with trio.move_on_after(0.3):
            await get(f"{backend.url}/stream/sse")
        assert (await get(f"{backend.url}/health")).status == 200


async def test_conversations() -> None:
    """Known methods are answered, others echoed with numbers, in the client's type of frame."""
    async with running() as backend, conversation(backend) as socket:
        await say(socket, {"id": 1, "method": "eth_chainId"})
        assert (await hear(socket))["result"] == "0x504f4b54"
        await socket.send(b"no json", text=True)
        await say(
            socket,
            {"id": 2, "method": "x", "params": [{"repeat_count": 3, "delay_ms": 1}]},
            text=False,
        )
        heard = [await hear(socket, text=False) for _ in range(3)]
        assert [(one["sequence"], one["total"]) for one in heard] == [(1, 3), (2, 3), (3, 3)]
        await socket.send_frame(9, b"ping")
        assert (await socket.receive_any()).opcode == 10
        await socket.close(1000, "bye")
        assert (await socket.receive()).opcode == CLOSE


async def test_subscriptions() -> None:
    """A confirmation, pushes until it is ended; Ethereum's form and CometBFT's."""
    async with running() as backend, conversation(backend) as socket:
        await say(socket, {"id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
        name = (await hear(socket))["result"]
        heads = [await hear(socket) for _ in range(2)]
        assert [one["params"]["subscription"] for one in heads] == [name, name]
        numbers = [int(one["params"]["result"]["number"], 16) for one in heads]
        assert numbers[1] == numbers[0] + 1
        await say(socket, {"id": 2, "method": "eth_unsubscribe", "params": [name]})
        while "result" not in (ended := await hear(socket)):
            pass
        assert ended == {"jsonrpc": "2.0", "id": 2, "result": True}
        await say(socket, {"id": 3, "method": "subscribe", "params": {"query": "x"}})
        assert await hear(socket) == {"jsonrpc": "2.0", "id": 3, "result": {}}
        push = await hear(socket)
        assert (push["id"], "data" in push["result"]) == (3, True)
        await say(socket, {"id": 4, "method": "unsubscribe_all"})
        while (await hear(socket))["id"] != 4:
            pass
        with trio.move_on_after(0.2):
            pytest.fail(f"{await hear(socket)} after the end")


async def test_clients_that_leave_hurt_nobody() -> None:
    """In the middle of pushes and echoes, or right after the handshake."""
    async with running() as backend:
        for _ in range(5):
            async with conversation(backend) as socket:
                await say(socket, {"id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
                repeat = {"repeat_count": 500, "delay_ms": 1}
                await say(socket, {"id": 2, "method": "x", "params": [repeat]})
                await hear(socket)
            async with conversation(backend):
                pass
        await trio.sleep(0.2)
        assert (await get(f"{backend.url}/health")).status == 200


async def call(backend: RunningBackend, method: str, request: bytes, answers: int = 1) -> Any:
    """The answers of a gRPC call."""

    def work() -> list[bytes]:
        with grpc.insecure_channel(backend.grpc) as channel:
            path = f"/demo.DemoService/{method}"
            if method == "StreamBlocks":
                stream = channel.unary_stream(path)(request, timeout=10)
                return [next(stream) for _ in range(answers)]
            return [channel.unary_unary(path)(request, timeout=10)]

    return await trio.to_thread.run_sync(work)


async def test_grpc() -> None:
    """`demo.DemoService` as a grpcio client sees it."""
    async with running() as backend:
        assert await call(backend, "GetBlockHeight", b"") == [b"\x08\x01"]
        assert await call(backend, "HealthCheck", b"") == [b"\x08\x01\x12\x02ok"]
        [block] = await call(backend, "GetBlock", b"\x08\xac\x02")
        assert block.startswith(b"\x08\xac\x02\x12\x08hash-300\x18")
        assert block.endswith(b"\x22\x06tx-300")
        [block] = await call(backend, "StreamBlocks", b"\x08\x07")
        assert b"hash-7" in block
        with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
            await call(backend, "Nothing", b"")


async def test_faults_reach_every_way() -> None:
    """Errors by their codes over HTTP and streams, over WebSocket and gRPC; broken compression."""
    async with running(error_rate=1.0, error_statuses=(502, 503)) as backend:
        for path in ("/v1/x", "/stream/sse"):
            answer = await get(f"{backend.url}{path}")
            assert answer.status in {502, 503}
            assert answer.body == f"injected error (code: {answer.status})".encode()
        async with conversation(backend) as socket:
            await say(socket, {"id": 1, "method": "eth_chainId"})
            got = await socket.receive()
            assert (got.code, got.reason) == (1011, "injected error")
        with pytest.raises(grpc.RpcError, match="injected error"):
            await call(backend, "GetBlockHeight", b"")
    async with running(broken_compression=True, delay_seconds=0.05) as backend:
        began = trio.current_time()
        request = {"id": 1, "method": "eth_chainId"}
        answer = await post(backend.url, request, (*JSON, ("Accept-Encoding", "gzip")))
        assert trio.current_time() - began >= 0.05
        assert not answer.header("content-encoding")
        assert json.loads(gzip.decompress(answer.body))["result"] == "0x504f4b54"
        assert json.loads((await post(backend.url, request)).body)["result"] == "0x504f4b54"
