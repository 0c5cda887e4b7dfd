"""What we write and read against what the Go components left in Redis (`redis_encodings.json`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from relayminer.state.block_events import parse_block_event
from relayminer.state.leases import Lease
from relayminer.state.subscription import Gap, Message
from relayminer.state.suppliers import (
    SupplierState,
)
from relayminer.testing.store import fresh_store, running_gateway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


from tests.state.encodings import (
    NAMES,
    SUPPLIER,
    Setting,
    cases,
)
from tests.state.scenarios_sessions import (
    dedup,
    mined_relay,
    session,
    submission,
    tree,
)
from tests.state.scenarios_shared import (
    block_event,
    cached_json,
    cached_protobuf,
    meter,
    rebroadcast,
    registry,
    service_factors,
    supplier_state,
)

pytestmark = pytest.mark.vectors

SCENARIOS: list[tuple[str, Callable[[Setting, dict[str, Any]], Awaitable[None]]]] = [
    ("mined relay", mined_relay),
    ("session: ", session),
    ("tree: ", tree),
    ("dedup", dedup),
    ("submission", submission),
    ("rebroadcast", rebroadcast),
    ("service factors", service_factors),
    ("supplier registry", registry),
    ("supplier state", supplier_state),
    ("application cache", cached_protobuf),
    ("service cache", cached_protobuf),
    ("account cache", cached_protobuf),
    ("shared params singleton", cached_protobuf),
    ("proof params", cached_protobuf),
    ("shared params at", cached_json),
    ("supplier params", cached_json),
    ("session cache", cached_json),
    ("session meter", meter),
    ("block event", block_event),
]

# Messages that our caches send, not the store's classes: `relayminer.cache` is where they belong.
SENT_ELSEWHERE = ("application cache", "session cache")


def same_messages(ours: list[Message], case: dict[str, Any]) -> None:
    """Fails unless we published what the recording did, up to order and the form of times."""
    if case["label"].startswith(SENT_ELSEWHERE):
        return
    theirs = [(one["channel"], one["payload"].encode()) for one in case["published"] or ()]
    mine = [(one.channel, one.payload) for one in ours]
    if case["label"].startswith("block event"):
        assert [(c, parse_block_event(p)) for c, p in mine] == [
            (c, parse_block_event(p)) for c, p in theirs
        ]
        return
    assert sorted(mine) == sorted(theirs)


def recorded_channels() -> Iterator[str]:
    """Every channel on which something was recorded."""
    for case in cases():
        for one in case["published"] or ():
            yield one["channel"]


async def test_every_scenario() -> None:
    """Each recorded scenario must come out of our code in the same form and be readable."""
    channels = sorted(set(recorded_channels()))
    done = 0
    async with fresh_store() as url, running_gateway(url) as redis:
        for case in cases():
            await redis.command("FLUSHALL")
            lease = Lease(redis, NAMES.miner_claim_key(SUPPLIER), NAMES, owner="m", ttl_seconds=60)
            assert await lease.acquire()
            run = next(run for label, run in SCENARIOS if case["label"].startswith(label))
            messages: list[Message] = []
            async with redis.subscribe([*channels, "end"]) as events:
                assert await anext(events) == Gap()
                try:
                    await run(Setting(redis, lease.fence), case)
                except AssertionError as error:
                    error.add_note(f"scenario: {case['label']}")
                    raise
                await redis.command("PUBLISH", "end", "")
                with trio.fail_after(5):
                    async for event in events:
                        assert isinstance(event, Message)
                        if event.channel == "end":
                            break
                        messages.append(event)
            same_messages(messages, case)
            done += 1
    assert done == 56


def test_supplier_state_predicates() -> None:
    """What a state means for serving follows from the recorded rules."""
    state = SupplierState(operator_address="a", status="unstaking", staked=True, services=("s",))
    assert state.serves("s")
    assert not state.serves("t")
    assert not attrs.evolve(state, staked=False).serves("s")
    assert attrs.evolve(state, status="active", services=()).is_contaminated
