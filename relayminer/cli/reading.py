"""Reading the store and the chain from a command: both opened, both closed again."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from relayminer.chain.queries import ChainQueries
from relayminer.errors import RelayMinerError
from relayminer.miner.shadow import shadow_names
from relayminer.state.embedded import open_store
from relayminer.state.errors import StateError
from relayminer.state.gateway import Redis
from relayminer.state.names import KeyNames
from relayminer.story.books import Books
from relayminer.story.forecast import Prices
from relayminer.telemetry.logs import set_up_logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relayminer.config.settings import Settings

STORE_SECONDS = 5.0


class StoreSilentError(RelayMinerError):
    """The store does not answer."""


@frozen
class Reading:
    """What a command reads from.

    Attributes:
        prices: by the chain's word; all unknown when no node answers.
    """

    redis: Redis
    names: KeyNames
    books: Books
    prices: Prices


@asynccontextmanager
async def reading(settings: Settings, *, with_chain: bool = True) -> AsyncIterator[Reading]:
    """The store of `settings`, connected, and the chain if it is wanted.

    With `miner.shadow` it is the shadow's ledger that is read.

    Raises:
        StoreSilentError, StateError: the store is not to be had.
    """
    # Standard output is for what was asked for.
    set_up_logs("error", "auto")
    names = KeyNames(settings.redis.namespace, settings.redis.hash_tags)
    if settings.miner.shadow:
        names = shadow_names(names)
    async with open_store(settings.redis, settings.home) as url, trio.open_nursery() as nursery:
        redis = Redis(url, settings.redis)
        await nursery.start(redis.run)
        try:
            await redis.command("PING", timeout_seconds=STORE_SECONDS)
        except StateError as error:
            nursery.cancel_scope.cancel()
            raise StoreSilentError(f"{error}; is redis.url right?") from None
        async with ChainQueries(settings.chain) as queries:
            prices = Prices(queries if with_chain else None)
            yield Reading(redis, names, Books(redis, names), prices)
        nursery.cancel_scope.cancel()
