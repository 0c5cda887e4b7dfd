"""A collector that is away, slow or unwilling holds nobody up, and what it costs is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from relayminer.config.tracing import TracingSettings
from relayminer.insight import traces as sender
from relayminer.insight.traces import TraceExporter
from relayminer.net.errors import TlsSetupError
from relayminer.net.tls import server_context
from relayminer.telemetry.spans import BATCH_SPANS, TraceName, child
from relayminer.testing.certificates import Authority
from tests.relayer.client import connect
from tests.relayer.kit import bench, request_body, signed_request
from tests.tracing.collector import Collector, Tracing, eventually, tracing

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.telemetry.spans import Span

ROOM = 500


def made(number: int) -> Span:
    """One of many spans."""
    return child(TraceName(number.to_bytes(32)), "made", number, number + 1, {"number": number})


def make(it: Tracing, count: int, first: int = 1) -> None:
    """So many of them."""
    for number in range(first, first + count):
        it.traces.add(made(number))


def numbers(collector: Collector) -> list[int]:
    """What the collector has."""
    return [one.about["number"] for one in collector.spans]


async def test_what_is_made_is_sent_in_order_once() -> None:
    """Many in batches, the last ones soon after."""
    count = 3 * BATCH_SPANS + 1
    async with tracing() as it:
        make(it, count)
        await eventually(lambda: it.counted("sent") == count)
        assert numbers(it.collector) == list(range(1, count + 1))
        assert len(it.collector.bodies) == 4
        assert it.waiting == 0


async def test_a_batch_that_is_together_does_not_wait() -> None:
    """Nobody waits for the interval when there is enough to send."""
    async with tracing(interval_seconds=3_600.0) as it:
        make(it, BATCH_SPANS)
        await eventually(lambda: it.counted("sent") == BATCH_SPANS)


@pytest.mark.parametrize("status", [429, 503, None], ids=["slow down", "not now", "silent"])
async def test_what_is_not_taken_is_sent_later(status: int | None) -> None:
    """Up to the room that there is: of more the oldest are dropped, and counted."""
    async with tracing(status=status, max_waiting_spans=ROOM, timeout_seconds=0.05) as it:
        make(it, 10)
        await eventually(lambda: len(it.collector.heads) >= 2)
        make(it, 2 * ROOM, first=11)
        assert it.waiting == ROOM
        assert it.counted("no_room") == ROOM
        it.collector.status = 200
        await eventually(lambda: it.counted("sent") == 10 + ROOM)
        expected = [*range(1, 11), *range(11 + ROOM, 11 + 2 * ROOM)]
        assert sorted(set(numbers(it.collector))) == expected
        assert it.counted("refused") == it.counted("not_sent") == 0


async def test_a_collector_that_comes_late_gets_what_waited() -> None:
    """It is away at first; nothing has to be begun anew."""
    async with tracing(is_away=True) as it, trio.open_nursery() as nursery:
        make(it, 10)
        await eventually(lambda: it.waiting == 0)
        await nursery.start(it.collector.run)
        await eventually(lambda: it.counted("sent") == 10)
        nursery.cancel_scope.cancel()


async def test_what_is_refused_is_not_sent_again() -> None:
    """A wrong address or key is no reason to keep spans."""
    async with tracing(status=401) as it:
        make(it, 10)
        await eventually(lambda: it.counted("refused") == 10)
        assert len(it.collector.heads) == 1


@pytest.mark.parametrize(("said", "counted"), [(3, 3), (99, 10)])
async def test_what_a_willing_collector_leaves_out_is_counted(said: int, counted: int) -> None:
    """It says yes, and how many of them it has no use for."""
    async with tracing() as it:
        it.collector.refused = said
        make(it, 10)
        await eventually(lambda: it.counted("sent") + it.counted("refused") == 10)
        assert it.counted("refused") == counted
        assert len(it.collector.heads) == 1


async def test_advice_of_a_willing_collector_is_no_refusal() -> None:
    """All were taken, and there is a text: nothing is said to be wrong."""
    with capture_logs() as said:
        async with tracing() as it:
            it.collector.advice = "use fewer attributes"
            make(it, 10)
            await eventually(lambda: it.counted("sent") == 10)
    assert not [one for one in said if one["event"] == "spans are not taken"]


async def test_the_end_sends_the_rest() -> None:
    """Spans that waited for their interval are sent before the process ends."""
    async with tracing(interval_seconds=3_600.0) as it:
        make(it, 10)
        it.scope.cancel()
        await it.ended.wait()
        assert numbers(it.collector) == list(range(1, 11))


@pytest.mark.parametrize("known", [True, False], ids=["known", "not yet"])
async def test_the_end_waits_for_no_silent_collector(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at all when it is known to be silent, else for a moment; what is lost is counted."""
    monkeypatch.setattr(sender, "LAST_WORDS_SECONDS", 0.2)
    interval_seconds = 0.01 if known else 3_600.0
    async with tracing(status=None, interval_seconds=interval_seconds, timeout_seconds=0.05) as it:
        make(it, 10)
        if known:
            await eventually(lambda: len(it.collector.heads) >= 2)
        with trio.fail_after(5):
            it.scope.cancel()
            await it.ended.wait()
        assert it.counted("not_sent") == 10
        assert it.waiting == 0


async def test_over_tls_the_collector_is_checked(tmp_path: Path) -> None:
    """By the authority of `ca_file`; a stranger gets nothing, and an unusable file is said."""
    ours, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    node = ours.issue()
    shown = server_context(node.certificate, node.key)
    async with tracing(tls=shown, ca_file=ours.file) as it:
        make(it, 3)
        await eventually(lambda: it.counted("sent") == 3)
    async with tracing(tls=shown, ca_file=stranger.file) as it:
        make(it, 3)
        await eventually(lambda: it.waiting == 0)
        it.scope.cancel()
        await it.ended.wait()
        assert it.counted("not_sent") == 3
        assert not it.collector.heads
    settings = TracingSettings(endpoint="https://x/v1/traces", ca_file=tmp_path / "none")
    with pytest.raises(TlsSetupError, match=r"tracing\.ca_file .*none"):
        TraceExporter(settings, it.traces, {})


@pytest.mark.parametrize("status", [200, 503], ids=["taken", "not taken"])
async def test_ended_at_any_moment_no_span_is_forgotten(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each one is counted, once; and what counts as sent is with the collector."""
    monkeypatch.setattr(sender, "LAST_WORDS_SECONDS", 0.5)
    for turns in range(0, 40, 3):
        async with tracing(status=status) as it:
            make(it, 2 * BATCH_SPANS)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            it.scope.cancel()
            await it.ended.wait()
            sent, not_sent = it.counted("sent"), it.counted("not_sent")
            assert sent + not_sent == 2 * BATCH_SPANS
            assert len(set(numbers(it.collector))) >= sent
            assert it.waiting == 0


@pytest.mark.parametrize("kind", ["away", "silent"])
async def test_relays_flow_whatever_the_collector_does(
    redis_url: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More relays than there is room for: all are answered, and the relayer stops at once."""
    monkeypatch.setattr(sender, "LAST_WORDS_SECONDS", 0.2)
    status = None if kind == "silent" else 200
    async with (
        tracing(status=status, is_away=kind == "away", max_waiting_spans=40) as it,
        bench(redis_url, traces=it.traces) as b,
    ):
        client = await connect(b.address)
        for _ in range(12):
            assert (await client.send(request_body(signed_request(b.chain)))).status == 200
        client.wire.close()
        assert len(await b.logged()) == 12
        assert it.waiting <= 40
        with trio.fail_after(5):
            b.relayer_scope.cancel()
            await b.relayer_stopped.wait()
            it.scope.cancel()
            await it.ended.wait()
        lost = it.counted("no_room") + it.counted("not_sent")
        assert lost + it.counted("sent") == 12 * 8
