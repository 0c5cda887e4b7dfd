"""CometBFT RPC: every way in which a node can disappoint has its error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from relayminer.chain import block_results
from relayminer.chain.block_results import EventsReader
from relayminer.chain.errors import (
    ChainQueryError,
    ChainUnavailableError,
    HeightNotReachedError,
)
from relayminer.chain.rpc import CometRpc, parse_time
from relayminer.net.errors import BadResponseError, ResponseTooLargeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.chain.comet_node import CometNode


@pytest.fixture(name="rpc")
async def connect(node: CometNode) -> AsyncIterator[CometRpc]:
    """A client of the node."""
    rpc = CometRpc(node.url, timeout_seconds=2)
    yield rpc
    rpc.close()


async def test_a_block_ahead_of_the_chain_is_an_error_of_its_own(
    node: CometNode, rpc: CometRpc
) -> None:
    """Not there yet is told apart from every other failure."""
    await node.add_block()
    with pytest.raises(HeightNotReachedError):
        await rpc.block(2)
    with pytest.raises(HeightNotReachedError):
        await rpc.finalize_block_events(2)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>502</html>",
        b"{}",
        b"[]",
        b'{"result": 5}',
        b'{"result": {"sync_info": {}}}',
        b'{"result": {"node_info": {"network": "x"}, "sync_info": {"latest_block_height": "x"}}}',
        b'{"error": {"code": -32601, "message": "Method not found"}}',
    ],
)
async def test_answers_that_are_no_status_are_errors(
    node: CometNode, rpc: CometRpc, body: bytes
) -> None:
    """Whatever comes, it is a ChainQueryError that names the node."""
    node.raw["status"] = body
    with pytest.raises(ChainQueryError, match=r"127\.0\.0\.1"):
        await rpc.status()


@pytest.mark.parametrize("field", ["hash", "height", "time"])
async def test_a_block_with_a_wrong_field_is_no_block(
    node: CometNode, rpc: CometRpc, field: str
) -> None:
    """A short hash, another height or no time never becomes a block."""
    await node.add_block()
    answer = node.answer({"id": 1, "method": "block", "params": {"height": "1"}})
    if field == "hash":
        answer["result"]["block_id"]["hash"] = "00"
    else:
        answer["result"]["block"]["header"][field] = "2"
    node.raw["block"] = json.dumps(answer).encode()
    with pytest.raises(ChainQueryError):
        await rpc.block(1)


async def test_a_node_that_hangs_is_given_up_in_time(node: CometNode) -> None:
    """Every call ends by its deadline."""
    node.hangs = True
    rpc = CometRpc(node.url, timeout_seconds=0.1)
    started = trio.current_time()
    for call in (rpc.status, rpc.block):
        with pytest.raises(ChainUnavailableError):
            await call()
    with pytest.raises(ChainUnavailableError):
        await rpc.finalize_block_events(1)
    assert trio.current_time() - started < 5


async def test_a_node_that_is_not_there_is_unavailable() -> None:
    """A refused connection is no verdict about the chain."""
    rpc = CometRpc("tcp://127.0.0.1:1", timeout_seconds=1)
    for call in (rpc.status, rpc.block):
        with pytest.raises(ChainUnavailableError):
            await call()


async def test_a_kept_connection_that_the_node_closed_is_replaced(rpc: CometRpc) -> None:
    """A node that restarts between two calls costs no error."""
    assert rpc.origin.port
    answers = iter([b"1", b"2"])

    async def serve_once(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(4096)
            status = {"network": next(answers).decode()}
            sync = {"latest_block_height": "0", "latest_block_time": "", "catching_up": True}
            body = json.dumps({"result": {"node_info": status, "sync_info": sync}}).encode()
            await stream.send_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    client = CometRpc(f"http://127.0.0.1:{port}", timeout_seconds=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve_once, [listener])
        assert (await client.status()).chain_id == "1"
        assert (await client.status()).chain_id == "2"
        nursery.cancel_scope.cancel()
    client.close()


async def test_a_url_with_user_and_path_is_used_whole() -> None:
    """Gateways in front of nodes have paths and passwords; neither is lost, nor shown."""
    rpc = CometRpc("https://user:pw@node.example/rpc/", timeout_seconds=1)
    assert rpc.websocket_path == "/rpc/websocket"
    assert rpc.authorization == [(b"Authorization", b"Basic dXNlcjpwdw==")]
    assert rpc.address == "node.example"


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("2026-11-21T01:46:36.44371872Z", 1_795_225_596_443_718_720),
        ("1970-01-01T02:00:00.000000001+02:00", 1),
        ("1969-12-31T23:00:00-01:00", 0),
    ],
)
def test_times_keep_their_nanoseconds(text: str, nanoseconds: int) -> None:
    """RFC 3339 with up to nine digits, in any zone."""
    assert parse_time(text) == nanoseconds


def http(body: bytes, *, chunked: bool = False) -> bytes:
    """A whole HTTP answer."""
    if not chunked:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
    encoded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + encoded + b"0\r\n\r\n"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    results=st.lists(json_values, max_size=4),
    events=st.lists(
        st.fixed_dictionaries({"type": st.text(), "attributes": st.lists(json_values)})
    ),
    decoy=st.sampled_from(["", '"finalize_block_events":', '\\"finalize_block_events": [1]']),
    piece=st.integers(1, 50),
    chunked=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_events_are_found_in_any_stream(
    results: list[Any],
    events: list[Any],
    decoy: str,
    piece: int,
    chunked: bool,
    indent: int | None,
) -> None:
    """However an answer is cut and whatever transactions say, the events are the block's."""
    result = {
        "height": "1",
        "txs_results": [*results, {"log": decoy, "finalize": decoy}],
        "finalize_block_events": events,
        "app_hash": "eA==",
    }
    data = http(json.dumps({"id": 1, "result": result}, indent=indent).encode(), chunked=chunked)
    reader = EventsReader()
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
    assert reader.complete
    assert reader.events == events


def test_an_answer_without_events_has_none() -> None:
    """Null is an empty list; an error has no events at all."""
    reader = EventsReader()
    reader.feed(http(b'{"result": {"finalize_block_events": null}}'))
    assert reader.events == []
    reader = EventsReader()
    reader.feed(http(b'{"error": {"message": "finalize_block_events"}}'))
    assert reader.events is None


def test_an_answer_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read and what is kept have limits."""
    monkeypatch.setattr(block_results, "MAX_READ_BYTES", 10_000)
    reader = EventsReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
    with pytest.raises(ResponseTooLargeError):
        for _ in range(100):
            reader.feed(b" " * 1000)
    monkeypatch.setattr(block_results, "MAX_KEPT_BYTES", 100)
    reader = EventsReader()
    with pytest.raises(ResponseTooLargeError):
        reader.feed(http(b'{"finalize_block_events": [' + b" " * 200))


def test_skipped_results_are_not_kept() -> None:
    """Memory follows the events, not the transactions before them."""
    reader = EventsReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
    for _ in range(1000):
        reader.feed(b'{"log": "' + b"x" * 1000 + b'"},')
    assert len(reader._seeking) + len(reader._kept) + len(reader.head) < 70_000


def test_what_is_not_http_is_refused() -> None:
    """Garbage is an error, not an endless wait."""
    with pytest.raises(BadResponseError):
        EventsReader().feed(b"SSH-2.0-OpenSSH\r\n\r\n")
