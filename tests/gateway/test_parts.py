"""The parts that need no relayer: percentiles, pieces of streams, judgements, the clock."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from relayminer.gateway.alarm import Alarm
from relayminer.gateway.batches import DELIMITER, MAX_BATCH_BYTES, BatchReader
from relayminer.gateway.corpus import CHUNK, Target, sign_corpus
from relayminer.gateway.errors import GatewayError
from relayminer.gateway.histogram import Histogram
from relayminer.gateway.load import Aim, LoadTest
from relayminer.gateway.modes import MODES, Question, destination, payload_of
from relayminer.gateway.relays import http_payload, judge_grpc, judge_http, judge_message
from relayminer.protocol.pb.http_pb2 import POKTHTTPResponse
from relayminer.testing.small_chain import SmallChain

if TYPE_CHECKING:
    from relayminer.gateway.lines import Line


@given(st.lists(st.floats(0.0, 1_000.0), min_size=1, max_size=300), st.floats(0.0, 100.0))
def test_percentiles_are_right_to_a_thousandth(values: list[float], percent: float) -> None:
    """Held against the sorted list; minimum and maximum are exact."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    values.sort()
    rank = max(1, -(-percent * len(values) // 100))
    exact = values[min(len(values), int(rank)) - 1]
    assert histogram.percentile(percent) == pytest.approx(exact, rel=1e-3, abs=1e-8)
    assert (histogram.minimum, histogram.maximum) == (values[0], values[-1])
    assert histogram.mean == pytest.approx(sum(values) / len(values))


def test_merged_histograms_are_one() -> None:
    """The same as if all had been added to one; empty ones change nothing."""
    source = random.Random(1)  # noqa: S311 - no secret
    parts, whole = [Histogram() for _ in range(3)], Histogram()
    for number in range(900):
        value = source.expovariate(100)
        parts[number % 2].add(value)
        whole.add(value)
    merged = Histogram()
    merged.merge(parts)
    for percent in (0, 50, 99, 99.9, 100):
        assert merged.percentile(percent) == whole.percentile(percent)
    assert (merged.count, merged.minimum) == (900, whole.minimum)
    assert Histogram().percentile(50) == Histogram().mean == 0.0


@given(
    st.lists(st.binary(max_size=40).filter(lambda one: b"|" not in one), max_size=8),
    st.binary(max_size=10).filter(lambda one: b"|" not in one),
    st.integers(1, 30),
)
def test_batches_come_out_of_any_pieces(batches: list[bytes], tail: bytes, size: int) -> None:
    """However the stream is cut; what is behind the last delimiter is the tail."""
    data = b"".join(one + DELIMITER for one in batches) + tail
    reader = BatchReader()
    found = []
    for start in range(0, len(data), size):
        found += reader.feed(data[start : start + size])
    assert (found, reader.end()) == (batches, tail)


def test_a_batch_without_end_is_refused() -> None:
    """Nobody's memory is a relayer's to fill."""
    reader = BatchReader()
    with pytest.raises(GatewayError, match="a batch of more than"):
        for _ in range(100):
            reader.feed(bytes(MAX_BATCH_BYTES // 10))


def grpc_answer(body: bytes, **headers: str) -> bytes:
    """An envelope with these headers."""
    response = POKTHTTPResponse(status_code=200, body_bz=body)
    for name, value in headers.items():
        entry = response.header[name.replace("_", "-")]
        entry.key = name.replace("_", "-")
        entry.values.append(value)
    return response.SerializeToString()


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (grpc_answer(b"\0\0\0\0\2\x08\1", Grpc_Status="0"), ""),
        (grpc_answer(b"\0\0\0\0\2\x08\1", grpc_status="0"), ""),
        (grpc_answer(b"\0\0\0\0\2\x08\1"), "gRPC status none"),
        (grpc_answer(b"", grpc_status="5", grpc_message="no"), "gRPC status 5 no"),
        (grpc_answer(b"\0\0\0\0\0", grpc_status="0"), "the gRPC answer is empty"),
        (grpc_answer(b"\1\0\0\0\2\x08\1", grpc_status="0"), "the gRPC answer is compressed"),
        (grpc_answer(b"\0\0\0\0\3\x08\1", grpc_status="0"), "not as long as it says"),
    ],
)
def test_answers_of_grpc_backends(payload: bytes, complaint: str) -> None:
    """1.6: status 0 and one whole frame, else what is wrong."""
    found = judge_grpc(payload)[2]
    assert complaint in found
    assert bool(complaint) == bool(found)


def test_answers_of_other_backends() -> None:
    """A bad status and a JSON-RPC error are errors; bare messages are taken as they are."""
    bad = POKTHTTPResponse(status_code=503, body_bz=b"x" * 1_000).SerializeToString()
    assert judge_http(bad)[2] == "backend answered 503: " + "x" * 200
    error = POKTHTTPResponse(
        status_code=200, body_bz=b'{"error":{"code":-32000}}'
    ).SerializeToString()
    assert judge_http(error)[2].startswith("JSON-RPC error")
    assert judge_message(b'{"result":1}') == (200, b'{"result":1}', "")
    assert judge_message(b"\x00\x01 binary")[2] == ""
    assert judge_message(b'[{"error":1}]')[2] == ""
    expired = POKTHTTPResponse(status_code=410, body_bz=b"{}").SerializeToString()
    assert judge_message(expired)[2].startswith("backend answered 410")


def test_what_each_mode_asks() -> None:
    """1.6: URL schemes, headers and default requests."""
    chain = SmallChain()
    more: dict[str, Any] = {
        "service": "svc",
        "application": chain.application_key.address,
        "supplier": "pokt1s",
    }
    websocket = destination(MODES["websocket"], "https://r:1/x", **more)
    assert websocket.url == "wss://r:1/x"
    assert dict(websocket.headers)["Pocket-Service-Id"] == "svc"
    grpc = destination(MODES["grpc"], "r:1", simulation_key_id="k", **more)
    assert grpc.headers == (("rpc-type", "1"), ("pocket-simulation-key-id", "k"))
    cometbft = destination(MODES["cometbft"], "ws://r", **more)
    assert cometbft.url == "http://r"
    assert dict(cometbft.headers)["Rpc-Type"] == "5"
    assert payload_of(MODES["cometbft"], Question()) == http_payload(
        "POST", "/", b'{"id":1,"jsonrpc":"2.0","method":"status","params":[]}'
    )
    assert payload_of(MODES["websocket"], Question(body="x")) == b"x"


async def test_a_corpus_is_signed_in_processes() -> None:
    """More than one piece of work: all different, in turn for their targets, told as they come."""
    chain = SmallChain(2)
    header = chain.header(15).SerializeToString()
    targets = [
        Target(header, key.address, tuple(chain.ring), chain.gateway_key.export_secret(), b"x")
        for key in chain.supplier_keys
    ]
    told: list[int] = []
    count = CHUNK + 11
    corpus = await sign_corpus(targets, count, done=told.append, workers=1)
    requests = list(corpus)
    corpus.close()
    assert len(set(requests)) == count == sum(told)
    for number in (0, 1, CHUNK, CHUNK + 1):
        assert chain.supplier_keys[number % 2].address.encode() in requests[number]


async def test_the_alarm_is_never_early() -> None:
    """Not by a microsecond; and a time that is over is not waited for."""
    with Alarm() as alarm:
        for _ in range(20):
            began = time.perf_counter()
            await alarm.sleep(0.0031)
            assert time.perf_counter() - began >= 0.0031
        await alarm.sleep(-1.0)


class Slow:
    """A line that answers when told to."""

    is_open = True

    def __init__(self) -> None:
        self.release = trio.Event()
        self.asked = 0

    async def ask(self, request: bytes) -> bytes:
        """Wait."""
        self.asked += 1
        await self.release.wait()
        return request

    def close(self) -> None:
        """Nothing to do."""


async def test_latency_counts_from_the_moment_a_relay_is_due(autojump_clock: object) -> None:
    """A relayer that stands still for a second shows it in all that were due meanwhile."""
    del autojump_clock
    slow = Slow()

    async def open_line() -> Line:
        return slow

    test = LoadTest(
        [Aim(supplier="s", open=open_line, judge=lambda _: "")],
        concurrency=2,
        relays_per_second=5.0,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_release_after, slow, 1.0)
        await test.run([b"x"] * 5, 5, is_over=lambda: False)
    latencies = test.results.latencies
    assert latencies.count == 5
    # Due at 0, 0.2, 0.4, 0.6 and 0.8 seconds; answered at 1.
    assert latencies.minimum == pytest.approx(0.2, abs=0.05)
    assert latencies.maximum == pytest.approx(1.0, abs=0.05)


async def _release_after(slow: Slow, seconds: float) -> None:
    await trio.sleep(seconds)
    slow.release.set()


async def test_failures_are_counted_by_their_words() -> None:
    """One line that fails is replaced; what else happens in the world ends the test."""

    class Broken(Slow):
        async def ask(self, request: bytes) -> bytes:
            del request
            self.is_open = False
            raise GatewayError("HTTP 500: no")

    opened: list[Broken] = []

    async def open_line() -> Line:
        opened.append(Broken())
        return opened[-1]

    test = LoadTest([Aim(supplier="s", open=open_line, judge=lambda _: "")], concurrency=1)
    assert await test.run([b"x"] * 3, 3, is_over=lambda: False) == 3
    assert test.results.errors == {"HTTP 500: no": 3}
    assert (test.results.sent, test.results.good, len(opened)) == (3, 0, 3)
    assert test.results.success_percent == 0.0
