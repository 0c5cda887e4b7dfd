"""A task beside a block of code, for context managers that need one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@asynccontextmanager
async def background(work: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Runs `work` while the block runs and cancels it at its end.

    What the block raises comes out as it is, not wrapped in the group of a nursery.
    """
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        try:
            yield
        except trio.Cancelled:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again below, outside the nursery
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
