"""Which form what is stored has: a version reads its own and the one before, and no newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.state.errors import StateError, StoreFormatError

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

FORMAT: Final = 1
"""Of this version. 0 is a store without the mark: the Go fleet's, or ours before there was one."""
LOOK_SECONDS: Final = 60.0
"""A newer version that starts beside us changes the mark."""

_log = structlog.get_logger("relayminer.state")


async def check_format(redis: Redis, names: KeyNames) -> int:
    """The store's format before us; from now on it is at least ours.

    Raises:
        StoreFormatError: this version cannot read it.
        StateError: it is not known.
    """
    key = names.format_key
    is_new, text = await redis.pipeline([("SET", key, FORMAT, "NX"), ("GET", key)])
    found = 0 if is_new or text is None else _number(text)
    if found > FORMAT:
        raise StoreFormatError(
            f"the store has format {found}, written by a newer version; this one reads formats up "
            f"to {FORMAT}: start the newer version, or use another redis.namespace.base_prefix"
        )
    if found < FORMAT - 1:
        raise StoreFormatError(
            f"the store has format {found}, and this version reads formats {FORMAT - 1} and "
            f"{FORMAT}: start the versions between them once, one after another"
        )
    if found < FORMAT and not is_new:
        await redis.command("SET", key, FORMAT)
    return found


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise StoreFormatError(
            f"the store's format is {text!r}, which no version wrote: is redis.url another's store?"
        ) from None


class StoreFormat:
    """A `Service` that refuses a store of a newer version.

    Args:
        redis: running.
        names: of the store.

    Raises (`run`):
        StoreFormatError: this version cannot read it.
    """

    name = "store format"

    def __init__(self, redis: Redis, names: KeyNames) -> None:
        self._redis = redis
        self._names = names

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look until cancelled. A store that is away at the start is looked at when it comes."""
        with trio.move_on_after(self._redis.command_timeout_seconds):
            await self._look()
        task_status.started()
        await self._look()
        while True:
            await trio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except StoreFormatError as error:
                # It was readable when we began, and is to be until we are replaced.
                _log.warning("a newer version is at work", reason=str(error))

    async def _look(self) -> None:
        while True:
            try:
                await check_format(self._redis, self._names)
            except StoreFormatError:
                raise
            except StateError as error:
                _log.debug("the store's format is not known yet", error=str(error))
                await trio.sleep(1.0)
            else:
                return
