"""Who hears of which event: the publish side of CometBFT's subscriptions.

Every subscription has a bounded buffer. Publishing never waits: a subscriber whose buffer is full
is cancelled with the reason that CometBFT gives (cometbft: libs/pubsub, rpc/core/events.go).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import field, frozen

from relayminer.devnet.comet_json import Json, dumps
from relayminer.devnet.errors import SubscriptionError
from relayminer.devnet.event_query import EventQuery, parse_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

EVENT_KEY = "tm.event"
OUT_OF_CAPACITY = "internal subscription event buffer is out of capacity"


@frozen
class Event:
    """One published event, its JSON rendered once for all subscribers.

    Attributes:
        data_json: the `data` member (`{"type": …, "value": …}`).
        keys_json: the `events` member, all composite keys.
    """

    data_json: str = field(repr=False)
    keys_json: str = field(repr=False)


class Subscription:
    """One query of one client, with the events that wait for it."""

    def __init__(self, client: str, query: EventQuery, buffer_events: int) -> None:
        self.client = client
        self.query = query
        self.cancel_reason: str | None = None
        """Why the publisher ended it; None while it lives or when its client unsubscribed."""
        self._send, self.events = trio.open_memory_channel[Event](buffer_events)

    def offer(self, event: Event) -> bool:
        """Buffer the event; False when there is no room for it."""
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            return False
        except trio.BrokenResourceError:
            return True  # its reader is already gone
        return True

    @property
    def waiting_events(self) -> int:
        """How many events are buffered."""
        return self.events.statistics().current_buffer_used

    def close(self) -> None:
        """End it; what is buffered can still be read."""
        self._send.close()


class EventBus:
    """All subscriptions of one node.

    Args:
        buffer_events: events that may wait in one subscription.
        max_clients: clients that may hold subscriptions.
        max_subscriptions_per_client: subscriptions that one client may hold.
    """

    def __init__(
        self,
        *,
        buffer_events: int = 200,
        max_clients: int = 100,
        max_subscriptions_per_client: int = 5,
    ) -> None:
        self._buffer_events = buffer_events
        self._max_clients = max_clients
        self._max_per_client = max_subscriptions_per_client
        self._clients: dict[str, dict[str, Subscription]] = {}

    def __len__(self) -> int:
        """How many subscriptions live."""
        return sum(len(queries) for queries in self._clients.values())

    @property
    def crowded(self) -> bool:
        """Whether some subscriber's buffer is more than half full."""
        return any(2 * each.waiting_events > self._buffer_events for each in self._all())

    def subscribe(self, client: str, query_text: str) -> Subscription:
        """A new subscription of `client`.

        Raises:
            SubscriptionError: a limit is reached or the client has this query already.
            QuerySyntaxError: the query does not parse.
        """
        mine = self._clients.get(client, {})
        if not mine and len(self._clients) >= self._max_clients:
            raise SubscriptionError(f"max_subscription_clients {self._max_clients} reached")
        if len(mine) >= self._max_per_client:
            raise SubscriptionError(f"max_subscriptions_per_client {self._max_per_client} reached")
        query = parse_query(query_text)
        if query_text in mine:
            raise SubscriptionError("already subscribed")
        subscription = Subscription(client, query, self._buffer_events)
        self._clients.setdefault(client, mine)[query_text] = subscription
        return subscription

    def unsubscribe(self, client: str, query_text: str) -> None:
        """End one subscription.

        Raises:
            SubscriptionError: there is no such subscription.
        """
        subscription = self._clients.get(client, {}).pop(query_text, None)
        if subscription is None:
            raise SubscriptionError("subscription not found")
        subscription.close()
        if not self._clients[client]:
            del self._clients[client]

    def unsubscribe_all(self, client: str) -> None:
        """End all subscriptions of `client`.

        Raises:
            SubscriptionError: it has none.
        """
        mine = self._clients.pop(client, None)
        if mine is None:
            raise SubscriptionError("subscription not found")
        for subscription in mine.values():
            subscription.close()

    def publish(
        self, kind: str, keys: Mapping[str, Sequence[str]], value: Callable[[], Json]
    ) -> None:
        """Give the event to everyone who wants it; who has no room is cancelled.

        Args:
            kind: CometBFT's event type, `NewBlock` for example.
            keys: composite keys and values besides `tm.event`.
            value: renders the event's value; called only when somebody wants it.
        """
        all_keys = {**keys, EVENT_KEY: [kind]}
        wanted = [each for each in self._all() if each.query.matches(all_keys)]
        if not wanted:
            return
        event = Event(
            data_json=dumps({"type": f"tendermint/event/{kind}", "value": value()}),
            keys_json=dumps(all_keys),
        )
        for subscription in wanted:
            if not subscription.offer(event):
                subscription.cancel_reason = OUT_OF_CAPACITY
                self.unsubscribe(subscription.client, subscription.query.text)

    def _all(self) -> Iterator[Subscription]:
        for mine in self._clients.values():
            yield from mine.values()
