"""A relay in the miner: counted, and followed to its claim, its proof and its money."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from relayminer.miner import trail as miner_trail
from relayminer.miner.entries import SessionInfo
from relayminer.miner.records import Step, record
from relayminer.miner.trail import Trail
from relayminer.protocol.mined_relay import decode_mined_relay
from tests.miner.harness import rig, session_ids
from tests.tracing.collector import Collector, Seen, tracing

if TYPE_CHECKING:
    import pytest

    from tests.miner.harness import Rig

A, B = session_ids(2)
WHOLE = {"ingest", "claim", "proof", "settle"}


def digests(mine: Rig, session: str, count: int) -> list[bytes]:
    """Hashes of a session's relays."""
    return [decode_mined_relay(mine.relay(session, number)).relay_hash for number in range(count)]


def followed(collector: Collector) -> dict[str, list[Seen]]:
    """Traces of relays that have more than their counting."""
    return {key: spans for key, spans in collector.traces().items() if len(spans) > 1}


async def test_a_session_is_told_through_some_of_its_relays(redis_url: str) -> None:
    """All relays are counted; three are followed, with what the ledger says, in their traces."""
    async with tracing() as it, rig(redis_url, traces=it.traces) as mine:
        await mine.log(A, 5)
        async with mine.mining():
            await mine.step_to(22)
            await it.collector.until(lambda: len(it.collector.named("settle")) == 3)
            await it.collector.until(lambda: len(it.collector.named("proof")) == 3)
        ledger = {line["step"]: line for line in await mine.ledger()}
        known = {one[:16].hex(): one for one in digests(mine, A, 5)}
    assert {one.trace for one in it.collector.named("ingest")} == known.keys()
    assert len(followed(it.collector)) == 3
    for trace, spans in followed(it.collector).items():
        assert {one.name for one in spans} == WHOLE
        assert {one.parent for one in spans} == {known[trace][16:24].hex()}
        by_name = {one.name: one for one in spans}
        claim, proof, settle = by_name["claim"], by_name["proof"], by_name["settle"]
        assert claim.about["pocket.tx_hash"] == ledger["claim_submitted"]["tx_hash"]
        assert claim.about["pocket.claimed_upokt"] == ledger["claim_included"]["claimed_upokt"] > 0
        assert claim.about["pocket.session_end_height"] == 10
        assert [one.name for one in claim.span.events] == ["claim_intent", "claim_submitted"]
        assert proof.about["pocket.tx_hash"] == ledger["proof_submitted"]["tx_hash"]
        assert [one.name for one in proof.span.events] == ["proof_intent", "proof_submitted"]
        assert settle.about["pocket.settled_upokt"] == ledger["settled"]["settled_upokt"] > 0
        assert settle.about["pocket.height"] == ledger["settled"]["height"]
        assert by_name["ingest"].about["pocket.session_id"] == A
        assert not any(one.span.status.code for one in spans)
        times = [
            by_name["ingest"].span.end_time_unix_nano,
            claim.span.start_time_unix_nano,
            claim.span.end_time_unix_nano,
            proof.span.start_time_unix_nano,
        ]
        assert times == sorted(times)


async def test_a_claim_that_is_refused_is_told_as_lost(redis_url: str) -> None:
    """Each refusal is an event, and the end an error with its reason."""
    async with tracing() as it, rig(redis_url, traces=it.traces) as mine:
        mine.chain.refuse = lambda _: "proof: session not found"
        await mine.log(A, 1)
        async with mine.mining():
            await mine.step_to(22)
            await it.collector.until(lambda: it.collector.named("settle"))
    [claim] = it.collector.named("claim")
    [settle] = it.collector.named("settle")
    assert claim.span.status.code == settle.span.status.code == 2
    assert "claim_failed" in [one.name for one in claim.span.events]
    assert "session not found" in claim.about["pocket.reason"]
    assert settle.about["pocket.lost_upokt"] > 0


async def test_late_relays_are_told_as_such(redis_url: str) -> None:
    """They are in no trie, and follow no claim."""
    async with tracing() as it, rig(redis_url, traces=it.traces) as mine:
        await mine.log(A, 1)
        async with mine.mining():
            await mine.step_to(14)
            await mine.log(A, 1, first=1)
            await it.collector.until(lambda: len(it.collector.named("ingest")) == 2)
        late = digests(mine, A, 2)[1][:16].hex()
    [told] = [one for one in it.collector.named("ingest") if one.trace == late]
    assert told.span.status.message == "late"


async def test_a_miner_that_starts_anew_repeats_no_span(redis_url: str) -> None:
    """What was counted is not counted again; what it follows no more it does not tell."""
    async with tracing() as it, rig(redis_url, traces=it.traces) as mine:
        await mine.log(A, 2)
        async with mine.mining():
            await mine.counted(A, 2)
            await it.collector.until(lambda: len(it.collector.named("ingest")) == 2)
        async with mine.mining():
            await mine.step_to(22)
        assert mine.claimed_counts() == {A: 2}
    assert {one.name for one in it.collector.spans} == {"ingest"}
    assert len({one.id for one in it.collector.spans}) == 2


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest sessions are followed no more; their claims are just not told."""
    monkeypatch.setattr(miner_trail, "SESSIONS_MAX", 2)
    async with tracing() as it:
        trail = Trail(it.traces, 1, lambda: 1)
        infos = [SessionInfo(f"session {number}", "svc", "app", 1, 10) for number in range(3)]
        for number, info in enumerate(infos):
            digest = hashlib.sha256(bytes((number,))).digest()
            trail._follow("supplier", info, digest, 1)
        for info in infos:
            trail.saw("supplier", record(Step.CLAIM_INCLUDED, info, height=12))
        await it.collector.until(lambda: len(it.collector.named("claim")) == 2)
        assert it.counted("sent") == 2
