"""Subscriptions: who hears what, and what happens to the slow."""

from __future__ import annotations

import json

import pytest
import trio

from relayminer.devnet.errors import QuerySyntaxError, SubscriptionError
from relayminer.devnet.subscriptions import OUT_OF_CAPACITY, EventBus

BLOCKS = "tm.event='NewBlock'"
TXS = "tm.event='Tx'"


def publish(bus: EventBus, kind: str, number: int = 0) -> None:
    """Publish an event whose value is a number."""
    bus.publish(kind, {"n.n": [str(number)]}, lambda: {"number": number})


async def test_only_wanted_events_arrive() -> None:
    """A subscriber gets the events its query matches, rendered with type and keys."""
    bus = EventBus()
    subscription = bus.subscribe("a", TXS)
    publish(bus, "NewBlock", 1)
    publish(bus, "Tx", 2)
    event = await subscription.events.receive()
    assert json.loads(event.data_json) == {"type": "tendermint/event/Tx", "value": {"number": 2}}
    assert json.loads(event.keys_json) == {"n.n": ["2"], "tm.event": ["Tx"]}
    assert subscription.waiting_events == 0


async def test_a_full_buffer_cancels_the_subscriber() -> None:
    """Publishing never waits: who is full keeps what he has and is told why it ended."""
    bus = EventBus(buffer_events=2)
    slow, other = bus.subscribe("a", BLOCKS), bus.subscribe("b", BLOCKS)
    for number in range(3):
        publish(bus, "NewBlock", number)
        await other.events.receive()
    assert slow.cancel_reason == OUT_OF_CAPACITY
    assert other.cancel_reason is None
    assert len([event async for event in slow.events]) == 2
    assert len(bus) == 1


async def test_nobody_renders_what_nobody_wants() -> None:
    """An event without a subscriber costs no rendering."""

    def never() -> dict[str, object]:
        pytest.fail("rendered")

    EventBus().publish("NewBlock", {}, never)


async def test_limits() -> None:
    """Clients, subscriptions per client and repeated queries are refused in CometBFT's words."""
    bus = EventBus(max_clients=1, max_subscriptions_per_client=2)
    bus.subscribe("a", BLOCKS)
    with pytest.raises(SubscriptionError, match="already subscribed"):
        bus.subscribe("a", BLOCKS)
    bus.subscribe("a", TXS)
    with pytest.raises(SubscriptionError, match="max_subscriptions_per_client 2 reached"):
        bus.subscribe("a", "tm.event='NewBlockHeader'")
    with pytest.raises(SubscriptionError, match="max_subscription_clients 1 reached"):
        bus.subscribe("b", BLOCKS)
    with pytest.raises(QuerySyntaxError):
        EventBus().subscribe("a", "nonsense")


async def test_unsubscribing_ends_the_stream() -> None:
    """What was unsubscribed ends without a reason; what is not there cannot be unsubscribed."""
    bus = EventBus()
    first, second = bus.subscribe("a", BLOCKS), bus.subscribe("a", TXS)
    bus.unsubscribe("a", BLOCKS)
    assert first.cancel_reason is None
    with pytest.raises(trio.EndOfChannel):
        await first.events.receive()
    with pytest.raises(SubscriptionError, match="subscription not found"):
        bus.unsubscribe("a", BLOCKS)
    bus.unsubscribe_all("a")
    with pytest.raises(trio.EndOfChannel):
        await second.events.receive()
    with pytest.raises(SubscriptionError, match="subscription not found"):
        bus.unsubscribe_all("a")
    assert len(bus) == 0
