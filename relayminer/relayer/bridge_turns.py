"""The places at a backend that one conversation holds (`admission` and `lanes` of a service).

A request holds a place until its answer comes, or for as long as an HTTP relay would be waited
for: some messages are never answered. A conversation that has requests at the backend waits for its
own before it asks for more, so whoever sends ahead is slowed down, not turned away; one that has
none waits its turn like any relay, and is refused when there is none in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from relayminer.relayer.errors import RefusedError

if TYPE_CHECKING:
    from relayminer.relayer.forward_traffic import Permit, Traffic
    from relayminer.relayer.relay import Relay
    from relayminer.relayer.routes import Route


class Turns:
    """Of one conversation.

    Args:
        traffic: of the service.
        longest_seconds: after so long a place is given back, answered or not.
    """

    __slots__ = ("_closed", "_held", "_longest_seconds", "_one_left", "_traffic")

    def __init__(self, traffic: Traffic, longest_seconds: float) -> None:
        self._traffic = traffic
        self._longest_seconds = longest_seconds
        # By when each is given back; the oldest is first.
        self._held: dict[Permit, float] = {}
        self._one_left = trio.Event()
        self._closed = False

    def check(self, relay: Relay) -> None:
        """Refuse, before any curve work, a relay for which there will be no turn in time.

        Raises:
            RefusedError: 503.
        """
        if not self._held:
            self._traffic.check(relay)

    async def enter(self, relay: Relay) -> Permit:
        """Wait for the relay's turn.

        Raises:
            RefusedError: 503, there is none in time; 502, the conversation ended meanwhile.
        """
        while self._held and not self._traffic.has_room(relay):
            self._one_left = trio.Event()
            await self._one_left.wait()
        if self._closed:
            raise _over()
        permit = await self._traffic.enter(relay)
        if self._closed:
            permit.leave()
            raise _over()
        self._held[permit] = trio.current_time() + self._longest_seconds
        return permit

    def leave(self, permit: Permit) -> None:
        """The request is answered, or never will be."""
        if self._held.pop(permit, None) is not None:
            permit.leave()
            self._one_left.set()

    def release(self, now: float) -> None:
        """Give back what was held for too long."""
        while self._held:
            permit, until = next(iter(self._held.items()))
            if until > now:
                return
            self.leave(permit)

    def close(self) -> None:
        """The conversation is over: nothing waits for an answer."""
        self._closed = True
        for permit in list(self._held):
            self.leave(permit)


def turns_of(route: Route) -> Turns | None:
    """None where nothing is limited."""
    traffic = route.traffic
    if traffic is None or not traffic.is_limited:
        return None
    return Turns(traffic, route.timeouts.request_seconds)


def _over() -> RefusedError:
    return RefusedError(502, "the conversation is over", "client_disconnected")
