"""Fencing: every change of a supplier's state says under which token it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from relayminer.state.errors import (
    FencedError,
    LegacySessionError,
    SessionMissingError,
    SessionSealedError,
    StaleCommitError,
    StateError,
    StoreReplyError,
)
from relayminer.state.scripting import Script, load_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.state.connection import Argument
    from relayminer.state.gateway import Redis

# What the scripts answer, and what it means here.
REFUSALS: Final[dict[str, type[StateError]]] = {
    "FENCED": FencedError,
    "SEALED": SessionSealedError,
    "STALE": StaleCommitError,
    "NOSESSION": SessionMissingError,
    "LEGACY": LegacySessionError,
}


@attrs.frozen
class Fence:
    """The right to change what a lease protects, as long as no newer token exists."""

    lease_key: str
    fence_key: str
    owner: str
    token: int


def load_guarded(name: str) -> Script:
    """The script `name` behind the check of its caller's token."""
    return load_script("guard", name)


async def run_guarded(
    redis: Redis,
    script: Script,
    fence: Fence,
    keys: Sequence[Argument],
    arguments: Sequence[Argument] = (),
) -> Any:
    """Runs a script made by `load_guarded`.

    Raises:
        FencedError: the token is not the newest one, or the lease is in other hands.
        StateError: another refusal of `REFUSALS`, or what the gateway raises.
    """
    try:
        return await redis.script(
            script,
            (fence.fence_key, fence.lease_key, *keys),
            (fence.token, fence.owner, *arguments),
        )
    except StoreReplyError as error:
        # A script's own words come with the server's remarks behind them on some versions.
        refusal = REFUSALS.get(error.code)
        if refusal is None:
            raise
        raise refusal(f"{keys[0]!s}: {error}" if keys else str(error)) from None
