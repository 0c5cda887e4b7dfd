"""Asking a second endpoint when the first takes long, for methods that may be asked twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from relayminer.relayer.errors import RefusedError
from relayminer.relayer.lanes_calls import Calls

if TYPE_CHECKING:
    from collections.abc import Collection

    from relayminer.net.response import Response
    from relayminer.relayer.forward_budget import RetryBudget
    from relayminer.relayer.pool import BackendPool, Endpoint
    from relayminer.relayer.relay import Relay


class Exchange(Protocol):
    """One relay's exchanges."""

    async def run(self, endpoint: Endpoint) -> Response:
        """One attempt; raises RefusedError."""
        ...


class Hedge:
    """Which relays may be asked twice, and when.

    Args:
        methods: JSON-RPC methods that change nothing.
        after_seconds: how long the first endpoint has.
    """

    def __init__(self, methods: Collection[str], after_seconds: float) -> None:
        self._methods = frozenset(methods)
        self.after_seconds = after_seconds

    def covers(self, relay: Relay) -> bool:
        """Whether every call of the relay's body is to one of the methods."""
        plan = relay.plan
        calls = plan.calls if plan is not None else None
        if calls is None:
            calls = Calls(relay.http.body)
        asked = calls.methods
        return (
            bool(asked)
            and not calls.is_opaque
            and len(asked) == len(calls.calls)
            and self._methods.issuperset(asked)
        )


async def hedged(
    exchange: Exchange,
    pool: BackendPool,
    first: Endpoint,
    budget: RetryBudget,
    after_seconds: float,
) -> tuple[Response, int]:
    """The faster good answer of two endpoints, and how many more than the first were asked.

    Raises:
        RefusedError: of the last endpoint that failed.
    """
    answers: list[Response] = []
    failures: list[RefusedError] = []
    more = 0

    async def ask(endpoint: Endpoint, done: trio.Event) -> None:
        try:
            answers.append(await exchange.run(endpoint))
        except RefusedError as failure:
            failures.append(failure)
        else:
            nursery.cancel_scope.cancel()
        finally:
            done.set()

    async with trio.open_nursery() as nursery:
        finished = trio.Event()
        nursery.start_soon(ask, first, finished)
        with trio.move_on_after(after_seconds):
            await finished.wait()
        if not answers:
            second = pool.pick_other(first)
            if second is not None:
                if budget.spend():
                    more = 1
                    nursery.start_soon(ask, second, trio.Event())
                else:
                    pool.released(second)
    if answers:
        return answers[0], more
    raise failures[-1]
